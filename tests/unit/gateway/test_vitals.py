from __future__ import annotations

import json
from dataclasses import replace

import pytest
from prometheus_client import REGISTRY

from app.domain import Deployment, Failure, Price, Usage
from app.domain_attempts import AttemptPolicy, BreakerPolicy, DeploymentLimits
from app.errors import UpstreamError
from app.gateway.vitals import Lease, Vitals
from app.utils.monitoring import BREAKER
from tests.unit.policy.table import deployment

A = deployment("a")


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


class Told:
    def __init__(self) -> None:
        self.rests: list[tuple[str, float]] = []

    def tell(self, name: str, seconds: float) -> None:
        self.rests.append((name, seconds))


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def vitals(clock: Clock) -> Vitals:
    return Vitals(clock)


def fail(vitals: Vitals, failure: Failure = Failure.UNAVAILABLE, *, times: int = 1, whom: Deployment = A, fair: bool = True, **fields: float) -> None:
    for _ in range(times):
        lease = vitals.of(whom).take(0)
        lease.failed(UpstreamError(failure, **fields), fair=fair)  # type: ignore[arg-type] # seconds alone are given
        lease.end(served=False)


def answer(vitals: Vitals, whom: Deployment = A, *, stream: bool = True) -> Lease:
    lease = vitals.of(whom).take(0)
    lease.answered(stream=stream)
    lease.end()
    return lease


def opened(name: str) -> float:
    return float(BREAKER.labels(name)._value.get())


def test_a_deployment_fails_until_it_answers(vitals: Vitals) -> None:
    fail(vitals)
    fail(vitals, whom=deployment("b"))
    answer(vitals, deployment("b"))
    answer(vitals, deployment("c"))

    assert vitals.failing(["a", "b", "c"]) == ["a"]


def test_a_failure_is_forgotten_after_a_minute(vitals: Vitals, clock: Clock) -> None:
    fail(vitals)

    clock.now += 61

    assert vitals.failing(["a"]) == []


def test_a_provider_that_says_when_to_come_back_is_not_failing(vitals: Vitals) -> None:
    fail(vitals, Failure.RATE_LIMITED)

    assert vitals.failing(["a"]) == []


def test_three_failures_let_it_rest_and_one_answer_ends_that(vitals: Vitals, clock: Clock) -> None:
    fail(vitals, times=3)
    assert vitals.resting() == {"a": 5}
    assert opened("a") == 1
    with pytest.raises(UpstreamError) as caught:
        vitals.of(A).take(0)
    assert (caught.value.failure, caught.value.retry_after_s, caught.value.sent) == (Failure.RESTING, 5, False)

    clock.now += 5
    assert vitals.resting() == {}
    answer(vitals)

    assert vitals.resting() == {}
    assert opened("a") == 0


@pytest.mark.parametrize("failure", [Failure.REJECTED, Failure.CONTEXT_EXCEEDED, Failure.CONTENT_REFUSED, Failure.NOT_CLEARED, Failure.FULL])
def test_what_says_nothing_of_a_deployment_lets_none_rest(vitals: Vitals, failure: Failure) -> None:
    fail(vitals, failure, times=5)

    assert vitals.resting() == {}
    assert vitals.failing(["a"]) == []


def test_time_outs_within_a_callers_own_time_let_none_rest(vitals: Vitals) -> None:
    fail(vitals, Failure.TIMEOUT, times=5, fair=False)
    assert vitals.resting() == {}

    fail(vitals, Failure.TIMEOUT, times=3)
    assert vitals.resting() == {"a": 5}


@pytest.mark.parametrize("failure", [Failure.RATE_LIMITED, Failure.UNAVAILABLE])
def test_a_provider_is_left_alone_for_as_long_as_it_asks(vitals: Vitals, clock: Clock, failure: Failure) -> None:
    fail(vitals, failure, retry_after_s=30)
    assert vitals.resting() == {"a": 30}

    clock.now += 30

    assert vitals.resting() == {}


@pytest.mark.parametrize(("failure", "closes"), [(Failure.REJECTED, True), (Failure.FULL, False)])
def test_a_probe_that_is_refused_for_the_request_shows_that_it_is_well(vitals: Vitals, clock: Clock, failure: Failure, *, closes: bool) -> None:
    fail(vitals, times=3)
    clock.now += 5

    fail(vitals, failure)

    assert vitals.of(A).breaker.is_closed is closes
    assert vitals.resting() == {}


def test_while_one_probes_the_others_rest_and_a_cancelled_probe_makes_room(vitals: Vitals, clock: Clock) -> None:
    fail(vitals, times=3)
    clock.now += 5
    probe = vitals.of(A).take(0)
    assert vitals.resting()

    probe.end()

    assert vitals.resting() == {}


def test_three_streams_in_a_row_that_break_off_after_their_first_tokens_let_it_rest(vitals: Vitals) -> None:
    told = Told()
    vitals.rests = told
    for _ in range(3):
        lease = vitals.of(A).take(0)
        lease.answered(stream=True)
        lease.cut()
        lease.end()

    assert vitals.resting() == {"a": 5}
    assert told.rests == [("a", 5)]


def test_the_remedy_of_the_last_failure_is_told_while_it_rests(vitals: Vitals) -> None:
    for _ in range(3):
        lease = vitals.of(A).take(0)
        lease.failed(UpstreamError(Failure.UNREACHABLE, remedy="Start it.", tell_caller=True))
        lease.end(served=False)

    with pytest.raises(UpstreamError) as caught:
        vitals.of(A).take(0)

    assert (caught.value.remedy, caught.value.tell_caller) == ("Start it.", True)


