from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain import Complexity, ComplexityTier, Facts, Finding, Hints, Label, LaneName, Tenant, Tier
from app.domain_routing import Choice, Condition, RoutingTable
from app.gateway.bounds import ChatLimits
from app.gateway.chat import ChatGateway
from app.gateway.decided import DECIDING, Decision, Decisions, is_plain
from app.gateway.receipt import Receipt
from app.gateway.scans import Scans
from app.gateway.taint import Conversations
from app.policy.assess import Assessor
from app.routers.chat import _FORWARDED, read_request
from app.services.taint import MemoryMarks
from tests.unit.gateway.test_attempts import TOKEN as FIRST
from tests.unit.gateway.test_attempts import FakeAnswer, FakeLane, streamed, whole
from tests.unit.gateway.test_reply import FINISH, FakeCache
from tests.unit.policy.table import deployment, facts, table

ASSESSOR = Assessor()
HOME = deployment("home", Label.CONFIDENTIAL)
A, B = deployment("a"), deployment("b")


def plain() -> RoutingTable:
    rules = [(Condition(labels=frozenset({Label.CONFIDENTIAL})), "local"), (Condition(complexities=frozenset({ComplexityTier.COMPLEX})), "strong")]
    return table({"strong": [B, A], "cheap": [A, B], "local": [HOME]}, [*rules, (Condition(), "cheap")], fallback="local")


def drawn() -> RoutingTable:
    known = plain()
    return replace(known, pools={**known.pools, "cheap": replace(known.pools["cheap"], choose=Choice.WEIGHTED)})


class Lane(FakeLane):
    async def open(self, call: Any) -> FakeAnswer:
        self.outcomes = {name: streamed(FIRST, FINISH) if call.stream else whole() for name in ("a", "b", "home")}
        return await super().open(call)


class Asking:
    """A gateway as the router asks it: by bytes and headers."""

    def __init__(self, *, remembers: bool) -> None:
        self.chat = ChatGateway(plain(), ASSESSOR, {LaneName.RELAY: Lane({})}, FakeCache(), b"secret", ChatLimits(timeout_s=5), Scans(ThreadPoolExecutor(1), 1))
        self.chat.conversations = Conversations(MemoryMarks(3600), b"secret")
        self.recalled = 0
        if not remembers:
            self.chat.decisions = Decisions(limit=0)

    async def __call__(self, raw: bytes, headers: dict[str, str], tenant: Tenant) -> tuple[Any, ...]:
        chat, receipt = self.chat, Receipt()
        reply = await chat.recall(tenant, raw, receipt) if is_plain(headers) else None
        self.recalled += reply is not None
        if reply is None:
            reply = await chat.run(read_request(raw, headers, tenant, plain=is_plain(headers)), receipt)
        body = b"".join([data async for data in reply.chunks()]) if reply.stream else reply.body
        await reply.finish()
        told = [(key, value) for key, value in receipt.headers() if key != b"server-timing"]
        noted: dict[str, Any] = {}
        receipt.note(noted)
        return told, body, noted, chat.scores.share


def raw_body(text: str = "hi", **more: Any) -> bytes:
    return orjson.dumps({"model": "auto", "messages": [{"role": "user", "content": text}], **more})


TENANT = Tenant("t", "key:t")
TEXTS = [
    "hi",
    "Prove step by step that the derivative exists, then compare and justify.",
    "Mail jane.roe@acme.io",
    "Charge 4111 1111 1111 1111.",
]
REQUESTS = st.tuples(
    st.sampled_from(TEXTS),
    st.sampled_from([{}, {"stream": True}, {"store": True}, {"model": "cheap"}, {"metadata": {"sensitivity": "internal"}}]),
    st.sampled_from([{}, {}, {}, {"x-sensitivity": "internal"}, {"cache-control": "no-cache"}, {"x-no-fallback": "1"}, {"x-complexity": "complex"}]),
    st.sampled_from([TENANT, Tenant("u", "key:u")]),
)
STEPS = st.sampled_from(["first", "second", "first", "second", "rest a", "rest b", "reload", "draw", "forget"])


