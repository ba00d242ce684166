"""Slots for work that takes turns: a bound on how many run at once, a bounded queue behind it, and turns by tenant.

Who waits is served by start-time fair queueing (Goyal, Vin and Cheng, 1996): each turn costs its tenant virtual time, and the tenant that has had least comes
first. With equal costs that is round robin. A full queue makes room for a tenant with fewer places in it than another has, at that other's cost.

For one event loop. A slot that is free, and for which nobody waits, is taken without waiting: 1 µs with giving it back.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

_MAX_REMEMBERED: Final = 4096  # tenants whose last turn is remembered beyond their waiting
_COMPANY_S: Final = 60.0  # so long after another tenant was seen one slot is kept from whoever holds all others


class FullError(Exception):
    """No slot came free in time, or there was no place to wait for one."""


class _Turn:
    """One that waits, and then has its slot or is turned away."""

    __slots__ = ("cost", "first", "granted", "has_slot", "in_line", "start", "tenant", "weight")

    def __init__(self, tenant: str, cost: float, weight: int, *, first: bool) -> None:
        self.tenant = tenant
        self.cost = cost
        self.weight = weight
        self.first = first
        self.start = 0.0  # of virtual time
        self.in_line = self.has_slot = False
        self.granted: asyncio.Future[None] = asyncio.get_running_loop().create_future()


class Line:
    """Those that wait, in the order of their turns. Without I/O."""

    def __init__(self) -> None:
        self._waiting: dict[str, deque[_Turn]] = {}
        self.length = 0
        self._now = 0.0  # virtual time: the start of the turn that was taken last
        self._ends: dict[str, float] = {}  # when each waiting tenant's last turn ends

    def __len__(self) -> int:
        return self.length

    def join(self, turn: _Turn) -> None:
        """Give a turn its place."""
        if len(self._ends) >= _MAX_REMEMBERED:
            self._ends = {tenant: end for tenant, end in self._ends.items() if tenant in self._waiting}
        turn.start = max(self._now, self._ends.get(turn.tenant, 0.0))
        self._ends[turn.tenant] = turn.start + turn.cost
        self._waiting.setdefault(turn.tenant, deque()).append(turn)
        self.length += 1
        turn.in_line = True

    def head(self, may: Callable[[str], bool]) -> _Turn | None:
        """Return whose turn is next of the tenants that `may` have one; of two with the same start the tenant's that has waited longer."""
        return min((turns[0] for tenant, turns in self._waiting.items() if may(tenant)), key=_start_of, default=None)

    def take(self, turn: _Turn) -> None:
        """Let the head go to its slot."""
        self._now = turn.start
        self.leave(turn)

    def leave(self, turn: _Turn) -> None:
        """Take a turn out."""
        turns = self._waiting[turn.tenant]
        turns.remove(turn)
        turn.in_line = False
        self.length -= 1
        if not turns:
            del self._waiting[turn.tenant]
        if self.length == 0:
            self._ends.clear()
            self._now = 0.0

    def displaced_by(self, tenant: str) -> _Turn | None:
        """Return the turn that has to go when the line is full: the newest of the tenant with most, if that has at least two more than `tenant`."""
        longest = max(self._waiting.values(), key=len, default=None)
        own = self._waiting.get(tenant, ())
        return longest[-1] if longest is not None and len(longest) > len(own) + 1 else None


def _start_of(turn: _Turn) -> float:
    return turn.start


