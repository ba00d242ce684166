from __future__ import annotations

import math
import random
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain import Facts, Label, Price, Snapshot
from app.domain_routing import Choice, Member, Pool
from app.policy.pools import EXPLORED, estimated_usd, is_fixed, order
from tests.unit.policy.table import deployment, facts

A, B, C, D = (Member(deployment(name)) for name in "abcd")
DRAWS = [number / 5_000 for number in range(5_000)]


def pool(*members: Member, choose: Choice = Choice.WEIGHTED, **fields: Any) -> Pool:
    return Pool("p", members, choose, **fields)


def names(of: Pool, snapshot: Snapshot, usable: tuple[Member, ...] | None = None, known: Facts | None = None) -> str:
    ordered = order(of, of.members if usable is None else usable, known or facts(), snapshot)
    return "".join(member.deployment.name for member, _ in ordered.members)


def first_shares(of: Pool, usable: tuple[Member, ...] | None = None) -> dict[str, float]:
    """Return how often each member comes first."""
    found = [names(of, Snapshot(draw=draw, conversation=draw), usable)[0] for draw in DRAWS]
    return {name: found.count(name) / len(found) for name in dict.fromkeys(found)}


def near(shares: dict[str, float]) -> Any:
    return pytest.approx(shares, abs=0.02)


def test_a_pool_in_order_stays_in_order_whatever_the_draw() -> None:
    assert is_fixed(pool(B, A, choose=Choice.ORDERED))
    assert names(pool(B, A, choose=Choice.ORDERED), Snapshot(draw=0.7)) == "ba"


def test_weights_are_met() -> None:
    assert first_shares(pool(A, replace(B, weight=3), replace(C, weight=6))) == near({"a": 0.1, "b": 0.3, "c": 0.6})


def test_a_weight_of_zero_only_follows() -> None:
    assert first_shares(pool(replace(A, weight=0), B)) == {"b": 1.0}
    assert names(pool(replace(A, weight=0), B), Snapshot(draw=0.5)) == "ba"


def test_a_canary_gets_its_share_and_the_others_keep_their_order() -> None:
    of = pool(A, B, replace(C, share=0.05), choose=Choice.ORDERED)

    assert first_shares(of) == near({"a": 0.95, "c": 0.05})
    assert {names(of, Snapshot(draw=draw)) for draw in DRAWS[::10]} == {"abc", "cab"}


def test_canaries_do_not_change_each_others_share() -> None:
    assert first_shares(pool(A, replace(B, share=0.2), replace(C, share=0.1))) == near({"a": 0.7, "b": 0.2, "c": 0.1})


def test_shares_of_the_whole_need_no_rest() -> None:
    of = pool(replace(A, share=0.75), replace(B, share=0.25))

    assert first_shares(of) == near({"a": 0.75, "b": 0.25})
    assert first_shares(of, (of.members[1],)) == {"b": 1.0}


def test_a_canary_takes_all_only_where_nobody_else_is_left() -> None:
    of = pool(A, replace(B, share=0.05))

    assert first_shares(of, (of.members[1],)) == {"b": 1.0}


def test_a_member_that_rests_moves_only_the_conversations_that_it_had() -> None:
    of = pool(A, B, C, sticky=True)
    for number in DRAWS[::10]:
        before = names(of, Snapshot(conversation=number))[0]
        after = names(of, Snapshot(conversation=number), (A, C))[0]
        assert before in {after, "b"}


def test_a_conversation_stays_whatever_is_drawn() -> None:
    of = pool(A, B, C, sticky=True)

    assert {names(of, Snapshot(conversation=0.3, draw=draw)) for draw in DRAWS[::50]} == {names(of, Snapshot(conversation=0.3))}


@pytest.mark.parametrize("choose", [Choice.CHEAPEST, Choice.FASTEST, Choice.LATENCY, Choice.LEAST_BUSY])
def test_a_conversation_stays_with_what_it_had_though_measures_move(choose: Choice) -> None:
    of = pool(A, B, C, choose=choose, sticky=True)
    snapshot = Snapshot(first_token_s={"a": 0.1, "b": 9.0, "c": 5.0}, in_flight={"b": 99}, conversation=0.5, stays_with="b")

    ordered = order(of, of.members, facts(), snapshot)

    assert (ordered.members[0][0].deployment.name, ordered.members[0][1]) == ("b", "stays with the conversation")
    assert names(of, snapshot, (A, C))[0] in "ac"


def test_an_experiment_names_the_arm_that_was_drawn_and_asks_it_first() -> None:
    arms = (replace(A, arm="old"), replace(B, arm="old"), replace(C, arm="new", share=0.2), replace(D, arm="new", share=0.2))
    of = pool(*arms, experiment="tone", sticky=True)
    drawn = [order(of, arms, facts(), Snapshot(conversation=number)) for number in DRAWS]

    assert {each.arm for each in drawn} == {"tone/old", "tone/new"}
    assert sum(each.arm == "tone/new" for each in drawn) / len(drawn) == pytest.approx(0.4, abs=0.02)
    for each in drawn:
        listed = [member.arm for member, _ in each.members]
        assert listed == sorted(listed, key=lambda arm: arm != listed[0])
        assert each.arm == f"tone/{listed[0]}"
        assert each.members[0][1].startswith(f"arm {listed[0]}, ")


def priced(name: str, input_usd: float, output_usd: float) -> Member:
    return Member(deployment(name, price=Price(input_usd, output_usd)))


def test_the_cheapest_comes_first_and_unknown_prices_last() -> None:
    of = pool(A, priced("b", 3e-6, 9e-6), priced("c", 1e-6, 2e-6), choose=Choice.CHEAPEST)

    assert names(of, Snapshot()) == "cba"