@given(REQUESTS, REQUESTS, st.lists(STEPS, min_size=3, max_size=12))
@settings(max_examples=80, deadline=None)
async def test_a_gateway_that_remembers_decisions_answers_like_one_that_does_not(first: Any, second: Any, steps: list[str]) -> None:
    gateways = Asking(remembers=True), Asking(remembers=False)
    tables = {"reload": plain(), "draw": drawn()}

    for step in steps:
        told = []
        for gateway in gateways:
            chat = gateway.chat
            chat.vitals.clock = lambda: 0.0
            if step in {"first", "second"}:
                text, more, headers, tenant = first if step == "first" else second
                told.append([await gateway(raw_body(text, **more), headers, tenant) for _ in range(3)])
            elif step in tables:
                chat.table = tables[step]
            elif step == "forget":
                chat.cache = FakeCache()
            else:
                chat.vitals.learn(A if step == "rest a" else B, 5.0)
        if told and chat.table is not tables["draw"]:  # what is drawn differs anyway
            assert told[0] == told[1]


async def test_what_is_asked_a_third_time_is_not_read_again() -> None:
    gateway = Asking(remembers=True)

    answers = [await gateway(raw_body(), {}, TENANT) for _ in range(3)]

    assert gateway.recalled == 1
    assert answers[1] == answers[2]


@pytest.mark.parametrize("change", ["rest", "reload", "marks", "tenant", "assessor", "opinion", "expired"])
async def test_what_could_change_a_decision_makes_it_anew(change: str) -> None:
    gateway = Asking(remembers=True)
    for _ in range(2):
        await gateway(raw_body(), {}, TENANT)
    chat: Any = gateway.chat

    if change == "rest":
        chat.vitals.learn(A, 5.0)
    elif change == "reload":
        chat.table = plain()
    elif change == "marks":
        await chat.conversations.marks.add(TENANT.key_id, [b"m" * 16])
    elif change == "assessor":
        chat.assessor = Assessor()
    elif change == "opinion":
        chat.second_opinion = object()
    elif change == "expired":
        chat.cache = FakeCache()

    assert await chat.recall(Tenant("u", "key:u") if change == "tenant" else TENANT, raw_body(), Receipt()) is None


@pytest.mark.parametrize("asked", [raw_body("Charge 4111 1111 1111 1111."), raw_body(store=True)])
async def test_what_may_not_be_cached_is_not_remembered(asked: bytes) -> None:
    gateway = Asking(remembers=True)

    for _ in range(3):
        await gateway(asked, {}, TENANT)

    assert len(gateway.chat.decisions) == 0


async def test_no_decision_of_a_pool_that_draws_is_remembered() -> None:
    gateway = Asking(remembers=True)
    gateway.chat.table = drawn()

    for _ in range(3):
        await gateway(raw_body(), {}, TENANT)

    assert len(gateway.chat.decisions) == 0


def decision(of: Facts, within: Any = None) -> Decision:
    return Decision(plain() if within is None else within, ASSESSOR, of, "rest", b"key", stream=False)


def test_the_oldest_go_first() -> None:
    decisions = Decisions(limit=2)
    kept = decision(facts(Label.PUBLIC))
    for name in (b"1", b"2"):
        decisions.keep(TENANT, name, kept)
    assert decisions.find(TENANT, b"1", kept.table, kept.assessor) is not None

    decisions.keep(TENANT, b"3", kept)

    assert [decisions.find(TENANT, name, kept.table, kept.assessor) is None for name in (b"1", b"2", b"3")] == [False, True, False]


def test_no_configuration_outlives_the_next_one() -> None:
    decisions = Decisions()
    for number in range(3):
        decisions.keep(TENANT, b"%d" % number, decision(facts(Label.PUBLIC)))
    new = decision(facts(Label.PUBLIC))

    decisions.keep(TENANT, b"new", new)

    assert [kept.table for kept in decisions._kept.values()] == [new.table]


