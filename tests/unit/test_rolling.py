from __future__ import annotations

import itertools

from app.rolling import Rolling

GRACE_S = 30.0


class FakeWorker:
    numbers = itertools.count(1)

    def __init__(self) -> None:
        self.pid: int | None = next(self.numbers)
        self.serving = False
        self.running = True
        self.told_to_leave = False
        self.killed = False

    def is_running(self) -> bool:
        return self.running

    def leave(self) -> None:
        self.told_to_leave = True

    def end(self) -> None:
        self.killed = True


class Place:
    """A supervisor's list of workers, and a restart of them by a clock that is set by hand."""

    def __init__(self, count: int = 2) -> None:
        self.now = 0.0
        self.started: list[FakeWorker] = []
        self.old = [FakeWorker() for _ in range(count)]
        self.kept = [*self.old]
        self.rolling = Rolling(self._start, grace_s=GRACE_S, clock=lambda: self.now)

    def _start(self) -> FakeWorker:
        self.started.append(FakeWorker())
        return self.started[-1]

    def step(self) -> None:
        self.rolling.step(self.kept)

    def begin(self) -> None:
        self.rolling.begin(self.kept)
        self.step()


def test_an_old_worker_leaves_when_a_new_one_serves_and_then_the_next() -> None:
    place = Place()

    place.begin()
    place.step()
    assert [worker.told_to_leave for worker in place.old] == [False, False]
    place.started[0].serving = True
    place.step()
    assert [worker.told_to_leave for worker in place.old] == [True, False]
    place.started[1].serving = True
    place.step()

    assert [worker.told_to_leave for worker in place.old] == [True, True]
    assert place.kept == place.started
    assert place.rolling.beside == place.old


def test_one_that_left_is_forgotten() -> None:
    place = Place(1)
    place.begin()
    place.started[0].serving = True
    place.step()

    place.old[0].running = False
    place.step()

    assert place.rolling.beside == []
    assert place.kept == place.started


def test_one_that_does_not_leave_is_killed_after_its_grace() -> None:
    place = Place(1)
    place.begin()
    place.started[0].serving = True
    place.step()

    place.now = GRACE_S
    place.step()
    assert not place.old[0].killed
    place.now = GRACE_S + 11
    place.step()

    assert place.old[0].killed
    assert place.rolling.beside == []


def test_a_new_worker_that_cannot_start_ends_the_restart_and_the_old_stay() -> None:
    place = Place()
    place.begin()

    place.started[0].running = False
    place.step()
    place.step()

    assert place.kept == place.old
    assert len(place.started) == 1
    assert not any(worker.told_to_leave for worker in place.old)


def test_a_new_worker_that_does_not_come_to_serve_ends_the_restart() -> None:
    place = Place()
    place.begin()

    place.now = 61
    place.step()

    assert place.started[0].killed
    assert place.kept == place.old
    assert place.rolling.beside == []


def test_a_worker_that_died_and_was_replaced_meanwhile_is_not_replaced_again() -> None:
    place = Place()
    place.begin()

    place.kept[0] = anew = FakeWorker()
    place.started[0].serving = True
    place.step()

    assert place.kept == [anew, place.started[0]]
    assert place.old[1].told_to_leave


def test_a_new_worker_that_nobody_needs_any_more_leaves_again() -> None:
    place = Place(1)
    place.begin()

    place.kept[0] = FakeWorker()
    place.started[0].serving = True
    place.step()

    assert place.started[0].told_to_leave
    assert place.rolling.beside == place.started


def test_a_restart_is_not_begun_while_another_is_under_way() -> None:
    place = Place()
    place.begin()

    place.begin()
    place.started[0].serving = True
    place.step()
    place.started[1].serving = True
    place.step()
    place.step()

    assert len(place.started) == 2


def test_at_the_end_of_all_a_worker_that_is_not_serving_yet_is_killed() -> None:
    place = Place()
    place.begin()

    place.rolling.stop()
    place.step()

    assert place.started[0].killed
    assert place.rolling.beside == []