class Counting:
    """Facts whose tokens must not be read."""

    max_output_tokens = None

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"{name} is read")


def test_tokens_are_not_read_where_prices_alone_say_which_is_cheapest() -> None:
    known: Any = Counting()

    assert names(pool(priced("b", 3e-6, 9e-6), priced("c", 1e-6, 9e-6), choose=Choice.CHEAPEST), Snapshot(), None, known) == "cb"
    with pytest.raises(AssertionError, match=r"tokens.* is read"):
        names(pool(priced("b", 3e-6, 1e-6), priced("c", 1e-6, 9e-6), choose=Choice.CHEAPEST), Snapshot(), None, known)


@pytest.mark.parametrize(("tokens", "answer", "expected"), [(100_000, None, "cb"), (10, None, "bc"), (10, 1, "cb")])
def test_the_cheapest_depends_on_the_request(tokens: int, answer: int | None, expected: str) -> None:
    of = pool(priced("b", 3e-6, 1e-6), priced("c", 1e-6, 9e-6), choose=Choice.CHEAPEST)

    assert names(of, Snapshot(), None, facts(prompt_tokens=tokens, max_output_tokens=answer)) == expected


def test_without_a_price_a_request_costs_more_than_any() -> None:
    assert estimated_usd(A.deployment, 1, 1) == math.inf


def test_the_fastest_comes_first_and_what_nobody_measured_before_it_by_one_request_at_a_time() -> None:
    of = pool(A, B, C, choose=Choice.FASTEST)
    measured = {"a": 0.5, "b": 0.2}

    assert names(of, Snapshot(first_token_s=measured, draw=0.9)) == "cba"
    assert names(of, Snapshot(first_token_s=measured, in_flight={"c": 1}, draw=0.9)) == "bac"


@pytest.mark.parametrize("choose", [Choice.FASTEST, Choice.LATENCY])
def test_what_was_slow_once_is_asked_again_now_and_then(choose: Choice) -> None:
    of = pool(A, B, choose=choose)
    slow = [draw for draw in DRAWS if names(of, Snapshot(first_token_s={"a": 0.1, "b": 60.0}, draw=draw)) == "ba"]

    assert max(slow) < EXPLORED
    assert len(slow) / len(DRAWS) == pytest.approx(EXPLORED / 2, rel=0.3)


def test_latency_counts_what_is_in_flight() -> None:
    of = pool(A, B, choose=Choice.LATENCY)

    assert names(of, Snapshot(first_token_s={"a": 0.2, "b": 0.3}, in_flight={"a": 1, "b": 0}, draw=0.5)) == "ba"
    assert names(of, Snapshot(first_token_s={"a": 0.2, "b": 0.3}, in_flight={"a": 0, "b": 0}, draw=0.5)) == "ab"


def test_the_less_busy_of_two_that_are_drawn_comes_first() -> None:
    of = pool(A, B, C, D, choose=Choice.LEAST_BUSY)
    busy = {"a": 9, "b": 5, "c": 7, "d": 1}
    found = [names(of, Snapshot(in_flight=busy, draw=draw)) for draw in DRAWS]
    shares = {name: sum(each[0] == name for each in found) / len(found) for name in "abcd"}

    assert shares == near({"a": 0.0, "c": 1 / 6, "b": 1 / 3, "d": 1 / 2})
    assert all(list(each[1:]) == sorted(each[1:], key=lambda name: busy[name]) for each in found)


def test_power_of_two_choices_keeps_loads_close() -> None:
    members = tuple(Member(deployment(f"d{place}")) for place in range(8))
    of = pool(*members, choose=Choice.LEAST_BUSY)
    rng, load = random.Random(7), dict.fromkeys((member.deployment.name for member in members), 0)  # noqa: S311 -- load, not secrets

    for _ in range(800):
        load[order(of, members, facts(), Snapshot(in_flight=load, draw=rng.random())).members[0][0].deployment.name] += 1

    assert max(load.values()) - min(load.values()) <= 8  # one choice at random spreads over 30 here


POOLS = st.builds(
    lambda weights, choose, sticky, shares, arms: Pool(
        "p",
        tuple(
            Member(deployment(name, Label.CONFIDENTIAL), weight, share / 100 if share else None, "x" if arms and name < "c" else "y" if arms else "")
            for name, weight, share in zip("abcdef", weights, shares, strict=False)
        ),
        choose,
        sticky,
        "e" if arms else "",
    ),
    st.lists(st.integers(0, 5), min_size=1, max_size=6),
    st.sampled_from(Choice),
    st.booleans(),
    st.lists(st.sampled_from([0, 0, 5, 15]), min_size=6, max_size=6),
    st.booleans(),
)
UNIT = st.floats(0, 1, exclude_max=True)
SNAPSHOTS = st.builds(
    Snapshot,
    first_token_s=st.dictionaries(st.sampled_from("abcdef"), st.floats(0, 60)),
    in_flight=st.dictionaries(st.sampled_from("abcdef"), st.integers(0, 9)),
    draw=UNIT,
    conversation=UNIT,
    stays_with=st.sampled_from(["", *"abcdef", "gone"]),
)


@given(POOLS, SNAPSHOTS, st.data())
def test_every_order_holds_just_those_that_may_serve_each_once(of: Pool, snapshot: Snapshot, data: st.DataObject) -> None:
    usable = tuple(data.draw(st.lists(st.sampled_from(of.members), unique_by=lambda member: member.deployment.name)))

    ordered = order(of, usable, facts(), snapshot)

    assert sorted(member.deployment.name for member, _ in ordered.members) == sorted(member.deployment.name for member in usable)
    assert order(of, usable, facts(), snapshot) == ordered
    if of.experiment and usable:
        assert ordered.arm == f"e/{ordered.members[0][0].arm}"