def test_asking_by_a_new_configuration_lets_go_of_the_old_one() -> None:
    decisions = Decisions()
    old, new = decision(facts(Label.PUBLIC)), decision(facts(Label.PUBLIC))
    decisions.keep(TENANT, b"old", old)

    decisions.find(TENANT, b"another", new.table, new.assessor)

    assert len(decisions) == 0


def test_nothing_confidential_long_or_counted_is_kept() -> None:
    decisions = Decisions()
    many = tuple(Finding("email", Tier.WEAK, f"messages[{number}].content", 0, 1) for number in range(17))
    counting = table({"cheap": [A]}, [(Condition(min_tokens=10), "cheap"), (Condition(), "cheap")])

    decisions.keep(TENANT, b"1", decision(facts(Label.CONFIDENTIAL)))
    decisions.keep(TENANT, b"2", decision(Facts(Label.PUBLIC, "default", many)))
    decisions.keep(TENANT, b"3", decision(Facts(Label.PUBLIC, "default", (), Complexity(0.1, ComplexityTier.SIMPLE), 50), counting))
    decisions.keep(TENANT, b"x" * 65_537, decision(facts(Label.PUBLIC)))

    assert len(decisions) == 0


@pytest.mark.parametrize("reads", [True, False])
async def test_what_is_kept_holds_no_text(*, reads: bool) -> None:
    decisions = Decisions()
    found = ASSESSOR.assess(orjson.loads(raw_body("What is an aardvark?")), Hints())
    known = found.complexity if reads else None

    decisions.keep(TENANT, b"1", decision(found))
    kept = next(iter(decisions._kept.values()))

    assert kept.facts.known_complexity == known
    assert kept.facts.measures.known_complexity == known
    assert "aardvark" not in repr(kept) + repr(kept.facts.measures)
    assert not hasattr(kept.facts.measures, "_collected")


def test_only_headers_that_say_nothing_are_plain() -> None:
    assert not is_plain({"content-type": "text/plain"})
    assert is_plain({"content-type": "application/json"})
    assert not any(is_plain({name: "internal"}) for name in DECIDING)


def test_a_long_body_is_not_looked_for() -> None:
    kept = decision(facts(Label.PUBLIC))

    assert Decisions().find(TENANT, b"x" * 65_537, kept.table, kept.assessor) is None


def test_decisions_tell_tenants_and_processes_apart() -> None:
    one, kept = Decisions(), decision(facts(Label.PUBLIC))
    asked = [(Tenant("n", "a"), b"bc"), (Tenant("n", "ab"), b"c")]
    for tenant, raw in asked:
        one.keep(tenant, raw, kept)

    names = {found.name for tenant, raw in asked if (found := one.find(tenant, raw, kept.table, kept.assessor)) is not None}

    assert len(names) == 2
    assert one._name(*asked[0]) != Decisions()._name(*asked[0])


def test_what_has_the_same_place_as_another_body_is_not_taken_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.gateway.decided.hash", lambda _: 1, raising=False)
    decisions, kept = Decisions(), decision(facts(Label.PUBLIC))

    decisions.keep(TENANT, b"one", kept)
    found = [decisions.find(TENANT, raw, kept.table, kept.assessor) is not None for raw in (b"one", b"other")]

    assert found == [True, False]


class Asked(dict[str, str]):
    """Headers that say which of them were looked for."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def get(self, key: str, default: Any = None) -> Any:
        self.names.add(key)
        return default

    def __contains__(self, key: object) -> bool:
        self.names.add(str(key))
        return False


def test_every_header_that_a_request_is_read_by_is_deciding() -> None:
    headers = Asked()

    read_request(raw_body(), headers, TENANT)

    assert headers.names | _FORWARDED <= DECIDING | {"content-type"}
