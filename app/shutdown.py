"""The end of a process. SIGTERM first turns readiness red; the server stops only when whoever balances the load has had time to see that."""

from __future__ import annotations

import asyncio
import contextlib
import re
import signal
import threading
from functools import partial
from logging import getLogger
from typing import TYPE_CHECKING

from app.utils import logging

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from logging import LogRecord
    from types import FrameType

_CUT = re.compile(r"Cancel (\d+) running task\(s\)")  # uvicorn/server.py

log = logging.get_logger("shutdown")


class Drain:
    """Whether the process is about to end. Once `begun`, readiness is red and every answer ends its connection."""

    def __init__(self, delay_s: float) -> None:
        self.begun = False
        self._delay_s = delay_s
        self._waiting: asyncio.TimerHandle | None = None
        self._stop: Callable[[], object] | None = None

    def hurry(self) -> None:
        """Wait for no balancer any more: the server hears at once of a SIGTERM that has come, or comes."""
        self._delay_s = 0
        if self._waiting is not None and self._stop is not None:
            self._waiting.cancel()
            self._stop()

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Hear SIGTERM before the server does, which then hears it `delay_s` later, or at once when it comes a second time; and SIGINT, without a delay.

        The server has installed its own way of hearing it, and this is its main thread; anywhere else nothing is done.
        """
        server, interrupted = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
        if threading.current_thread() is not threading.main_thread() or not callable(server) or not callable(interrupted):
            yield
            return
        loop = asyncio.get_running_loop()

        def hear(number: int, frame: FrameType | None) -> None:
            if self.begun or self._delay_s == 0:
                self.begun = True
                server(number, frame)
                return
            self.begun = True
            loop.call_soon_threadsafe(wait, number)

        def wait(number: int) -> None:
            log.info("draining", seconds=self._delay_s)
            self._stop = partial(server, number, None)
            self._waiting = loop.call_later(self._delay_s, self._stop)

        def hear_at_once(number: int, frame: FrameType | None) -> None:
            self.begun = True
            interrupted(number, frame)

        signal.signal(signal.SIGTERM, hear)
        signal.signal(signal.SIGINT, hear_at_once)
        try:
            yield
        finally:
            signal.signal(signal.SIGTERM, server)
            signal.signal(signal.SIGINT, interrupted)


@contextlib.contextmanager
def telling_of_the_cut() -> Iterator[None]:
    """Say in an event of ours how many requests uvicorn ends when SHUTDOWN_GRACE_S is over; its own line would be one without its text."""
    logger = getLogger("uvicorn.error")

    def told_otherwise(record: LogRecord) -> bool:
        cut = _CUT.match(record.getMessage())  # not its form: a filter that LiteLLM adds there writes records out
        if cut is None:
            return True
        log.warning("shutdown_grace_over", requests=int(cut[1]))
        return False

    logger.addFilter(told_otherwise)  # one of its own: another server of this process takes away no more than it brought
    try:
        yield
    finally:
        logger.removeFilter(told_otherwise)
