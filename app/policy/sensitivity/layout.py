"""How the texts of a request are laid out to be scanned in one pass, and how an offset finds its way back."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field
from itertools import accumulate
from operator import itemgetter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.policy.collect import Join
    from app.policy.sensitivity.fold import Folded

BREAK = "\0"  # between two texts; every window ends at it
_SEAM_CHARS = 200  # how far a value that is cut in two can reach into each of its texts


@dataclass(frozen=True, slots=True)
class Text:
    """One text of a layer: a scalar's own (`span` is None), or what stands encoded in `span` of it."""

    scalar: int
    folded: Folded
    span: tuple[int, int] | None = None

    def place(self, start: int, end: int) -> tuple[int, int]:
        """Return the offsets in the scalar for offsets in the folded text."""
        return self.span or (self.folded.original(start), self.folded.original(end - 1) + 1)


@dataclass(slots=True)
class Layer:
    """Texts laid out in one buffer, those that belong together once more as joins. `starts` are the regions' offsets in the buffer."""

    texts: list[Text]
    joins: Sequence[Join] = ()
    buffer: str = field(init=False, repr=False)
    starts: list[int] = field(init=False, default_factory=list)
    seams: set[int] = field(init=False, default_factory=set)  # the regions of joins with nothing between
    pieces: dict[int, list[tuple[int, int, int]]] = field(init=False, default_factory=dict)  # region -> (start in buffer, text, offset in text)

    def __post_init__(self) -> None:
        strings = [text.folded.text for text in self.texts]
        joined = [self._joined(join) for join in self.joins]
        strings += [string for string, _ in joined]
        self.buffer = BREAK.join(strings)
        self.starts = [0, *accumulate(len(string) + 1 for string in strings)]
        for region, (_, pieces) in enumerate(joined, start=len(self.texts)):
            if not self.joins[region - len(self.texts)].between:
                self.seams.add(region)
            self.pieces[region] = [(self.starts[region] + start, text, offset) for start, text, offset in pieces]

    def _joined(self, join: Join) -> tuple[str, list[tuple[int, int, int]]]:
        """Put a join together. Of a long text only its two ends can be part of a value that is cut, so the middle is left out."""
        strings: list[str] = []
        pieces: list[tuple[int, int, int]] = []
        at = 0
        for part in join.parts:
            text = self.texts[part].folded.text
            ends = [(text, 0)]
            if len(text) > 2 * _SEAM_CHARS and not join.between:
                ends = [(text[:_SEAM_CHARS] + BREAK, 0), (text[-_SEAM_CHARS:], len(text) - _SEAM_CHARS)]
            for string, offset in ends:
                pieces.append((at, part, offset))
                strings.append(string)
                at += len(string)
            if join.between and part != join.parts[-1]:
                strings.append(join.between)
                at += len(join.between)
        return "".join(strings), pieces

    def region(self, offset: int) -> int:
        """Return the number of the region that holds an offset of the buffer."""
        return bisect_right(self.starts, offset) - 1

    def bounds(self, offset: int) -> tuple[int, int]:
        """Return where the region that holds an offset of the buffer starts and ends."""
        region = self.region(offset)
        return self.starts[region], self.starts[region + 1] - 1

    def is_seam(self, offset: int) -> bool:
        """Say whether an offset lies in texts that stand together only because a reader may put them together."""
        return self.region(offset) in self.seams

    def locate(self, start: int, end: int, value: int, value_end: int) -> tuple[int, int, int] | None:
        """Return the text that holds a match's value, and the value's offsets in it. None for what a join says no more than its own texts do.

        `start` and `end` are the whole match's offsets in the buffer, `value` and `value_end` those of its value. A value that goes on in the next text ends
        where its first text does.
        """
        region = self.region(start)
        pieces = self.pieces.get(region)
        if pieces is None:
            return region, value - self.starts[region], value_end - self.starts[region]
        first, last, holder = (_piece(pieces, offset) for offset in (start, end - 1, value))
        if first == last:
            return None
        at, text, offset = pieces[holder]
        length = len(self.texts[text].folded.text)
        return text, min(value - at + offset, length - 1), min(value_end - at + offset, length)


def _piece(pieces: list[tuple[int, int, int]], offset: int) -> int:
    return bisect_right(pieces, offset, key=itemgetter(0)) - 1
