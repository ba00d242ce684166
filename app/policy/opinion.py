"""What a second opinion is asked to read of a request, and what its answer means there. Pure: asking is others'."""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass, field, replace
from itertools import accumulate
from typing import TYPE_CHECKING, Any, Final

from app.domain import Facts, Finding, Label, Tier
from app.policy.blobs import blanked, find_blobs
from app.policy.collect import collect

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from app.domain_opinion import Spotted

REASON: Final = "second_opinion"
UNAVAILABLE: Final = "second_opinion_unavailable"
OVER_LIMIT: Final = "over_second_opinion_limit"

_ADDRESS: Final = re.compile(r"[^\s@,:;<>()\"]+@[^\s@]+")  # and nothing beside it: a model may quote whose it is, too
_SURROGATE: Final = re.compile("[\ud800-\udfff]")  # no UTF-8 has them


@dataclass(frozen=True, slots=True)
class Sheet:
    """All texts of a request as one, a line or more each; `starts` and `positions` tell where each begins and what it is."""

    text: str = field(repr=False)
    starts: tuple[int, ...] = ()
    positions: tuple[str, ...] = ()


def sheet_of(body: Mapping[str, Any]) -> Sheet:
    """Return the texts of a parsed body, but for the blobs that providers sealed, which nobody can read. Takes about as long as `collect`."""
    sealed = find_blobs(body)
    scalars = collect(blanked(body, frozenset(sealed)) if sealed else body).scalars
    starts = accumulate((len(scalar.text) + 1 for scalar in scalars), initial=0)
    text = _SURROGATE.sub("\ufffd", "\n".join(scalar.text for scalar in scalars))
    return Sheet(text, tuple(starts)[:-1], tuple(scalar.position for scalar in scalars))


@dataclass(frozen=True, slots=True)
class LeftAlone:
    """Values and e-mail domains that are no findings, whoever finds them."""

    values: re.Pattern[str] | None = field(default=None, repr=False)
    domains: frozenset[str] = frozenset()

    @classmethod
    def of(cls, values: Sequence[str], domains: Sequence[str]) -> LeftAlone:
        """Take them as the configuration has them."""
        return cls(re.compile("|".join(map(re.escape, values)), re.IGNORECASE) if values else None, frozenset(domains))

    def holds(self, text: str, spotted: Sequence[Spotted]) -> list[bool]:
        """Say of each whether it lies within an allowed value, or is an address at an allowed domain."""
        spans = [match.span() for match in self.values.finditer(text)] if self.values is not None else []
        starts = [start for start, _ in spans]
        ends = [0, *(end for _, end in spans)]  # of the last value that begins before: values do not overlap
        return [each.start < each.end <= ends[bisect_right(starts, each.start)] or self._is_home(text[each.start : each.end]) for each in spotted]

    def _is_home(self, found: str) -> bool:
        address = found.strip().lower()
        host = address.rpartition("@")[2]
        return _ADDRESS.fullmatch(address) is not None and any(host == domain or host.endswith(f".{domain}") for domain in self.domains)


NOTHING_LEFT: Final = LeftAlone()


def findings_of(sheet: Sheet, spotted: Sequence[Spotted], left: LeftAlone = NOTHING_LEFT) -> tuple[Finding, ...]:
    """Return what was spotted as findings of the request: one that goes over several texts is told where it begins."""
    found = []
    for each, is_left in zip(spotted, left.holds(sheet.text, spotted) if spotted else (), strict=True):
        if not is_left:
            place = bisect_right(sheet.starts, each.start) - 1
            start = sheet.starts[place]
            end = sheet.starts[place + 1] - 1 if place + 1 < len(sheet.starts) else len(sheet.text)
            found.append(Finding(each.kind, each.tier, sheet.positions[place], each.start - start, min(each.end, max(end, each.start)) - start))
    return tuple(found)


def raised(facts: Facts, found: Sequence[Finding], label_of: Callable[[Finding], Label]) -> Facts:
    """Return the facts with what a second opinion found: the label can only rise."""
    if not found:
        return facts
    label = max(map(label_of, found))
    together = (*facts.findings, *found)
    return replace(facts, findings=together) if label <= facts.label else replace(facts, label=label, label_reason=REASON, findings=together)


def unread(facts: Facts, reason: str) -> Facts:
    """Return the facts of a request that could not be read a second time: it is confidential, whatever the configuration makes of findings.

    The finding that says so is not hard, so that an outage makes no conversation confidential for longer than it lasts.
    """
    found = Finding(UNAVAILABLE, Tier.LIKELY, "", 0, 0)
    return replace(facts, label=Label.CONFIDENTIAL, label_reason=reason, findings=(*facts.findings, found))
