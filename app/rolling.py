"""A restart of several workers that interrupts nobody: a new one serves before an old one is told to leave, one after the other."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, Generic, Protocol, TypeVar

from app.utils import logging

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_START_S: Final = 60.0  # imports and patterns that are compiled, on a busy machine
_SLACK_S: Final = 10.0  # what a process takes to end beyond its grace

log = logging.get_logger("supervisor")


class Replaced(Protocol):
    """What is asked of a worker process."""

    serving: bool  # it has said that it does

    @property
    def pid(self) -> int | None:
        """The process."""

    def is_running(self) -> bool:
        """Say whether the process is there."""

    def leave(self) -> None:
        """Take no more connections, and end when those that are open have had their answers, or the grace is over."""

    def end(self) -> None:
        """Kill it."""


_W = TypeVar("_W", bound=Replaced)


class Rolling(Generic[_W]):
    """At most one restart at a time, which `step` brings on and never waits for. `grace_s` is what a worker that leaves may take."""

    def __init__(self, start: Callable[[], _W], *, grace_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._start = start
        self._grace_s = grace_s
        self._clock = clock
        self._due: list[_W] = []
        self._coming: _W | None = None
        self._coming_until = 0.0
        self._leaving: dict[_W, float] = {}  # until when

    @property
    def beside(self) -> list[_W]:
        """The workers that are not, or no longer, among those that the supervisor keeps."""
        return [*([] if self._coming is None else [self._coming]), *self._leaving]

    def begin(self, workers: Sequence[_W]) -> None:
        """Replace these. Nothing is begun while another restart is under way."""
        if self._due or self._coming is not None:
            log.warning("restart_not_begun", reason="another is under way")
            return
        self._due = [*workers]
        log.info("restarting", workers=len(self._due))

    def step(self, kept: list[_W]) -> None:
        """Do what can be done now, in `kept`: the supervisor's own list, where the new take the places of the old."""
        for worker, until in tuple(self._leaving.items()):
            if not worker.is_running() or self._clock() > until:
                worker.end()
                del self._leaving[worker]
        if self._coming is not None:
            self._welcome(self._coming, kept)
        self._due = [worker for worker in self._due if worker in kept]  # one that died was replaced already
        if self._due and self._coming is None:
            self._coming, self._coming_until = self._start(), self._clock() + _START_S

    def stop(self) -> None:
        """Begin nothing more."""
        self._due.clear()
        if self._coming is not None:
            self._coming.end()
            self._coming = None

    def _welcome(self, new: _W, kept: list[_W]) -> None:
        if not new.serving:
            if not new.is_running() or self._clock() > self._coming_until:
                self.stop()
                log.warning("restart_failed", pid=new.pid, kept=len(kept))
            return
        self._coming = None
        old = next((worker for worker in self._due if worker in kept), None)
        if old is None:
            self._see_off(new)
            return
        self._due.remove(old)
        kept[kept.index(old)] = new
        self._see_off(old)
        log.info("worker_replaced", pid=old.pid, by=new.pid, left=len(self._due))

    def _see_off(self, worker: _W) -> None:
        worker.leave()
        self._leaving[worker] = self._clock() + self._grace_s + _SLACK_S
