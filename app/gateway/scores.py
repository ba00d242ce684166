"""The scores of the newest requests, by which the cut of complex follows the share that an operator wants."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque
from typing import TYPE_CHECKING

from app.domain import Cuts
from app.domain_enums import COMPLEX
from app.utils.monitoring import COMPLEX_CUT, COMPLEX_SHARE

if TYPE_CHECKING:
    from app.domain import Complexity
    from app.policy.complexity import Scale

_FEWEST = 100  # scores before the cut moves: the share of fewer is off by more than a tenth
_WINDOW = 1_000  # where no target says how many
_TELL_EVERY = 16  # the gauges cost as much as the rest


class Scores:
    """A rolling window of this process's own scores: at most `target.window` numbers, kept sorted beside their order while there is a target."""

    def __init__(self) -> None:
        self._order: deque[tuple[float, bool]] = deque()
        self._sorted: list[float] | None = None
        self._complex = 0
        self._added = 0

    @property
    def share(self) -> float:
        """The share of the window that was complex when it was routed."""
        return self._complex / len(self._order) if self._order else 0.0

    def cuts(self, scale: Scale) -> Cuts:
        """Return the cuts that give the wanted share of the window, within the scale's bounds; the scale's own where none is wanted or too little is known."""
        target = scale.target
        count = len(self._order)
        if target is None or count < _FEWEST:
            return scale.cuts
        ranked = self._sorted
        if ranked is None:
            ranked = self._sorted = sorted(score for score, _ in self._order)
        place = count - round(target.share * count)
        wanted = ranked[place] if place < count else target.high
        cut = min(target.high, max(target.low, wanted))
        return Cuts(min(scale.cuts.medium, cut), cut)

    def add(self, found: Complexity, scale: Scale) -> None:
        """Take in the score of a request that was routed by it."""
        order, target = self._order, scale.target
        is_complex = found.tier is COMPLEX
        order.append((found.score, is_complex))
        self._complex += is_complex
        if target is None:
            self._sorted = None
        if self._sorted is not None:
            insort(self._sorted, found.score)
        while len(order) > (_WINDOW if target is None else target.window):
            score, was_complex = order.popleft()
            self._complex -= was_complex
            if self._sorted is not None:
                del self._sorted[bisect_left(self._sorted, score)]
        self._added += 1
        if self._added % _TELL_EVERY == 1:
            COMPLEX_SHARE.set(self.share)
            COMPLEX_CUT.set(self.cuts(scale).complex)
