"""Finding what is sensitive in the texts of a request: fold, scan all of them at once, check what hit, decode, and scan again."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.domain import Finding, Tier
from app.policy.sensitivity.catalogue import OPAQUE, PATTERNS, prepare
from app.policy.sensitivity.context import Context
from app.policy.sensitivity.custom import Allowed, Custom
from app.policy.sensitivity.database import Database, UnavailableError
from app.policy.sensitivity.decode import ESCAPE_TRIGGER, FORM_TRIGGER, QUOTED_TRIGGER, UTF7_TRIGGER, escapes, form, quoted, utf7
from app.policy.sensitivity.fold import Folded, fold, has_control
from app.policy.sensitivity.layout import BREAK, Layer
from app.policy.sensitivity.runs import BLOB_CHARS, BLOB_TRIGGER, CODES_TRIGGER, blob, codes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from app.policy.collect import Join, Scalar
    from app.policy.sensitivity.custom import Wanted
    from app.policy.sensitivity.pattern import Pattern

_LAYERS = 4  # a text and three encodings on top of one another
_REACH = 256  # code points around an encoded character that can belong to the same value
_MAX_WINDOW_CHARS = 16_384  # one search holds the interpreter; longer stretches are searched in pieces
_DECODERS: tuple[tuple[str, bool, Callable[[str], str | None]], ...] = (  # trigger, whether it ignores case, and what reads the text around its hits
    (ESCAPE_TRIGGER, True, escapes),
    (QUOTED_TRIGGER, False, quoted),
    (FORM_TRIGGER, False, form),
    (UTF7_TRIGGER, False, utf7),
    (CODES_TRIGGER, True, codes),  # the last: its trigger has a database of its own
)
_IN_WORDS = frozenset({"person_name", "address", "phone"})  # by chance two texts make one of these, unless a word of it is cut
_MAX_FINDINGS = 64  # of one kind in one layer: more say nothing new, and their checks would cost
_RANK = {Tier.WEAK: 0, Tier.LIKELY: 1, Tier.HARD: 2}
_Key = tuple[int, int, int, str]  # scalar, start, end, kind
_Ends = Mapping[int, Sequence[int]]  # of the hits of each trigger, ascending
_Place = tuple[str, Tier, int, int, int]  # kind, tier, number of the text, start, end
_NOTHING_ALLOWED = Allowed()


class Scanner:
    """Scans the scalars of a request. `health` is None while it can; else it is a sentence for the operator, and `scan` raises.

    `wanted` is what the operator adds to the patterns.
    """

    def __init__(self, patterns: Sequence[Pattern] = PATTERNS, *, wanted: Wanted | None = None, cache: Path | None = None) -> None:
        self._patterns = tuple(patterns)
        self._blob = len(self._patterns)
        self._database: Database | None = None
        self._custom: Custom | None = None
        self.health: str | None = None
        prepare()
        try:
            triggers = [(pattern.trigger, pattern.caseless) for pattern in patterns]
            decoders = [(trigger, caseless) for trigger, caseless, _ in _DECODERS]
            apart = ([index for index, pattern in enumerate(patterns) if pattern.apart], [self._blob], [self._blob + len(_DECODERS)])
            self._database = Database([*triggers, (BLOB_TRIGGER, False), *decoders], apart=apart, cache=cache)
            self._custom = None if wanted is None else Custom(wanted, cache=cache)
        except UnavailableError as exc:
            self.health = str(exc)

    def scan(self, scalars: Sequence[Scalar], joins: Sequence[Join] = ()) -> tuple[Finding, ...]:
        """Return what was found, in the order of the scalars. Raises UnavailableError where `health` says why."""
        if self._database is None or self.health is not None:
            raise UnavailableError(self.health)
        folds: dict[int, Folded] = {}
        strings = [scalar.text for scalar in scalars]
        whole = "".join(strings)
        if not whole.isascii() or has_control(whole.encode("ascii")):
            folds = {index: fold(text) for index, text in enumerate(strings)}
            strings = [folded.text for folded in folds.values()]
        layer = Layer(strings, joins)
        hits = self._database.hits(layer.buffer.encode("ascii"))
        if not hits and self._custom is None:
            return ()
        found: dict[_Key, Finding] = {}
        texts = [_Text(index, folds.get(index) or Folded(string)) for index, string in enumerate(strings)]
        for _ in range(_LAYERS):
            ends: defaultdict[int, list[int]] = defaultdict(list)
            for number, end in hits:
                ends[number].append(end)
            self._check(layer, texts, ends, scalars, found)
            texts = list(self._decoded(layer, texts, ends, scalars, found))
            if not texts:
                break
            layer = Layer([text.folded.text for text in texts])
            hits = self._database.hits(layer.buffer.encode("ascii"))
        return tuple(_merged(found))

    def _check(self, layer: Layer, texts: Sequence[_Text], ends: _Ends, scalars: Sequence[Scalar], found: dict[_Key, Finding]) -> None:
        """Add what the patterns' exact expressions and checks confirm around their hits, and what the operator's say."""
        known: dict[tuple[int, str], int] = {}  # the rank of the surest, by scalar and kind
        for (scalar, _, _, kind), finding in found.items():
            known[scalar, kind] = max(known.get((scalar, kind), 0), _RANK[finding.tier])
        counts: Counter[tuple[str, Tier]] = Counter()
        for kind, tier, text, start, end in self._places(layer, texts, ends, counts):
            place = texts[text]
            if place.span is not None and known.get((place.scalar, kind), -1) >= _RANK[tier]:
                continue
            begin, stop = place.offsets(start, end)
            key = (place.scalar, begin, stop, kind)
            if key not in found or _RANK[tier] > _RANK[found[key].tier]:
                found[key] = Finding(kind, tier, scalars[place.scalar].position, begin, stop)
            counts[kind, tier] += 1

    def _places(self, layer: Layer, texts: Sequence[_Text], ends: _Ends, counts: Mapping[tuple[str, Tier], int]) -> Iterator[_Place]:
        """Yield what stands in a layer, until there is enough of a kind and tier. Only what is surest of all ends the search for a kind."""
        allowed = _NOTHING_ALLOWED
        if self._custom is not None:
            own, allowed = self._custom.find(layer, [text.folded.seen for text in texts])
            for kind, tier, start, end in own:
                place = layer.locate(start, end, start, end)
                if place is not None and counts[kind, tier] < _MAX_FINDINGS and not allowed.holds(kind, layer.buffer, start, end):
                    yield kind, tier, *place
        context = Context(layer)
        for number, pattern_ends in ends.items():
            if number >= self._blob:
                continue
            pattern = self._patterns[number]
            for tier, text, start, end in _matches(pattern, layer, pattern_ends, allowed, context):
                if counts[pattern.kind, tier] < _MAX_FINDINGS:
                    yield pattern.kind, tier, text, start, end
                elif tier is pattern.surest:
                    break

    def _decoded(self, layer: Layer, texts: Sequence[_Text], ends: _Ends, scalars: Sequence[Scalar], found: dict[_Key, Finding]) -> Iterator[_Text]:
        """Yield what a layer's texts say once one encoding is taken off, as far around each hit as a value can reach; add what nobody can read."""
        for number, (_, _, decode) in enumerate(_DECODERS, self._blob + 1):
            for low, high in _windows(layer, ends.get(number, ()), _REACH, _REACH):
                plain = decode(layer.buffer[low:high].replace(BREAK, "\n"))
                place = None if plain is None else layer.locate(low, high, low, high)
                if plain is not None and place is not None:
                    yield texts[place[0]].encoded(plain, *place[1:])
        done = start = stop = -1
        for end in ends.get(self._blob, ()):
            if not start < end <= stop:
                start, stop = layer.bounds(end - 1)
            begin = max(start, end - BLOB_CHARS)
            run = blob(layer.buffer, begin, stop) if begin >= done else None
            if run is None:
                continue
            done = run.end
            if run.text is None and (not run.hides or layer.is_argued(begin)):
                continue
            place = layer.locate(begin, run.end, begin, run.end)
            if place is None:
                continue
            text = texts[place[0]].encoded(run.text or "", *place[1:])
            if run.text is not None:
                yield text
            else:
                key = (text.scalar, *text.offsets(0, 1), OPAQUE)
                found[key] = Finding(OPAQUE, Tier.LIKELY, scalars[text.scalar].position, *key[1:3])


