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
    """The duty to make the call and to say how it ended: `land` or `abandon`, whichever comes first counts. Without `lines` nobody joins it."""

    __slots__ = ("_key", "_lines")

    def __init__(self, lines: dict[Hashable, _Line[T] | None] | None, key: Hashable) -> None:
        self._lines = lines
        self._key = key

    def land(self, value: T) -> None:
        """Give `value` to everybody who waits."""
        lines, self._lines = self._lines, None
        line = None if lines is None else lines.pop(self._key)
        if line is not None:
            landed = Landed(value)
            line.seat(lambda: landed)

    def abandon(self) -> None:
        """Say that no value will come: the next in line leads. Does nothing after `land`."""
        lines, self._lines = self._lines, None
        if lines is None:
            return
        line = lines[self._key]
        heir = None if line is None else line.heir()
        if heir is not None:
            heir.set_result(Lead(lines, self._key))
            return
        del lines[self._key]
        if line is not None:
            line.seat(lambda: Lead(None, self._key))

    def __del__(self) -> None:
        """Let nobody wait for a lead that was dropped, as by a generator that never started."""
        if self._lines is not None:
            self.abandon()


class Flights(Generic[T]):
    """The calls in flight of one event loop, by key.

    When a leader comes to nothing (it failed, or its own caller left), the caller that waited longest leads and the others wait for that one; when that
    comes to nothing too, all are let go to call for themselves, so that a failing upstream is not waited for once per caller.
    """

    def __init__(self, max_flights: int = MAX_FLIGHTS) -> None:
        self._max_flights = max_flights
        self._lines: dict[Hashable, _Line[T] | None] = {}  # of those who wait for a key's leader; None: nobody ever did

    def __len__(self) -> int:
        return len(self._lines)

    def lead(self, key: Hashable) -> Lead[T] | None:
        """Return the lead where no identical call is in flight."""
        lines = self._lines
        if key in lines:
            return None
        if len(lines) >= self._max_flights:
            return Lead(None, key)
        lines[key] = None
        return Lead(lines, key)

    async def board(self, key: Hashable, *, wait_s: float | None = None) -> Lead[T] | Landed[T]:
        """Return what an identical call in flight lands, or the lead.

        Waits at most `wait_s` (None: as long as it takes), then returns a lead that nobody joins. Waits not at all where no identical call is in flight.
        """
        lead = self.lead(key)
        if lead is not None:
            return lead
        line = self._lines[key]
        if line is None:
            line = self._lines[key] = _Line()
        return await line.follow(wait_s) or Lead(None, key)


class _Line(Generic[T]):
    """Those who wait for a key's leader, in the order they came."""

    __slots__ = ("_abandoned", "_waiting")

    def __init__(self) -> None:
        self._waiting: deque[asyncio.Future[Lead[T] | Landed[T]]] = deque()
        self._abandoned = 0

    async def follow(self, wait_s: float | None) -> Lead[T] | Landed[T] | None:
        """Return what comes of the wait; None where that is nothing in time."""
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
        return None

    def _leave(self, turn: asyncio.Future[Lead[T] | Landed[T]]) -> None:
        """Take one that waits no longer out of line, and pass on a lead that it was handed at the same moment."""
        if not turn.done():
            self._waiting.remove(turn)
        elif isinstance(seat := turn.result(), Lead):
            seat.abandon()

    def heir(self) -> asyncio.Future[Lead[T] | Landed[T]] | None:
        """Return who leads after a leader that came to nothing; None where nobody does."""
        self._abandoned += 1
        return self._waiting.popleft() if self._waiting and self._abandoned < _MAX_ABANDONED else None

    def seat(self, seat: Callable[[], Lead[T] | Landed[T]]) -> None:
        """Give everybody a seat."""
        for turn in self._waiting:
            turn.set_result(seat())
        self._waiting.clear()
