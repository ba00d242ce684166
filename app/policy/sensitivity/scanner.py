"""Finding what is sensitive in the texts of a request: fold, scan all of them at once, check what hit, decode, and scan again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.domain import Finding, Tier
from app.policy.sensitivity.catalogue import PATTERNS
from app.policy.sensitivity.database import Database, UnavailableError
from app.policy.sensitivity.decode import BLOB_CHARS, BLOB_TRIGGER, blob, escapes
from app.policy.sensitivity.fold import fold
from app.policy.sensitivity.layout import BREAK, Layer, Text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from app.policy.collect import Join, Scalar
    from app.policy.sensitivity.database import Hit
    from app.policy.sensitivity.pattern import Pattern

_LAYERS = 3  # encodings on top of one another that are taken off
_MAX_FINDINGS = 64  # of one kind in one layer: more say nothing new, and their checks would cost
_RANK = {Tier.WEAK: 0, Tier.LIKELY: 1, Tier.HARD: 2}
_Key = tuple[int, int, int, str]  # scalar, start, end, kind


class Scanner:
    """Scans the scalars of a request. `health` is None while it can; else it is a sentence for the operator, and `scan` raises."""

    def __init__(self, patterns: Sequence[Pattern] = PATTERNS, *, cache: Path | None = None) -> None:
        self._patterns = tuple(patterns)
        self._blob = len(self._patterns)
        self._database: Database | None = None
        self.health: str | None = None
        try:
            self._database = Database([*((pattern.trigger, pattern.caseless) for pattern in patterns), (BLOB_TRIGGER, False)], cache=cache)
        except UnavailableError as exc:
            self.health = str(exc)

    def scan(self, scalars: Sequence[Scalar], joins: Sequence[Join] = ()) -> tuple[Finding, ...]:
        """Return what was found, in the order of the scalars. Raises UnavailableError where `health` says why."""
        if self._database is None:
            raise UnavailableError(self.health)
        if not joins and (buffer := BREAK.join([scalar.text for scalar in scalars])).isascii() and _is_plain(buffer):
            hits = self._database.hits(buffer.encode("ascii"))
            if not hits:
                return ()
        found: dict[_Key, Finding] = {}
        layer = Layer([Text(index, fold(scalar.text)) for index, scalar in enumerate(scalars)], joins)
        for depth in range(_LAYERS + 1):
            hits = self._database.hits(layer.buffer.encode("ascii"))
            self._check(layer, hits, scalars, found)
            deeper = list(_decoded(layer, [end for number, end in hits if number == self._blob])) if depth < _LAYERS else []
            if not deeper:
                break
            layer = Layer(deeper)
        return tuple(found[key] for key in sorted(found))

    def _check(self, layer: Layer, hits: list[Hit], scalars: Sequence[Scalar], found: dict[_Key, Finding]) -> None:
        """Run each pattern's exact expression and check around its hits, and add what they confirm."""
        ends: dict[int, list[int]] = {}
        for number, end in hits:
            ends.setdefault(number, []).append(end)
        ends.pop(self._blob, None)
        known = {(scalar, kind) for scalar, _, _, kind in found}
        counts: dict[str, int] = {}
        for number, pattern_ends in ends.items():
            pattern = self._patterns[number]
            for tier, text, start, end in _matches(pattern, layer, pattern_ends):
                place = layer.texts[text]
                if place.span is not None and (place.scalar, pattern.kind) in known:
                    continue
                begin, stop = place.place(start, end)
                key = (place.scalar, begin, stop, pattern.kind)
                if key not in found or _RANK[tier] > _RANK[found[key].tier]:
                    found[key] = Finding(pattern.kind, tier, scalars[place.scalar].position, begin, stop)
                counts[pattern.kind] = counts.get(pattern.kind, 0) + 1
                if counts[pattern.kind] >= _MAX_FINDINGS:
                    break


def _is_plain(buffer: str) -> bool:
    """Say whether a text has no escape in it."""
    return "%" not in buffer and "\\" not in buffer and "&" not in buffer


def _matches(pattern: Pattern, layer: Layer, ends: Sequence[int]) -> Iterator[tuple[Tier, int, int, int]]:
    """Yield what the check confirms: its tier, the text that holds it, and its offsets there."""
    value = "value" if "value" in pattern.exact.groupindex else 0
    for low, high in _windows(pattern, layer, ends):
        for match in pattern.exact.finditer(layer.buffer, low, high):
            tier = None if BREAK in match[0] else pattern.check(match)
            if tier is None:
                continue
            place = layer.locate(match.start(), match.end(), *match.span(value))
            if place is not None and (tier is Tier.HARD or not layer.is_seam(match.start())):
                yield tier, *place


def _windows(pattern: Pattern, layer: Layer, ends: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Yield the stretches to look at: around each hit, within its text, those that touch as one. So no character is looked at twice."""
    low = high = -1
    for end in ends:
        start, stop = layer.bounds(end - 1)
        next_low, next_high = max(start, end - pattern.behind), min(stop, end + pattern.ahead)
        if next_low <= high and low >= start:
            high = next_high
            continue
        if high >= 0:
            yield low, high
        low, high = next_low, next_high
    if high >= 0:
        yield low, high


def _decoded(layer: Layer, blobs: Iterable[int]) -> Iterator[Text]:
    """Yield what the texts of a layer say once one encoding is taken off."""
    if not _is_plain(layer.buffer):
        for text in layer.texts:
            plain = escapes(text.folded.text)
            if plain:
                yield Text(text.scalar, fold(plain), text.place(0, len(text.folded.text)))
    done = 0
    for hit in blobs:
        start, stop = layer.bounds(hit - 1)
        begin = max(start, hit - BLOB_CHARS)
        region = layer.region(begin)
        if begin < done or region >= len(layer.texts):
            continue
        decoded = blob(layer.buffer, begin, stop)
        if decoded is not None:
            plain, done = decoded
            text = layer.texts[region]
            yield Text(text.scalar, fold(plain), text.place(begin - start, done - start))
