"""Which requests a list of rules leaves to each rule: exact for conditions as the grammar has them, by cutting the space of requests into boxes.

A box is a set of requests: those whose label, tier and size are in the box's sets, that hold every atom of `true` and none of `false`. An atom is a
capability needed, a kind found, or a glob that the model asked for matches; atoms are taken as independent, which can only make a rule look more reachable
than it is. A condition cuts a box into boxes inside and outside of it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from app.domain import ComplexityTier, Label

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from app.domain_routing import Condition, Rule

# Beyond so many boxes a rule is taken to leave everything to the next: rules that could be proven unreachable pass, and the closure grows.
_MAX_BOXES: Final = 5_000


@dataclass(frozen=True, slots=True)
class Box:
    """A set of requests; never empty. Sizes are tokens, both ends included."""

    labels: frozenset[Label] = frozenset(Label)
    complexities: frozenset[ComplexityTier] = frozenset(ComplexityTier)
    low: float = 0
    high: float = math.inf
    true: frozenset[str] = frozenset()
    false: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Reached:
    """A rule and the labels whose requests can be the first to match it; none means that it never matches."""

    rule: Rule
    labels: frozenset[Label]


def reach(rules: Sequence[Rule]) -> tuple[tuple[Reached, ...], frozenset[Label]]:
    """Return which labels reach each rule, and the labels of which some request matches no rule."""
    left: list[Box] = [Box()]
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
                inside.append(replace(rest, true=rest.true | {atom}))
                rest = replace(rest, false=rest.false | {atom})
        return inside, [rest]


def _clauses(when: Condition) -> Iterator[_Labels | _Tiers | _Between | _AnyAtom]:
    if when.labels is not None:
        yield _Labels(when.labels)
    if when.complexities is not None:
        yield _Tiers(when.complexities)
    if when.min_tokens is not None or when.max_tokens is not None:
        yield _Between(when.min_tokens or 0, math.inf if when.max_tokens is None else when.max_tokens)
    for need in sorted(when.needs or ()):
        yield _AnyAtom((f"needs {need}",))
    if when.findings is not None:
        yield _AnyAtom(tuple(f"found {kind}" for kind in sorted(when.findings)))
    if when.model is not None and when.model.strip("*"):
        yield _AnyAtom((f"model {when.model}",))