def test_limits_are_reserved_by_estimate_and_settled_by_usage(vitals: Vitals) -> None:
    limited = replace(A, limits=DeploymentLimits(tokens_per_minute=600))
    vital = vitals.of(limited)
    assert vital.counts_tokens

    lease = vital.take(600)
    with pytest.raises(UpstreamError) as caught:
        vital.take(100)
    assert (caught.value.failure, caught.value.retry_after_s) == (Failure.LIMITED, 10)
    assert vitals.resting() == {"a": pytest.approx(0.1)}
    lease.end(Usage(50, 50))
    lease.end(Usage(1000, 1000))

    vital.take(500).end()
    with pytest.raises(UpstreamError):
        vital.take(1)


def test_a_call_that_served_nothing_gives_its_reservation_back(vitals: Vitals) -> None:
    limited = replace(A, limits=DeploymentLimits(tokens_per_minute=600))
    fail_lease = vitals.of(limited).take(600)

    fail_lease.end(served=False)

    vitals.of(limited).take(600)


def test_a_reload_changes_limits_and_keeps_what_was_learnt(vitals: Vitals) -> None:
    fail(vitals, times=3)
    again = replace(A)
    assert vitals.of(again) is vitals.of(A)
    assert not vitals.of(A).counts_tokens

    limited = replace(A, limits=DeploymentLimits(tokens_per_minute=600))

    assert vitals.of(limited).counts_tokens
    assert vitals.resting() == {"a": 5}
    assert not vitals.of(replace(A)).is_limited


def test_another_policy_is_adopted_by_all(vitals: Vitals) -> None:
    fail(vitals)
    vitals.adopt(AttemptPolicy(breaker=BreakerPolicy(failures=2)))

    fail(vitals)

    assert vitals.resting() == {"a": 5}


def test_what_another_replica_found_is_taken_over(vitals: Vitals) -> None:
    vitals.learn(A, 9)

    assert vitals.resting() == {"a": 9}


def test_the_log_says_once_that_a_deployment_rests_and_once_that_it_is_back(vitals: Vitals, clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    def logged() -> list[tuple[object, ...]]:
        events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        return [(event["event"], event["deployment"], event.get("until_s"), event.get("reason")) for event in events]

    fail(vitals, times=3)
    clock.now += 6
    fail(vitals)  # the probe: it rests on
    clock.now += 11
    answer(vitals)
    answer(vitals)

    assert logged() == [("deployment_rests", "a", 5.0, "failures"), ("deployment_back", "a", None, None)]

    fail(vitals, Failure.RATE_LIMITED, retry_after_s=30.0)
    clock.now += 31
    fail(vitals, Failure.REJECTED)
    vitals.learn(A, 7.0)
    vitals.learn(A, 9.0)

    assert logged() == [
        ("deployment_rests", "a", 30.0, "retry_after"),
        ("deployment_back", "a", None, None),
        ("deployment_rests", "a", 7.0, "replica"),
    ]


def test_those_in_flight_are_counted_until_their_answer_is_read(vitals: Vitals) -> None:
    first, second = vitals.of(A).take(0), vitals.of(A).take(0)
    assert vitals.in_flight == {"a": 2}

    first.end()
    first.end()
    second.end()

    assert vitals.in_flight == {"a": 0}


def counted(name: str, **labels: str) -> float | None:
    return REGISTRY.get_sample_value(name, labels)


def test_what_answers_used_is_counted_and_costs_what_its_deployment_asks(vitals: Vitals) -> None:
    dear, free = (replace(deployment(name), price=price) for name, price in (("dear", Price(1.0, 10.0)), ("free", None)))
    costs = [vitals.of(each).spend(each, Usage(3, 2)) for each in (dear, free, dear)]

    assert costs == [23.0, None, 23.0]
    for name, factor, cost in (("dear", 2, 46.0), ("free", 1, None)):
        tokens = [counted("sluice_tokens_total", deployment=name, direction=direction) for direction in ("prompt", "completion")]
        assert tokens == [3.0 * factor, 2.0 * factor]
        assert counted("sluice_cost_usd_total", deployment=name) == cost


@pytest.mark.parametrize("stream", [True, False])
def test_speed_follows_a_slow_answer_at_once_and_fast_ones_slowly(vitals: Vitals, clock: Clock, *, stream: bool) -> None:
    def took(seconds: float) -> float:
        lease = vitals.of(A).take(0)
        clock.now += seconds
        lease.answered(stream=stream)
        lease.end()
        return (vitals.first_token_s if stream else vitals.answer_s)["a"]

    assert took(1.0) == 1.0
    assert took(3.0) == 3.0
    assert 2.7 < took(0.1) < 3.0
    clock.now += 60
    assert took(0.1) == pytest.approx(0.1, abs=0.02)


def test_a_hedge_waits_for_the_slowest_twentieth_once_enough_is_known(vitals: Vitals) -> None:
    for number in range(1, 20):
        vitals.sample("cheap", number, stream=True)
    assert vitals.hedge_after_s("cheap", stream=True) is None

    vitals.sample("cheap", 20, stream=True)

    assert vitals.hedge_after_s("cheap", stream=True) == 19
    assert vitals.hedge_after_s("cheap", stream=False) is None
