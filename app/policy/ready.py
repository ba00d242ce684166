"""What follows from a routing table alone: worked out once, and kept with the table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.domain import Label
from app.domain_routing import Choice, Member, Pool
from app.policy.pools import MEASURED, draws, is_fixed
from app.policy.rules import ReadyRule, Target, for_label, get_ready

if TYPE_CHECKING:
    from collections.abc import Mapping

    from app.domain_routing import RoutingTable, Rule


@dataclass(frozen=True, slots=True)
class Reads:
    """What of a snapshot the plans of a table depend on, beside which deployments rest."""

    time: bool
    draw: bool
    conversation: bool
    measures: bool
    stays: bool
    anything: bool


@dataclass(frozen=True, slots=True)
class Ready(Reads):
    """A table's rules ready to be read; `by_label` are what is left of them once a request's label is known.

    `guards` are the rules that a named model is held to: those up to the last that rejects. `aliases` are those that can answer a name that is neither pool
    nor deployment. `singles` are pools of one, for what a rule or a caller names. `tags` are the words that any rule asks for.
    """

    rules: tuple[ReadyRule, ...]
    by_label: tuple[tuple[ReadyRule, ...], ...]
    guards: tuple[ReadyRule, ...]
    aliases: tuple[ReadyRule, ...]
    singles: Mapping[str, Pool]
    tags: frozenset[str]


def ready(table: RoutingTable) -> Ready:
    """Return what follows from `table`."""
    found: Ready | None = table.memo.get("ready")
    if found is None:
        found = table.memo["ready"] = _work_out(table)
    return found


def _work_out(table: RoutingTable) -> Ready:
    singles = {name: Pool("", (Member(deployment),)) for name, deployment in table.deployments.items()}
    rules = tuple(get_ready(rule, _target(table, singles, rule)) for rule in table.rules)
    last = max((place for place, rule in enumerate(table.rules, 1) if rule.reject is not None), default=0)
    pools = [pool for pool in table.pools.values() if not is_fixed(pool)]
    times = any(rule.when.hours is not None for rule in table.rules)
    return Ready(
        time=times,
        draw=any(draws(pool) and not pool.sticky for pool in pools),
        conversation=any(pool.sticky for pool in pools),
        measures=any(pool.choose in MEASURED - {Choice.CHEAPEST} for pool in pools),
        stays=any(pool.sticky and pool.choose in MEASURED for pool in pools),
        anything=bool(pools) or times,
        rules=rules,
        by_label=tuple(for_label(rules, label) for label in Label),
        guards=rules[:last],
        aliases=tuple(each for each in rules if each.rule.when.model is not None or each.rule.reject is not None),
        singles=singles,
        tags=frozenset[str]().union(*(rule.when.tags or () for rule in table.rules)),
    )


def _target(table: RoutingTable, singles: Mapping[str, Pool], rule: Rule) -> Target | None:
    """Return where a rule sends requests; None where it rejects them."""
    if rule.reject is not None:
        return None
    named = table.pools.get(rule.use)
    if named is not None:
        return Target(rule.name, named, f"pool {rule.use}", rule.require)
    return Target(rule.name, singles.get(rule.use, Pool("")), "named by the rule", rule.require)
