"""Long requests are parsed and scanned off the event loop, in few threads; tenants take turns there by the bytes that they bring."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
from functools import partial
from typing import TYPE_CHECKING, Final, ParamSpec, TypeVar

from app.errors import OverloadedError
from app.gateway.slots import FullError, Slots
from app.utils.monitoring import OVERLOADED

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Executor

_P = ParamSpec("_P")
_T = TypeVar("_T")

_QUEUE: Final = "scan"
_PLACES: Final = 64  # each holds a body
_WAIT_S: Final = 30.0  # 64 bodies of 8 MiB are scanned in about 10 s


class Scans:
    """Turns at `threads` threads of `pool`."""

    def __init__(self, pool: Executor, threads: int, *, places: int = _PLACES, wait_s: float = _WAIT_S) -> None:
        self._pool = pool
        self._slots = Slots(threads, places=places)
        self._wait_s = wait_s

    async def run(self, tenant: str, size_bytes: int, work: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """Return what `work` returns, in its turn. Raises OverloadedError, and whatever `work` raises."""
        try:
            await self._slots.take(tenant, self._wait_s, cost=float(size_bytes))
        except FullError:
            OVERLOADED.labels(_QUEUE).inc()
            raise OverloadedError("The gateway has more long requests to scan than it can: try again in 5 s.", headers={"retry-after": "5"}) from None
        context = contextvars.copy_context()  # so that what is logged there carries the request's id
        try:
            future = self._pool.submit(partial(context.run, work, *args, **kwargs))
        except BaseException:
            self._slots.give(tenant)
            raise
        future.add_done_callback(_returning(self._slots, tenant, asyncio.get_running_loop()))
        return await asyncio.wrap_future(future)


def _returning(slots: Slots, tenant: str, loop: asyncio.AbstractEventLoop) -> Callable[[object], None]:
    """Return what gives the slot back once the thread is free, which is later than a caller that leaves."""

    def done(_: object) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended, and the slots with it
            loop.call_soon_threadsafe(slots.give, tenant)

    return done
