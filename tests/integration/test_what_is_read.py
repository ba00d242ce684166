"""A request pays for its score, and for an exact count of its tokens, only where a rule that is still in play or a window that is near reads them."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from app.domain import ComplexityTier, Label, LaneName, Tenant
from app.domain_routing import Choice, Condition, Member, Pool
from app.gateway.bounds import ChatLimits
from app.gateway.chat import ChatGateway
from app.gateway.explain import explain
from app.gateway.receipt import Receipt
from app.gateway.scans import Scans
from app.gateway.snapshot import ask
from app.policy import measures
from app.policy.assess import Assessor
from app.policy.complexity import score
from app.policy.vocabulary import Vocabularies, Vocabulary
from app.routers.chat import read_request
from app.utils.json import dump_json
from tests.unit.gateway.test_attempts import FakeLane, whole
from tests.unit.policy.table import deployment, table

if TYPE_CHECKING:
    from app.domain import Deployment
    from app.domain_routing import RoutingTable
    from app.gateway.request import ChatRequest

MINI = deployment("gpt-4o-mini", context_window=128_000)
SMALL = deployment("gpt-4o", context_window=60)
HOME = deployment("llama", Label.CONFIDENTIAL, context_window=60)
ALWAYS = Condition()
COMPLEX = frozenset({ComplexityTier.COMPLEX})
CONFIDENTIAL = frozenset({Label.CONFIDENTIAL})
TEXT = "Prove step by step that the integral converges, and explain each step of it."  # 16 tokens, and by its bytes no more than some 130


def routed(*conditions: Condition, members: tuple[Deployment, ...] = (MINI,), choose: Choice = Choice.ORDERED) -> RoutingTable:
    made = table({"all": list(members), "local": [HOME]}, [*((condition, "all") for condition in conditions), (ALWAYS, "all")])
    return replace(made, pools={**made.pools, "all": Pool("all", tuple(map(Member, members)), choose)})


class Case(NamedTuple):
    table: RoutingTable
    scores: int = 0
    counts: int = 0
    model: str = "auto"


CASES = {
    "no rule reads anything": Case(routed()),
    "the score, by its tier": Case(routed(Condition(complexities=COMPLEX)), scores=1),
    "the score, by its value, in three rules": Case(routed(Condition(min_score=0.9), Condition(max_score=0.1), Condition(min_score=0.8)), scores=1),
    "the score, behind a label that the request does not have": Case(routed(Condition(labels=CONFIDENTIAL, complexities=COMPLEX))),
    "the score, behind a tag that the caller did not send": Case(routed(Condition(min_score=0.1, tags=frozenset({"batch"})))),
    "the score, after the rule that matches": Case(routed(ALWAYS, Condition(min_score=0.1))),
    "the score, after tokens that rule it out": Case(routed(Condition(min_tokens=5_000, min_score=0.1))),
    "the score, for a model that is named": Case(routed(Condition(complexities=COMPLEX)), model="gpt-4o-mini"),
    "tokens, more than the text has bytes": Case(routed(Condition(min_tokens=5_000))),
    "tokens, no more than that": Case(routed(Condition(max_tokens=5_000))),
    "tokens, about as many as the text has": Case(routed(Condition(min_tokens=20)), counts=1),
    "tokens, in three rules": Case(routed(Condition(min_tokens=90), Condition(max_tokens=5), Condition(min_tokens=80)), counts=1),
    "a window that is near": Case(routed(members=(SMALL,)), counts=1),
    "two windows of one vocabulary": Case(routed(members=(SMALL, replace(SMALL, name="other"))), counts=1),
    "a window that is near, of a model whose vocabulary is not known": Case(routed(members=(HOME,))),
    "prices by tokens": Case(routed(members=(MINI, replace(MINI, name="other")), choose=Choice.CHEAPEST)),
    "both": Case(routed(Condition(min_tokens=90), Condition(min_score=0.9)), scores=1, counts=1),
}


class Answering(FakeLane):
    async def open(self, call: Any) -> Any:
        self.outcomes = {call.deployment.name: whole()}
        return await super().open(call)


@pytest.fixture(scope="module")
def vocabularies() -> Vocabularies:
    made = Vocabularies()
    made.load(Vocabulary.O200K)
    return made


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Count what is computed."""
    seen: Counter[str] = Counter()

    def counted(name: str, function: Any) -> Any:
        def count(*args: Any, **kwargs: Any) -> Any:
            seen[name] += 1
            return function(*args, **kwargs)

        return count

    monkeypatch.setattr(measures, "score", counted("scores", score))
    monkeypatch.setattr(Vocabularies, "count", counted("counts", Vocabularies.count))
    return seen


def gateway_of(case: Case, vocabularies: Vocabularies) -> ChatGateway:
    assessor = Assessor(vocabularies=vocabularies)
    return ChatGateway(case.table, assessor, {LaneName.RELAY: Answering({})}, None, b"secret", ChatLimits(timeout_s=5), Scans(ThreadPoolExecutor(1), 1))


def asking(case: Case) -> ChatRequest:
    return read_request(dump_json({"model": case.model, "messages": [{"role": "user", "content": TEXT}]}), {}, Tenant("ann", "key:ann"))


@pytest.mark.parametrize("name", CASES)
async def test_a_request_pays_for_what_is_read_and_once(name: str, vocabularies: Vocabularies, read: Counter[str]) -> None:
    case = CASES[name]
    receipt = Receipt()

    await (await gateway_of(case, vocabularies).run(asking(case), receipt)).finish()

    assert (read["scores"], read["counts"]) == (case.scores, case.counts)
    assert (b"x-gateway-complexity" in dict(receipt.headers())) == bool(case.scores)


@pytest.mark.parametrize("name", CASES)
async def test_an_explanation_says_what_the_real_path_does_not_read(name: str, vocabularies: Vocabularies, read: Counter[str]) -> None:
    case = CASES[name]
    gateway, request = gateway_of(case, vocabularies), asking(case)
    terms = gateway.terms
    taken = gateway.snapshot(terms, request)

    reading = gateway.reading(terms, request)
    explanation = explain(case.table, await reading.facts(await reading.recall(), taken.cuts), request.body, ask(terms.table, request), taken)

    assert (read["scores"], read["counts"]) == (case.scores, case.counts)
    assert ("complexity" in explanation.not_read, "prompt_tokens" in explanation.not_read) == (not case.scores, not case.counts)