@dataclass(frozen=True, slots=True)
class _Text:
    """One text of a layer: a scalar's own (`span` is None), or what stands encoded in `span` of it."""

    scalar: int
    folded: Folded
    span: tuple[int, int] | None = None

    def offsets(self, start: int, end: int) -> tuple[int, int]:
        """Return the offsets in the scalar for offsets in the folded text."""
        return self.span or (self.folded.original(start), self.folded.original(end - 1) + 1)

    def encoded(self, plain: str, start: int, end: int) -> _Text:
        """Return what stands encoded between two offsets."""
        return _Text(self.scalar, fold(plain), self.offsets(start, end))


def _merged(found: Mapping[_Key, Finding]) -> list[Finding]:
    """Return findings in order; of those of one kind that overlap, the surest, else the longest."""
    best: dict[_Key, Finding] = {}
    last: dict[tuple[int, str], _Key] = {}
    for key in sorted(found):
        scalar, start, _, kind = key
        before = last.get((scalar, kind))
        if before is not None and start < before[2]:
            if _weight(best[before]) >= _weight(found[key]):
                continue
            del best[before]
        best[key] = found[key]
        last[scalar, kind] = key
    return list(best.values())


def _weight(finding: Finding) -> tuple[int, int]:
    return _RANK[finding.tier], finding.end - finding.start


