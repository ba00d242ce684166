"""Which requests a list of rules leaves to each rule: exact for conditions as the grammar has them, by cutting the space of requests into boxes.

A box is a set of requests: those whose label, tier, score, size and time are in the box's sets, that hold every atom of `true` and none of `false`. An atom
is a capability needed, a kind found, a glob that the model asked for matches, a key, a tag or a hint. Atoms are taken as independent, and so are tier and
score, and the times of two zones; that can only make a rule look more reachable than it is. A condition cuts a box into boxes inside and outside of it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from app.domain import ComplexityTier, Label
from app.domain_routing import DAY_MINUTES

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from app.domain_routing import Condition, Hours, Rule

# Beyond so many boxes a rule is taken to leave everything to the next: rules that could be proven unreachable pass, and the closure grows.
_MAX_BOXES: Final = 5_000

_WEEK_MINUTES: Final = 7 * DAY_MINUTES
_WHOLE_WEEK: Final = (1 << _WEEK_MINUTES) - 1
_HINTED_LABELS: Final = {f"hint {label}": frozenset(each for each in Label if each >= label) for label in Label}
_HINTED_TIERS: Final = {f"hint {tier}": frozenset({tier}) for tier in ComplexityTier}


@dataclass(frozen=True, slots=True)
class Box:
    """A set of requests; never empty. Sizes are tokens, both ends included, as of scores. `week` has, by zone, a bit for each minute of the week."""

    labels: frozenset[Label] = frozenset(Label)
    complexities: frozenset[ComplexityTier] = frozenset(ComplexityTier)
    low: float = 0
    high: float = math.inf
    low_score: float = 0.0
    high_score: float = 1.0
    week: Mapping[str, int] = field(default_factory=dict)
    true: frozenset[str] = frozenset()
    false: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Reached:
    """A rule and the labels whose requests can be the first to match it; none means that it never matches."""

    rule: Rule
    labels: frozenset[Label]


def reach(rules: Sequence[Rule], least: Label = Label.PUBLIC) -> tuple[tuple[Reached, ...], frozenset[Label]]:
    """Return which labels reach each rule, and the labels of which some request matches no rule. No request has a label below `least`."""
    left: list[Box] = [Box(frozenset(label for label in Label if label >= least))]
    reached = []
    for rule in rules:
        inside, outside = cut(left, rule.when)
        reached.append(Reached(rule, _labels_of(inside)))
        left = outside if len(outside) <= _MAX_BOXES else left
    return tuple(reached), _labels_of(left)


def cut(boxes: Sequence[Box], when: Condition) -> tuple[list[Box], list[Box]]:
    """Return what of `boxes` lies inside and outside of `when`."""
    inside, outside = list(boxes), list[Box]()
    for clause in _clauses(when):
        kept: list[Box] = []
        for box in inside:
            within, without = clause.cut(box)
            kept += within
            outside += without
        inside = kept
    return inside, outside


def _labels_of(boxes: Sequence[Box]) -> frozenset[Label]:
    return frozenset(label for box in boxes for label in box.labels)


@dataclass(frozen=True, slots=True)
class _Labels:
    """The label is one of some."""

    labels: frozenset[Label]

    def cut(self, box: Box) -> tuple[list[Box], list[Box]]:
        within, without = box.labels & self.labels, box.labels - self.labels
        return [replace(box, labels=within)] if within else [], [replace(box, labels=without)] if without else []


@dataclass(frozen=True, slots=True)
class _Tiers:
    """The complexity's tier is one of some."""

    tiers: frozenset[ComplexityTier]

    def cut(self, box: Box) -> tuple[list[Box], list[Box]]:
        within, without = box.complexities & self.tiers, box.complexities - self.tiers
        return [replace(box, complexities=within)] if within else [], [replace(box, complexities=without)] if without else []


