from __future__ import annotations

from dataclasses import replace
from datetime import UTC
from typing import Any

import pytest

from app.domain import Cuts, Failure, Hints, Tenant
from app.domain_routing import Choice, Condition, Hours, Member, Pool, RoutingTable
from app.errors import UpstreamError
from app.gateway.cache_control import CacheControl
from app.gateway.request import ChatRequest
from app.gateway.snapshot import IDLE, Stays, ask, conversation_of, take_snapshot
from app.gateway.vitals import Vitals
from tests.unit.policy.table import deployment, table

A, B = deployment("a"), deployment("b")
ANN = Tenant("ann", "key:ann")
BODY: dict[str, Any] = {"model": "auto", "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "hi"}]}


def choosing(choose: Choice, *, sticky: bool = False) -> RoutingTable:
    return replace(table({"p": [A, B]}), pools={"p": Pool("p", (Member(A), Member(B)), choose, sticky)})


def snapshot_of(routing: RoutingTable, vitals: Vitals | None = None, stays: Stays | None = None, **body: Any) -> Any:
    return take_snapshot(routing, vitals or Vitals(), stays or Stays(), b"secret", ANN, BODY | body)


def test_a_table_in_order_takes_nothing_while_all_is_well() -> None:
    assert snapshot_of(table({"p": [A, B]})) is IDLE


def test_what_rests_is_always_taken() -> None:
    vitals = Vitals()
    lease = vitals.of(A).take(0)
    lease.failed(UpstreamError(Failure.RATE_LIMITED, retry_after_s=30.0))

    assert 29 < snapshot_of(table({"p": [A, B]}), vitals).resting["a"] <= 30
    assert 29 < snapshot_of(choosing(Choice.WEIGHTED), vitals).resting["a"] <= 30


def test_a_draw_is_the_requests_own() -> None:
    draws = {snapshot_of(choosing(Choice.WEIGHTED)).draw for _ in range(20)}

    assert len(draws) == 20
    assert all(0 <= draw < 1 for draw in draws)


def test_time_is_taken_where_a_rule_reads_it() -> None:
    assert snapshot_of(table({"p": [A]}, [(Condition(hours=Hours(UTC)), "p"), (Condition(), "p")])).now > 1_700_000_000
    assert snapshot_of(choosing(Choice.WEIGHTED)).now == 0


@pytest.mark.parametrize(("stream", "measured"), [(True, {"a": 0.2}), (False, {"a": 3.0})])
def test_measures_are_of_first_tokens_for_streams_and_of_whole_answers_else(*, stream: bool, measured: dict[str, float]) -> None:
    vitals = Vitals()
    vitals.first_token_s["a"], vitals.answer_s["a"], vitals.in_flight["a"] = 0.2, 3.0, 4

    taken = snapshot_of(choosing(Choice.FASTEST), vitals, stream=stream)
    vitals.in_flight["a"] = 9

    assert (taken.first_token_s, taken.in_flight) == (measured, {"a": 4})


def test_every_turn_of_a_conversation_has_its_number_and_no_other_has() -> None:
    later = [*BODY["messages"], {"role": "assistant", "content": "hello"}, {"role": "user", "content": "go on"}]
    first = conversation_of(b"secret", "key:ann", BODY)

    assert 0 <= first < 1
    assert conversation_of(b"secret", "key:ann", {"messages": later}) == first
    assert conversation_of(b"secret", "key:bob", BODY) != first
    assert conversation_of(b"other", "key:ann", BODY) != first
    assert conversation_of(b"secret", "key:ann", {"messages": [{"role": "user", "content": "hi"}]}) != first
    assert conversation_of(b"secret", "key:ann", {"messages": ["odd"]}) != first


def test_a_conversation_is_remembered_where_the_choice_moves() -> None:
    stays = Stays()
    stays.note(conversation_of(b"secret", ANN.key_id, BODY), "b")

    assert snapshot_of(choosing(Choice.FASTEST, sticky=True), stays=stays).stays_with == "b"
    assert snapshot_of(choosing(Choice.WEIGHTED, sticky=True), stays=stays).stays_with == ""
    assert snapshot_of(choosing(Choice.FASTEST), stays=stays).stays_with == ""


def test_the_oldest_conversations_are_forgotten_first() -> None:
    stays = Stays(limit=2)
    for number in (0.1, 0.2, 0.1, 0.3):
        stays.note(number, f"at {number}")

    assert [stays.find(number) for number in (0.1, 0.2, 0.3)] == ["at 0.1", "", "at 0.3"]


def request(tenant: Tenant, tags: frozenset[str] = frozenset()) -> ChatRequest:
    return ChatRequest({"model": "auto"}, 10, tenant, Hints(), CacheControl(), (), tags)


def test_of_a_callers_tags_those_are_read_that_a_rule_asks_for() -> None:
    routing = table({"p": [A]}, [(Condition(tags=frozenset({"draft"})), "p"), (Condition(), "p")])

    asked = ask(routing, request(ANN, frozenset({"draft", "other"})))

    assert (asked.tags, asked.key, asked.model) == (frozenset({"draft"}), "ann", "auto")


def test_who_sends_no_key_has_no_keys_name() -> None:
    assert ask(table({"p": [A]}), request(Tenant("anonymous", "address:127.0.0.1"))).key == ""


@pytest.mark.parametrize("routing", [table({"p": [A, B]}), choosing(Choice.WEIGHTED)])
def test_cuts_that_move_are_taken(routing: RoutingTable) -> None:
    cuts = Cuts(0.1, 0.5)

    assert take_snapshot(routing, Vitals(), Stays(), b"secret", ANN, BODY, cuts).cuts == cuts
    assert take_snapshot(routing, Vitals(), Stays(), b"secret", ANN, BODY).cuts is None
