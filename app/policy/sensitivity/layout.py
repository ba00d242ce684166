"""How the texts of a request are laid out to be scanned in one pass, and how an offset finds its way back."""

from __future__ import annotations

from bisect import bisect_right
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

    __slots__ = ("_joins", "_pieces", "_starts", "buffer", "texts")

    def __init__(self, texts: Sequence[str], joins: Sequence[Join] = ()) -> None:
        self.texts = texts
        self._joins = joins
        self._pieces: dict[int, list[_Piece]] = {}  # by region: offset in the buffer, number of the text, offset in the text
        self._starts: list[int] = []
        self.buffer = BREAK.join([*texts, *map(self._joined, joins)])

    def _joined(self, join: Join) -> str:
        if join.between:
            return join.between.join(map(self.texts.__getitem__, join.parts))
        if join.meet:
            first, second = join.parts
            return self.texts[first][-_SEAM_CHARS:] + self.texts[second][:_SEAM_CHARS]
        return "".join(map(self._ends, join.parts))

    def _ends(self, text: int) -> str:
        string = self.texts[text]
        return string if len(string) <= 2 * _SEAM_CHARS else f"{string[:_SEAM_CHARS]}{BREAK}{string[-_SEAM_CHARS:]}"

    def _lay_out(self) -> None:
        """Find where each region starts, and the pieces of the joins; needed only where something hit."""
        at = 0
        for string in self.texts:
            self._starts.append(at)
            at += len(string) + 1
        for join in self._joins:
            pieces = self._pieces[len(self._starts)] = []
            self._starts.append(at)
            for part, start, size in self._parts(join):
                pieces.append((at, part, start))
                at += size
            at += 1
        self._starts.append(at)

    def _parts(self, join: Join) -> Iterator[_Piece]:
        """Yield the pieces of a join: the number of the text, where the piece starts in it, and what it takes up in the buffer."""
        sizes = [(part, len(self.texts[part])) for part in join.parts]
        if join.meet:
            (first, size), (second, following) = sizes
            yield first, max(0, size - _SEAM_CHARS), min(size, _SEAM_CHARS)
            yield second, 0, min(following, _SEAM_CHARS)
            return
        for ordinal, (part, size) in enumerate(sizes):
            if join.between or size <= 2 * _SEAM_CHARS:
                yield part, 0, size + (len(join.between) if ordinal + 1 < len(sizes) else 0)
            else:
                yield part, 0, _SEAM_CHARS + 1
                yield part, size - _SEAM_CHARS, _SEAM_CHARS

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

    def cuts_word(self, start: int, end: int) -> bool:
        """Say whether a match has a word in it that is cut in two."""
        buffer = self.buffer
        seams = (at for at, _, _ in self._pieces[self.region(start)] if start < at < end)
        return any(buffer[at - 1].isalnum() and buffer[at].isalnum() for at in seams)

    def locate(self, start: int, end: int, value: int, value_end: int) -> tuple[int, int, int] | None:
        """Return the text that holds a match's value, and the value's offsets in it. None for what a join says no more than its own texts do.

        `start` and `end` are the whole match's offsets in the buffer, `value` and `value_end` those of its value. A value that goes on in the next text ends
        where its first text does.
        """
        region = self.region(start)
        pieces = self._pieces.get(region)
        if pieces is None:
            return region, value - self._starts[region], value_end - self._starts[region]
        first, last, holder = (bisect_right(pieces, offset, key=itemgetter(0)) - 1 for offset in (start, end - 1, value))
        if first == last:
            return None
        at, text, offset = pieces[holder]
        size = len(self.texts[text])
        return text, min(value - at + offset, size - 1), min(value_end - at + offset, size)