class Slots:
    """At most `limit` slots taken, at most `places` waiting.

    `reserved` of them are for those that come `first`, who also go before all others; both have `places` of their own. With `sharing`, a tenant that has
    all slots but one leaves that one while other tenants are about.
    """

    def __init__(self, limit: int, *, places: int, reserved: int = 0, sharing: bool = False, clock: Callable[[], float] = time.monotonic) -> None:
        self.limit = limit
        self.reserved = reserved
        self._limit_of_others = max(1, limit - reserved)
        self.places = places
        self._sharing = sharing
        self._clock = clock
        self._taken = 0
        self._taken_by_others = 0  # those that did not come first
        self._held: dict[str, int] = {}  # by tenant
        self._first = Line()
        self._rest = Line()
        self._last_tenant: str | None = None
        self._company_at: float | None = None

    @property
    def waiting(self) -> int:
        """How many wait."""
        return len(self._first) + len(self._rest)

    @property
    def taken(self) -> int:
        """How many slots are taken."""
        return self._taken

    @property
    def is_free(self) -> bool:
        """Whether a slot is free, and nobody waits for one."""
        return self._taken < self.limit and not self._first.length and not self._rest.length

    def try_take(self, tenant: str, *, weight: int = 1, first: bool = False) -> bool:
        """Take a slot if one is free and nobody waits for it. `weight` is how many it counts for; one over the limit counts for all of it."""
        if weight > 1:
            weight = self._weigh(weight, first=first)
        if tenant != self._last_tenant:
            self._see(tenant)
        if self._first.length or (self._rest.length and not first) or not self._fits(weight, first=first):
            return False
        if self._sharing and not self._may(tenant):
            return False
        self._grant(tenant, weight, first=first)
        return True

    async def take(self, tenant: str, wait_s: float, *, cost: float = 1.0, weight: int = 1, first: bool = False) -> None:
        """Wait at most `wait_s` for a slot; `cost` is what the turn takes of its tenant's share. Raises FullError."""
        if self.try_take(tenant, weight=weight, first=first):
            return
        turn = self._join(_Turn(tenant, cost, self._weigh(weight, first=first), first=first))
        try:
            async with asyncio.timeout(wait_s):
                await turn.granted
        except TimeoutError:
            self._give_up(turn)
            raise FullError from None
        except BaseException:
            self._give_up(turn)
            raise

    def give(self, tenant: str, *, weight: int = 1, first: bool = False) -> None:
        """Return a slot, with what it was taken with."""
        if weight > 1:
            weight = self._weigh(weight, first=first)
        self._taken -= weight
        self._taken_by_others -= 0 if first else weight
        held = self._held[tenant] - weight
        if held > 0:
            self._held[tenant] = held
        else:
            del self._held[tenant]
        if self._first.length or self._rest.length:
            self.serve()

    def serve(self) -> None:
        """Hand what is free to those that wait. One that weighs too much is waited for; one whose tenant has its share already is passed over."""
        for line in (self._first, self._rest):
            while (turn := line.head(self._may)) is not None and self._fits(turn.weight, first=turn.first):
                line.take(turn)
                if not turn.granted.done():
                    self._grant(turn.tenant, turn.weight, first=turn.first)
                    turn.has_slot = True
                    turn.granted.set_result(None)

    def _join(self, turn: _Turn) -> _Turn:
        line = self._line(turn)
        if len(line) >= self.places:
            displaced = line.displaced_by(turn.tenant)
            if displaced is None:
                raise FullError
            line.leave(displaced)
            if not displaced.granted.done():
                displaced.granted.set_exception(FullError())
        line.join(turn)
        self.serve()  # one that may have more goes past those that may not
        return turn

    def _give_up(self, turn: _Turn) -> None:
        """Take a turn out of line, or pass on the slot that it was handed at the same moment."""
        if turn.in_line:
            self._line(turn).leave(turn)
            self.serve()
        elif turn.has_slot:
            self.give(turn.tenant, weight=turn.weight, first=turn.first)

    def _line(self, turn: _Turn) -> Line:
        return self._first if turn.first else self._rest

    def _weigh(self, weight: int, *, first: bool) -> int:
        return min(weight, self.limit if first else self._limit_of_others)

    def _fits(self, weight: int, *, first: bool) -> bool:
        return self._taken + weight <= self.limit and (first or self._taken_by_others + weight <= self._limit_of_others)

    def _may(self, tenant: str) -> bool:
        """Say whether a tenant may have one more slot: not the last one, while others are about."""
        return not self._sharing or self.limit == 1 or self._held.get(tenant, 0) + 1 < self.limit or not self._in_company()

    def _grant(self, tenant: str, weight: int, *, first: bool) -> None:
        self._taken += weight
        self._taken_by_others += 0 if first else weight
        self._held[tenant] = self._held.get(tenant, 0) + weight

    def _see(self, tenant: str) -> None:
        if self._last_tenant is not None:
            self._company_at = self._clock()
        self._last_tenant = tenant

    def _in_company(self) -> bool:
        return self._company_at is not None and self._clock() - self._company_at < _COMPANY_S
