"""Whether a plan may have to count tokens: where a bound that costs nothing already tells, it need not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.policy.vocabulary import Vocabulary, vocabulary_of

if TYPE_CHECKING:
    from app.domain import Facts
    from app.domain_routing import RoutingTable


@dataclass(frozen=True, slots=True)
class Near:
    """The fewest tokens at which a rule or a window of a routing table asks for a count, None where nothing does, and by which vocabularies."""

    least: int | None
    vocabularies: frozenset[Vocabulary]


def near(table: RoutingTable) -> Near:
    """Return what follows from `table`; it is kept with it."""
    found: Near | None = table.memo.get("near")
    if found is None:
        bounds = [bound for rule in table.rules for bound in (rule.when.min_tokens, rule.when.max_tokens) if bound is not None]
        windows = [
            (each.context_window, vocabulary)
            for each in table.deployments.values()
            if each.context_window is not None and (vocabulary := vocabulary_of(each.provider, each.model)) is not None
        ]
        vocabularies = {vocabulary for _, vocabulary in windows} | ({Vocabulary.O200K} if bounds else set())
        found = table.memo["near"] = Near(min([*bounds, *(window for window, _ in windows)], default=None), frozenset(vocabularies))
    return found


def may_take_long(table: RoutingTable, facts: Facts) -> bool:
    """Say whether deciding on a request may load a vocabulary or count a long text, which is not for an event loop."""
    found: Near = table.memo.get("near") or near(table)
    if found.least is None or facts.tokens_at_most + (facts.max_output_tokens or 0) < found.least:
        return False
    return not facts.measures.counts_quickly(found.vocabularies)
