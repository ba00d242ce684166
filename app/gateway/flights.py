"""Single flight: identical calls at the same moment ask upstream once.

The first caller of a key gets a `Lead` and makes the call; those that come while it runs wait, and get what it landed:

    seat = await flights.board(key, wait_s=call_timeout)
    if isinstance(seat, Landed):
        return seat.value            # joined
    try:
        answer = await ask_upstream()
        seat.land(answer)
        return answer
    finally:
        seat.abandon()               # nothing to do after land()

A streamed answer keeps its `Lead` until its last byte: `land` with the whole of it, `abandon` in the generator's `finally`.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

T = TypeVar("T")

MAX_FLIGHTS = 10_000  # far above what one process serves at a time; a bound all the same

_MAX_ABANDONED = 2  # leaders in a row


@dataclass(frozen=True, slots=True)
class Landed(Generic[T]):
    """What the leader of an identical call got."""

    value: T = field(repr=False)


class Lead(Generic[T]):
    """The duty to make the call and to say how it ended: `land` or `abandon`, whichever comes first counts."""

    __slots__ = ("_flight",)

    def __init__(self, flight: _Flight[T] | None) -> None:
        self._flight = flight

    def land(self, value: T) -> None:
        """Give `value` to everybody who waits."""
        flight, self._flight = self._flight, None
        if flight is not None:
            flight.land(value)

    def abandon(self) -> None:
        """Say that no value will come: the next in line leads. Does nothing after `land`."""
        flight, self._flight = self._flight, None
        if flight is not None:
            flight.abandon()

    def __del__(self) -> None:
        """Let nobody wait for a lead that was dropped, as by a generator that never started."""
        if self._flight is not None:
            self.abandon()


class Flights(Generic[T]):
    """The calls in flight of one event loop, by key.

    When a leader comes to nothing (it failed, or its own caller left), the caller that waited longest leads and the others wait for that one; when that
    comes to nothing too, all are let go to call for themselves, so that a failing upstream is not waited for once per caller.
    """

    def __init__(self, max_flights: int = MAX_FLIGHTS) -> None:
        self._max_flights = max_flights
        self._flights: dict[Hashable, _Flight[T]] = {}

    def __len__(self) -> int:
        return len(self._flights)

    def lead(self, key: Hashable) -> Lead[T] | None:
        """Return the lead where no identical call is in flight."""
        if key in self._flights:
            return None
        return Lead(_Flight(self._flights, key) if len(self._flights) < self._max_flights else None)

    async def board(self, key: Hashable, *, wait_s: float | None = None) -> Lead[T] | Landed[T]:
        """Return what an identical call in flight lands, or the lead.

        Waits at most `wait_s` (None: as long as it takes), then returns a lead that nobody joins. Waits not at all where no identical call is in flight.
        """
        return self.lead(key) or await self._flights[key].follow(wait_s)


class _Flight(Generic[T]):
    """One key's leader (whoever holds the Lead) and those who wait for it, in the order they came."""

    __slots__ = ("_abandoned", "_flights", "_key", "_waiting")

    def __init__(self, flights: dict[Hashable, _Flight[T]], key: Hashable) -> None:
        self._flights = flights
        self._key = key
        self._waiting: deque[asyncio.Future[Lead[T] | Landed[T]]] = deque()
        self._abandoned = 0
        flights[key] = self

    async def follow(self, wait_s: float | None) -> Lead[T] | Landed[T]:
        turn: asyncio.Future[Lead[T] | Landed[T]] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await asyncio.wait((turn,), timeout=wait_s)
        except asyncio.CancelledError:
            self._leave(turn)
            raise
        if turn.done():
            return turn.result()
        self._leave(turn)
        return Lead(None)

    def _leave(self, turn: asyncio.Future[Lead[T] | Landed[T]]) -> None:
        """Take one that waits no longer out of line, and pass on a lead that it was handed at the same moment."""
        if not turn.done():
            self._waiting.remove(turn)
        elif isinstance(seat := turn.result(), Lead):
            seat.abandon()

    def land(self, value: T) -> None:
        if not self._waiting:
            del self._flights[self._key]
            return
        landed = Landed(value)
        self._end(lambda: landed)

    def abandon(self) -> None:
        self._abandoned += 1
        if self._waiting and self._abandoned < _MAX_ABANDONED:
            self._waiting.popleft().set_result(Lead(self))
        else:
            self._end(lambda: Lead(None))

    def _end(self, seat: Callable[[], Lead[T] | Landed[T]]) -> None:
        del self._flights[self._key]
        for turn in self._waiting:
            turn.set_result(seat())
        self._waiting.clear()
