"""Where to cut the scores of complexity, by the scores that requests of this gateway had: read from its own log.

Only names, numbers and enums are read, and nothing of a line is kept but its score, so that the size of a log does not matter.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from itertools import accumulate
from typing import TYPE_CHECKING, Any, Final

import orjson

from app.domain import ComplexityTier, Cuts

if TYPE_CHECKING:
    from collections.abc import Sequence

UNIT: Final = 10_000  # the log has scores with four digits
FEWEST: Final = 200  # of fewer, a share of 30 % is off by more than 6 points one time in twenty

NOT_JSON: Final = "not_json"
OTHER_EVENT: Final = "other_event"
OTHER_ROUTE: Final = "other_route"
UNSCORED: Final = "unscored"
BAD_SCORE: Final = "bad_score"
TOO_LONG: Final = "too_long"

_FAR: Final = 0.02  # two points of a hundred: what a reader of the table would ask about
_CHAT: Final = "/v1/chat/completions"


@dataclass(frozen=True, slots=True)
class Shares:
    """What part of some requests is of each tier, 0 to 1."""

    simple: float
    medium: float
    complex: float


@dataclass(slots=True)
class Tally:
    """The scores of a log's chat requests, in steps of 1 / UNIT, and why its other lines were skipped. `first` and `last` are Unix times."""

    counts: list[int] = field(default_factory=lambda: [0] * (UNIT + 1))
    requests: int = 0
    routed_complex: int = 0
    first: float | None = None
    last: float | None = None
    skipped: Counter[str] = field(default_factory=Counter)

    def read(self, line: bytes) -> None:
        """Take in one line of a log. What a container runtime writes before the event (`gateway-1  | {...}`) is no matter; blank lines are none."""
        start = line.find(b"{")
        if start < 0:
            if line.strip():
                self.skipped[NOT_JSON] += 1
            return
        try:
            event = orjson.loads(line[start:])
        except orjson.JSONDecodeError:
            self.skipped[NOT_JSON] += 1
            return
        why = self._why_not(event)
        if why is not None:
            self.skipped[why] += 1
            return
        self.counts[round(event["score"] * UNIT)] += 1
        self.requests += 1
        self.routed_complex += event.get("complexity") == ComplexityTier.COMPLEX
        self._note_time(event.get("time"))

    @property
    def lines(self) -> int:
        """How many lines were read."""
        return self.requests + self.skipped.total()

    def shares(self, cuts: Cuts) -> Shares:
        """Return the parts of the requests that these cuts would make simple, medium and complex."""
        medium, strong = _place(cuts.medium), _place(cuts.complex)
        counted = max(1, self.requests)
        above = sum(self.counts[strong:])
        between = sum(self.counts[min(medium, strong) : strong])
        return Shares((self.requests - above - between) / counted, between / counted, above / counted)

    def cut(self, share: float) -> float:
        """Return the cut of complex that comes nearest to `share`. Where many requests have one score, no cut comes near.

        It lies between the scores of two requests, for the log's scores are rounded and the gateway's are not.
        """
        total = max(1, self.requests)
        places = [place for place, count in enumerate(self.counts) if count]
        above = list(accumulate(self.counts[place] for place in reversed(places)))[::-1]  # requests at a place or beyond
        candidates = [*zip(places, above, strict=True), (UNIT + 1, 0)]
        best = min(range(len(candidates)), key=lambda index: (abs(candidates[index][1] / total - share), -index))
        place = candidates[best][0]
        below = candidates[best - 1][0] if best else place - 1
        return min(1.0, max(0.0, (below + place) / 2 / UNIT)) if place <= UNIT else 1.0

    def _why_not(self, event: Any) -> str | None:
        if not isinstance(event, dict) or event.get("event") != "request":
            return OTHER_EVENT
        if event.get("route") != _CHAT:
            return OTHER_ROUTE
        score = event.get("score")
        if score is None:
            return UNSCORED
        return None if isinstance(score, int | float) and not isinstance(score, bool) and 0 <= score <= 1 else BAD_SCORE

    def _note_time(self, time: Any) -> None:
        if isinstance(time, int | float):
            self.first = time if self.first is None else min(self.first, time)
            self.last = time if self.last is None else max(self.last, time)


def _place(cut: float) -> int:
    """Return the lowest place whose scores are at `cut` or above it."""
    return next((place for place in range(int(cut * UNIT), UNIT + 1) if place / UNIT >= cut), UNIT + 1)


@dataclass(frozen=True, slots=True)
class Calibration:
    """What a log comes to. `target` is whether the configuration lets the cut follow a share, `bounds` how far it then may go."""

    tally: Tally
    share: float
    today: Cuts
    target: float | None = None
    bounds: tuple[float, float] = (0.0, 1.0)

    @property
    def proposed(self) -> Cuts:
        """The cuts that give the share: medium stays where it is, unless complex begins below it."""
        cut = self.tally.cut(self.share)
        return Cuts(min(self.today.medium, cut), cut)

    def notes(self) -> list[str]:
        """Return what a reader should know before the cuts are taken over."""
        tally, proposed = self.tally, self.proposed
        found = []
        if tally.requests < FEWEST:
            found.append(f"These are few: {tally.requests} scores, and a share of fewer than {FEWEST} says little. Read a longer log.")
        reached = tally.shares(proposed).complex
        if abs(reached - self.share) > _FAR:
            found.append(f"No cut comes nearer to {self.share:.1%} than {reached:.1%}: many requests have the same score.")
        if self.target is not None and not self.bounds[0] <= proposed.complex <= self.bounds[1]:
            found.append(f"The cut is outside of `bounds` {list(self.bounds)}: with target_share, it stops there.")
        if tally.skipped[UNSCORED] > tally.requests:
            found.append("Most chat requests had no score, because no rule in play read it: the cuts are those of the others.")
        return found


def histogram(counts: Sequence[int], bins: int = 20) -> list[tuple[float, float, int]]:
    """Return (from, to, requests) of equal steps of the score; the last holds 1 too."""
    width = UNIT // bins
    steps = [sum(counts[start * width : (start + 1) * width]) for start in range(bins)]
    steps[-1] += counts[UNIT]
    return [(start / bins, (start + 1) / bins, count) for start, count in enumerate(steps)]
