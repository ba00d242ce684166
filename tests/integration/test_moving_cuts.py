"""A cut that moves is state: it is taken with the snapshot, so that the dry run and the real run see the same one."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from app.domain import CUTS, LaneName, Snapshot, Tenant
from app.domain_enums import ComplexityTier
from app.domain_routing import Condition
from app.gateway import chat as chat_module
from app.gateway.bounds import ChatLimits
from app.gateway.chat import ChatGateway
from app.gateway.explain import explain, to_wire
from app.gateway.receipt import Receipt
from app.gateway.scans import Scans
from app.gateway.snapshot import ask
from app.policy.assess import Assessor
from app.policy.complexity import Scale, Target
from app.routers.chat import read_request
from app.utils.json import dump_json
from tests.unit.gateway.test_attempts import FakeLane, whole
from tests.unit.policy.table import deployment, table

if TYPE_CHECKING:
    from app.gateway.request import ChatRequest

SCALE = Scale(target=Target(0.3, 0.05, 0.95, window=100))
TABLE = table(
    {"cheap": [deployment("a")], "strong": [deployment("b")]},
    [(Condition(complexities=frozenset({ComplexityTier.COMPLEX})), "strong"), (Condition(), "cheap")],
)
HARD = "Prove step by step that this distributed consensus protocol tolerates two faults, design a migration plan, and compare the trade-offs."
FAIR = "Write a short story about a lighthouse, and explain why the keeper left; it must have three characters, and exactly two scenes."


class Answering(FakeLane):
    async def open(self, call: Any) -> Any:
        self.outcomes = {name: whole() for name in "ab"}
        return await super().open(call)


@pytest.fixture
def gateway() -> ChatGateway:
    return ChatGateway(TABLE, Assessor(scale=SCALE), {LaneName.RELAY: Answering({})}, None, b"secret", ChatLimits(timeout_s=5), Scans(ThreadPoolExecutor(1), 1))


def asking(text: str) -> ChatRequest:
    return read_request(dump_json({"model": "auto", "messages": [{"role": "user", "content": text}]}), {}, Tenant("ann", "key:ann"))


async def served(gateway: ChatGateway, text: str) -> Receipt:
    receipt = Receipt()
    await (await gateway.run(asking(text), receipt)).finish()
    return receipt


async def explained(gateway: ChatGateway, text: str, snapshot: Snapshot | None = None) -> dict[str, Any]:
    request = asking(text)
    terms = gateway.terms
    taken = gateway.snapshot(terms, request) if snapshot is None else snapshot
    reading = gateway.reading(terms, request)
    facts = await reading.facts(await reading.recall(), taken.cuts)
    return to_wire(explain(TABLE, facts, request.body, ask(terms.table, request), taken))


@pytest.mark.parametrize(("others", "pool"), [("Say hello.", "strong"), (HARD, "cheap")])
async def test_the_cut_that_other_requests_moved_is_the_one_of_both_runs(gateway: ChatGateway, others: str, pool: str) -> None:
    for _ in range(120):
        await served(gateway, others)

    dry = await explained(gateway, FAIR)
    real = await served(gateway, FAIR)

    assert real.facts is not None
    assert dry["plan"]["pool"] == pool
    assert real.deployment == {"strong": "b", "cheap": "a"}[pool]
    assert dry["complexity"]["cuts"]["complex"] == pytest.approx(real.facts.complexity.cuts.complex, abs=1e-4)
    assert dry["complexity"]["cuts"]["complex"] != CUTS.complex


async def test_a_snapshot_keeps_its_cut_while_others_move_it(gateway: ChatGateway, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(120):
        await served(gateway, "Say hello.")
    taken = gateway.snapshot(gateway.terms, asking(FAIR))
    before = await explained(gateway, FAIR, taken)
    for _ in range(120):
        await served(gateway, HARD)

    after = await explained(gateway, FAIR, taken)
    monkeypatch.setattr(chat_module, "take_snapshot", lambda *_: taken)
    real = await served(gateway, FAIR)

    assert after == before
    assert after["plan"]["pool"] == "strong"
    assert real.deployment == "b"
    assert gateway.scores.cuts(SCALE) != taken.cuts


async def test_a_cut_that_stands_still_is_no_state() -> None:
    gateway = ChatGateway(TABLE, Assessor(), {}, None, b"secret", ChatLimits(), Scans(ThreadPoolExecutor(1), 1))

    assert gateway.snapshot(gateway.terms, asking(FAIR)).cuts is None
    assert (await explained(gateway, FAIR))["complexity"]["cuts"] == {"medium": CUTS.medium, "complex": CUTS.complex}
