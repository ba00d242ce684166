"""Time limits of attempts, held by one timer for all of them.

`asyncio.timeout` makes a timer for each and takes it back: 3 µs of a request's time, 6 in service. Nearly every attempt ends long before its limit, so that
here one costs an entry in a table, and the timer is moved only when it would fire too late.
"""

from __future__ import annotations

import asyncio
import math
import time
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from types import TracebackType

_SLACK_S = 0.001  # uvloop's timers have whole milliseconds


class Deadlines:
    """The limits that run (`running`), one for each attempt under way, and when the loop's timer looks at them (`timer_at`, infinity: there is none)."""

    __slots__ = ("_timer", "loop", "running", "timer_at")

    def __init__(self) -> None:
        self.running: dict[Within, None] = {}
        self.loop: asyncio.AbstractEventLoop | None = None
        self.timer_at = math.inf
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self.running)

    def set_timer(self, at: float, loop: asyncio.AbstractEventLoop) -> None:
        """Look at the limits then."""
        if self._timer is not None:
            self._timer.cancel()
        self.loop, self.timer_at = loop, at
        self._timer = loop.call_at(at, self._expire)

    def _expire(self) -> None:
        self._timer = None
        self.timer_at = math.inf
        loop = asyncio.get_running_loop()
        due = loop.time() + _SLACK_S
        for limit in sorted((limit for limit in self.running if limit.at <= due), key=_end_of):
            del self.running[limit]
            limit.expire()
        if self.running:
            self.set_timer(min(limit.at for limit in self.running), loop)


def _end_of(limit: Within) -> float:
    return limit.at


class Within:
    """One limit: the task that enters it is cancelled after so many seconds, which then raises TimeoutError, as with `asyncio.timeout`; without `async`."""

    __slots__ = ("_cancelling", "_deadlines", "_expired", "_seconds", "_task", "at")

    def __init__(self, deadlines: Deadlines, seconds: float) -> None:
        self._deadlines = deadlines
        self._seconds = seconds
        self._expired = False
        self.at = 0.0  # of the event loop's clock, which is time.monotonic

    def __enter__(self) -> Self:
        deadlines = self._deadlines
        # By the loop that it was the last time: which one runs is a system call (Python 3.11).
        task = asyncio.current_task(deadlines.loop) or asyncio.current_task()
        if task is None:
            raise RuntimeError("a limit is entered outside a task")
        self._task = task
        self._cancelling = task.cancelling()
        self.at = at = time.monotonic() + self._seconds
        loop = task.get_loop()
        deadlines.running[self] = None
        if at < deadlines.timer_at or deadlines.loop is not loop:
            deadlines.set_timer(at, loop)
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, _: TracebackType | None) -> None:
        if not self._expired:  # the timer looks for itself when it fires
            self._deadlines.running.pop(self, None)
        elif self._task.uncancel() <= self._cancelling and kind is not None and issubclass(kind, asyncio.CancelledError):
            raise TimeoutError from exc

    def expire(self) -> None:
        """Cancel what runs inside."""
        self._expired = True
        self._task.cancel()