def _matches(pattern: Pattern, layer: Layer, ends: Sequence[int], allowed: Allowed, context: Context) -> Iterator[tuple[Tier, int, int, int]]:
    """Yield what the check confirms: its tier, the text that holds it, and its offsets there."""
    value = "value" if "value" in pattern.exact.groupindex else 0
    last = "last" if "last" in pattern.exact.groupindex else value
    buffer, find, check = layer.buffer, pattern.exact.finditer, pattern.check
    for low, high in _pieces(layer, ends, pattern.behind, pattern.ahead):
        for match in find(buffer, low, high):
            tier = check(match)
            if tier is None or BREAK in match[0]:
                continue
            tier = context.lowered(pattern.kind, tier, match)
            begin, stop = match.start(value), match.end(last)
            if tier is None or allowed.holds(pattern.kind, buffer, begin, stop):
                continue
            start, end = match.start(), max(match.end(), stop)
            place = layer.locate(start, end, begin, stop)
            if place is not None and (tier is Tier.HARD or _is_meant(pattern.kind, layer, start, end)):
                yield tier, *place


def _is_meant(kind: str, layer: Layer, start: int, end: int) -> bool:
    """Say whether a match is one by more than the chance that its texts follow one another."""
    return kind not in _IN_WORDS or not layer.is_seam(start) or layer.cuts_word(start, end)


def _windows(layer: Layer, ends: Sequence[int], behind: int, ahead: int) -> Iterator[tuple[int, int]]:
    """Yield the stretches to look at: around each hit, within its text, those that touch as one. So no character is looked at twice."""
    low = high = start = stop = -1
    for end in ends:
        if not start < end <= stop:
            start, stop = layer.bounds(end - 1)
        if low >= start and end - behind <= high:
            high = min(stop, end + ahead)
            continue
        if high >= 0:
            yield low, high
        low, high = max(start, end - behind), min(stop, end + ahead)
    if high >= 0:
        yield low, high


def _pieces(layer: Layer, ends: Sequence[int], behind: int, ahead: int) -> Iterator[tuple[int, int]]:
    """Yield the stretches to look at, in pieces: each begins where the one before it ends, and reaches as far into the next as a match can."""
    for low, high in _windows(layer, ends, behind, ahead):
        if high - low <= _MAX_WINDOW_CHARS:
            yield low, high
            continue
        for start in range(low, high, _MAX_WINDOW_CHARS):
            yield start, min(high, start + _MAX_WINDOW_CHARS + behind + ahead)
