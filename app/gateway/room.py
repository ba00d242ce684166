"""Room at deployments that serve few requests at a time, such as a local model: slots, a part of them reserved for what is confidential.

Confidential requests have nowhere else to go. They go before all others, wait in a line of their own, and find a part of the slots that other requests,
falling back to a local model in an outage, cannot take. Both lines are shared fairly between tenants (slots.py).
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from app.domain import Failure, Label
from app.errors import UpstreamError
from app.gateway.slots import FullError, Slots
from app.utils.monitoring import OVERLOADED, QUEUE_SECONDS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Mapping

    from app.domain import Call
    from app.gateway.ports import Answer, Lane

_QUEUE: Final = "deployment"
_RETRY_AFTER_S: Final = 5.0
_RESERVED_SHARE: Final = 4  # one slot in four, and at least one of two


class Room:
    """The slots of every deployment that has a number of them. `places` and `wait_s` bound each line of each deployment."""

    def __init__(self, *, places: int = 64, wait_s: float = 30.0, clock: Callable[[], float] = time.perf_counter) -> None:
        self._places = places
        self._wait_s = wait_s
        self._clock = clock
        self._slots: dict[str, Slots] = {}  # by deployment

    async def take(self, call: Call) -> Seat:
        """Wait for a slot at the call's deployment, for half of the call's time at most. Raises UpstreamError (FULL)."""
        slots = self._slots_of(call)
        first = call.label is Label.CONFIDENTIAL
        if slots.try_take(call.tenant, first=first):
            return Seat(slots, call.tenant, first=first)
        began = self._clock()
        try:
            await slots.take(call.tenant, min(self._wait_s, call.timeout_s / 2), first=first)
        except FullError:
            OVERLOADED.labels(_QUEUE).inc()
            raise UpstreamError(Failure.FULL, retry_after_s=_RETRY_AFTER_S, sent=False) from None
        finally:
            waited_s = self._clock() - began
            QUEUE_SECONDS.labels(_QUEUE).observe(waited_s)
            if call.on_wait is not None:
                call.on_wait(waited_s)
        return Seat(slots, call.tenant, first=first, waited_s=waited_s)

    def _slots_of(self, call: Call) -> Slots:
        """Return the deployment's slots, of which none is kept where nothing confidential goes; those from before a reload go with the last that holds one."""
        deployment = call.deployment
        name, limit = deployment.name, deployment.slots or 1
        reserved = max(1, limit // _RESERVED_SHARE) if limit > 1 and deployment.clearance is Label.CONFIDENTIAL else 0
        slots = self._slots.get(name)
        if slots is None or (slots.limit, slots.reserved) != (limit, reserved):
            slots = self._slots[name] = Slots(limit, places=self._places, reserved=reserved, sharing=True)
        return slots


class Seat:
    """A slot that was taken."""

    __slots__ = ("_first", "_slots", "_tenant", "waited_s")

    def __init__(self, slots: Slots, tenant: str, *, first: bool, waited_s: float = 0.0) -> None:
        self._slots: Slots | None = slots
        self._tenant = tenant
        self._first = first
        self.waited_s = waited_s

    def give(self) -> None:
        """Return the slot. Idempotent."""
        slots, self._slots = self._slots, None
        if slots is not None:
            slots.give(self._tenant, first=self._first)

    def __del__(self) -> None:
        """Let no slot be lost with an answer that nobody closed."""
        self.give()


class RoomLane:
    """A lane whose calls find room first, at the deployments that want that; a slot is held until the answer is read or closed."""

    def __init__(self, lane: Lane, room: Room) -> None:
        self._lane = lane
        self._room = room

    def open(self, call: Call) -> Coroutine[Any, Any, Answer]:
        """Send the call and return its answer once the status is known to be 2xx. Raises UpstreamError."""
        return self._lane.open(call) if call.deployment.slots is None else self._open_seated(call)

    async def _open_seated(self, call: Call) -> Answer:
        seat = await self._room.take(call)
        if call.on_seat is not None:
            call.on_seat()
        try:
            answer = await self._lane.open(replace(call, timeout_s=max(0.001, call.timeout_s - seat.waited_s)) if seat.waited_s else call)
        except BaseException:
            seat.give()
            raise
        return _SeatedAnswer(answer, seat)


class _SeatedAnswer:
    """An answer that holds a slot."""

    def __init__(self, answer: Answer, seat: Seat) -> None:
        self.dropped_params = answer.dropped_params
        self._answer = answer
        self._seat = seat

    async def body(self) -> bytes:
        try:
            return await self._answer.body()
        finally:
            self._seat.give()

    def events(self) -> AsyncIterator[bytes]:
        return self._answer.events()

    def offer(self, take: Callable[[bytes], bool]) -> None:
        self._answer.offer(take)

    def error_inside(self, error: Mapping[str, Any]) -> UpstreamError:
        return self._answer.error_inside(error)

    def close(self) -> None:
        self._answer.close()
        self._seat.give()
