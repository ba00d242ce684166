from __future__ import annotations

from app.gateway.vitals import Vitals


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_deployment_fails_until_it_answers() -> None:
    vitals = Vitals(Clock())
    vitals.failed("a")
    vitals.failed("b")
    vitals.answered("b")
    vitals.answered("c")

    assert vitals.failing(["a", "b", "c"]) == ["a"]


def test_a_failure_is_forgotten_after_a_minute() -> None:
    clock = Clock()
    vitals = Vitals(clock)
    vitals.failed("a")

    clock.now += 61

    assert vitals.failing(["a"]) == []
