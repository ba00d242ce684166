"""How the texts of a request are laid out to be scanned in one pass, and how an offset finds its way back."""

from __future__ import annotations

from bisect import bisect_right
from itertools import accumulate, pairwise
from operator import itemgetter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from app.policy.collect import Join

BREAK = "\0"  # between two texts; every window ends at it, and folding leaves none in a text
_SEAM_CHARS = 200  # how far a value that is cut in two can reach into each of its texts
_Piece = tuple[int, int, int]


class Layer:
    """Texts in one buffer, one region each, and after them a region for each join of texts that belong together.

    Of a long text only its two ends can be part of a value that is cut, so a join leaves out the middle.
    """

    __slots__ = ("_joins", "_pieces", "_sizes", "_starts", "buffer", "texts")

    def __init__(self, texts: Sequence[str], joins: Sequence[Join] = ()) -> None:
        self.texts = texts
        self._joins = joins
        self._pieces: dict[int, list[_Piece]] = {}  # by region: offset in the buffer, number of the text, offset in the text
        self._starts: list[int] = []
        regions = [*texts, *map(self._joined, joins)]
        self._sizes = list(map(len, regions))
        self.buffer = BREAK.join(regions)

    def _joined(self, join: Join) -> str:
        texts = [self.texts[part] for part in join.parts]
        if join.between:
            return join.between.join(texts)
        if join.spans:
            texts = [text[start:end] for text, (start, end) in zip(texts, join.spans, strict=True)]
        if join.meet:
            return BREAK.join([first[-_SEAM_CHARS:] + second[:_SEAM_CHARS] for first, second in pairwise(texts)])
        return "".join(map(_ends, texts))

    def _lay_out(self) -> None:
        """Find where each region starts; needed only where something hit."""
        self._starts = list(accumulate((size + 1 for size in self._sizes), initial=0))

    def _pieces_of(self, region: int) -> list[_Piece]:
        """Return the pieces of a join's region."""
        pieces = self._pieces.get(region)
        if pieces is None:
            pieces = self._pieces[region] = []
            at = self._starts[region]
            for part, start, size in self._parts(self._joins[region - len(self.texts)]):
                pieces.append((at, part, start))
                at += size
        return pieces

    def _parts(self, join: Join) -> Iterator[_Piece]:
        """Yield the pieces of a join: the number of the text, where the piece starts in it, and what it takes up in the buffer."""
        sizes = [len(self.texts[part]) for part in join.parts]
        if join.spans:
            spans = zip(join.parts, join.spans, sizes, strict=True)
            places = [(part, start, size if end is None else end) for part, (start, end), size in spans]
        else:
            places = [(part, 0, size) for part, size in zip(join.parts, sizes, strict=True)]
        if join.meet:
            for left, ((first, start, end), (second, following, stop)) in zip(range(len(places) - 2, -1, -1), pairwise(places), strict=True):
                size = min(end - start, _SEAM_CHARS)
                yield first, end - size, size
                yield second, following, min(stop - following, _SEAM_CHARS) + (1 if left else 0)
            return
        for ordinal, (part, start, end) in enumerate(places):
            size = end - start
            if join.between or size <= 2 * _SEAM_CHARS:
                yield part, start, size + (len(join.between) if ordinal + 1 < len(places) else 0)
            else:
                yield part, start, _SEAM_CHARS + 1
                yield part, end - _SEAM_CHARS, _SEAM_CHARS

    def region(self, offset: int) -> int:
        """Return the number of the region that holds an offset of the buffer."""
        if not self._starts:
            self._lay_out()
        return bisect_right(self._starts, offset) - 1

    def start(self, region: int) -> int:
        """Return where a region starts."""
        if not self._starts:
            self._lay_out()
        return self._starts[region]

    def bounds(self, offset: int) -> tuple[int, int]:
        """Return where the region that holds an offset of the buffer starts and ends."""
        region = self.region(offset)
        return self._starts[region], self._starts[region + 1] - 1

    def is_seam(self, offset: int) -> bool:
        """Say whether an offset lies in texts that stand together only because a reader may put them together."""
        join = self.region(offset) - len(self.texts)
        return join >= 0 and not self._joins[join].between and not self._joins[join].near

    def is_argued(self, offset: int) -> bool:
        """Say whether an offset lies in stretches of texts that stand together: the arguments of calls, of which many are ids."""
        join = self.region(offset) - len(self.texts)
        return join >= 0 and bool(self._joins[join].spans)

    def cuts_word(self, start: int, end: int) -> bool:
        """Say whether a match has a word in it that is cut in two."""
        buffer, pieces = self.buffer, self._pieces_of(self.region(start))
        low, high = (bisect_right(pieces, offset, key=itemgetter(0)) for offset in (start, end - 1))
        seams = (at for at, _, _ in pieces[low:high])
        return any(buffer[at - 1].isalnum() and buffer[at].isalnum() for at in seams)

    def locate(self, start: int, end: int, value: int, value_end: int) -> tuple[int, int, int] | None:
        """Return the text that holds a match's value, and the value's offsets in it. None for what a join says no more than its own texts do.

        `start` and `end` are the whole match's offsets in the buffer, `value` and `value_end` those of its value. A value that goes on in the next text ends
        where its first text does.
        """
        region = self.region(start)
        if region < len(self.texts):
            return region, value - self._starts[region], value_end - self._starts[region]
        pieces = self._pieces_of(region)
        first, last, holder = (bisect_right(pieces, offset, key=itemgetter(0)) - 1 for offset in (start, end - 1, value))
        if first == last:
            return None
        at, text, offset = pieces[holder]
        size = len(self.texts[text])
        end = value_end if holder == last else min(value_end, pieces[holder + 1][0])
        return text, min(value - at + offset, size - 1), min(end - at + offset, size)


def _ends(text: str) -> str:
    return text if len(text) <= 2 * _SEAM_CHARS else f"{text[:_SEAM_CHARS]}{BREAK}{text[-_SEAM_CHARS:]}"