@dataclass(frozen=True, slots=True)
class _Between:
    """The size is between two numbers of tokens."""

    low: float
    high: float

    def cut(self, box: Box) -> tuple[list[Box], list[Box]]:
        low, high = max(box.low, self.low), min(box.high, self.high)
        if low > high:
            return [], [box]
        below = [replace(box, high=low - 1)] if box.low < low else []
        above = [replace(box, low=high + 1)] if box.high > high else []
        return [replace(box, low=low, high=high)], below + above


@dataclass(frozen=True, slots=True)
class _Scored:
    """The score is between two numbers."""

    low: float
    high: float

    def cut(self, box: Box) -> tuple[list[Box], list[Box]]:
        low, high = max(box.low_score, self.low), min(box.high_score, self.high)
        if low > high:
            return [], [box]
        below = [replace(box, high_score=math.nextafter(low, -1))] if box.low_score < low else []
        above = [replace(box, low_score=math.nextafter(high, 2))] if box.high_score > high else []
        return [replace(box, low_score=low, high_score=high)], below + above


@dataclass(frozen=True, slots=True)
class _During:
    """The minute of the week is one of some."""

    zone: str
    minutes: int

    def cut(self, box: Box) -> tuple[list[Box], list[Box]]:
        had = box.week.get(self.zone, _WHOLE_WEEK)
        within, without = had & self.minutes, had & ~self.minutes
        return (
            [replace(box, week={**box.week, self.zone: within})] if within else [],
            [replace(box, week={**box.week, self.zone: without})] if without else [],
        )


def _minutes(hours: Hours) -> int:
    """Return the minutes of the week of a rule's time as bits."""
    length = (hours.end - hours.start - 1) % DAY_MINUTES + 1
    found = 0
    for day in hours.days:
        span = ((1 << length) - 1) << (day * DAY_MINUTES + hours.start)
        found |= (span & _WHOLE_WEEK) | (span >> _WEEK_MINUTES)
    return found


@dataclass(frozen=True, slots=True)
class _AnyAtom:
    """At least one of some atoms holds."""

    atoms: tuple[str, ...]

    def cut(self, box: Box) -> tuple[list[Box], list[Box]]:
        inside: list[Box] = []
        rest = box
        for atom in self.atoms:
            if atom in rest.true:
                return [*inside, rest], []
            if atom not in rest.false:
                inside += _hinted(replace(rest, true=rest.true | {atom}), atom)
                rest = replace(rest, false=rest.false | {atom})
        return inside, [rest]


def _hinted(box: Box, atom: str) -> list[Box]:
    """Return what an atom leaves of a box: a hint of a label raises the label at least to it, a hint of a tier is the tier."""
    labels = box.labels & _HINTED_LABELS.get(atom, box.labels)
    tiers = box.complexities & _HINTED_TIERS.get(atom, box.complexities)
    return [replace(box, labels=labels, complexities=tiers)] if labels and tiers else []


def _clauses(when: Condition) -> Iterator[_Labels | _Tiers | _Between | _Scored | _During | _AnyAtom]:
    if when.labels is not None:
        yield _Labels(when.labels)
    if when.complexities is not None:
        yield _Tiers(when.complexities)
    if when.min_tokens is not None or when.max_tokens is not None:
        yield _Between(when.min_tokens or 0, math.inf if when.max_tokens is None else when.max_tokens)
    if when.min_score is not None or when.max_score is not None:
        yield _Scored(when.min_score or 0.0, 1.0 if when.max_score is None else when.max_score)
    if when.hours is not None:
        yield _During(str(when.hours.zone), _minutes(when.hours))
    for need in sorted(when.needs or ()):
        yield _AnyAtom((f"needs {need}",))
    for what, words in (("found", when.findings), ("key", when.keys), ("tag", when.tags), ("hint", when.hints)):
        if words is not None:
            yield _AnyAtom(tuple(f"{what} {word}" for word in sorted(words)))
    if when.model is not None and when.model.strip("*"):
        yield _AnyAtom((f"model {when.model}",))
