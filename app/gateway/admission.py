"""A bound on the requests that are served at the same time, held before their bodies are read: what waits costs a connection and nothing else."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Final

from app.errors import OverloadedError
from app.gateway.slots import FullError, Slots
from app.utils.monitoring import OVERLOADED, QUEUE_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_QUEUE: Final = "requests"

# A body of so many bytes counts as much as a request without one, so that the bound holds for memory too.
_UNIT_BYTES: Final = 256 * 1024


class Admission:
    """At most `limit` requests at a time (0: no bound), `places` more waiting, each for `wait_s` at most; tenants take turns.

    `max_bytes` is what a body may have at most, and what one counts for that does not announce its length.
    """

    def __init__(self, limit: int, *, places: int, wait_s: float, max_bytes: int, clock: Callable[[], float] = time.perf_counter) -> None:
        self._slots = Slots(limit, places=places) if limit else None
        self._wait_s = wait_s
        self._max_bytes = max_bytes
        self._clock = clock

    @property
    def is_open(self) -> bool:
        """Whether a request with a small body would be admitted at once."""
        return self._slots is None or self._slots.is_free

    def weigh(self, headers: Mapping[str, str], *, whole: bool) -> int:
        """Return how much a request counts for; `whole`: its body has arrived already."""
        announced = headers.get("content-length")
        if announced is not None and announced.isdigit():
            return 1 + min(int(announced), self._max_bytes) // _UNIT_BYTES
        return 1 if whole or "transfer-encoding" not in headers else 1 + self._max_bytes // _UNIT_BYTES

    def try_enter(self, tenant: str, weight: int) -> bool:
        """Admit a request, unless it has to wait. One that was admitted has to `leave`."""
        return self._slots is None or self._slots.try_take(tenant, weight=weight)

    async def enter(self, tenant: str, weight: int, limit_s: float = math.inf) -> float:
        """Wait for admission, `limit_s` at most, and return how many seconds that took. Raises OverloadedError; whoever is cancelled leaves the line."""
        if self._slots is None:
            return 0.0
        began = self._clock()
        try:
            await self._slots.take(tenant, min(self._wait_s, limit_s), weight=weight)
        except FullError:
            OVERLOADED.labels(_QUEUE).inc()
            raise self._refusal() from None
        finally:
            waited_s = self._clock() - began
            QUEUE_SECONDS.labels(_QUEUE).observe(waited_s)
        return waited_s

    def leave(self, tenant: str, weight: int) -> None:
        """Make room for another."""
        if self._slots is not None:
            self._slots.give(tenant, weight=weight)

    def _refusal(self) -> OverloadedError:
        wait_s = max(1, math.ceil(self._wait_s))
        message = f"The gateway serves as many requests as it may (MAX_IN_FLIGHT): try again in {wait_s} s."
        return OverloadedError(message, headers={"retry-after": str(wait_s), "connection": "close"})
