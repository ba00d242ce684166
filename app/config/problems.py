"""What is wrong with a configuration that can be served: rules that nothing can answer, and what a pool chooses by that is not known."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.config.faults import alternatives
from app.domain_routing import LONG, Choice

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from app.config.known import Known
    from app.config.rules import RuleSpec
    from app.config.specs import GatewayFile


def problems(file: GatewayFile, known: Mapping[str, Known]) -> list[str]:
    """Return a sentence for each rule of which every request that it takes can only be refused. `known` is by deployment."""
    found = [(spec.line, sentence) for spec in file.rules for sentence in (*_lacking(file, spec, known), *_too_long(file, spec, known))]
    return [f"{file.path}:{line}: {sentence}" for line, sentence in found]


def doubts(file: GatewayFile, known: Mapping[str, Known], keys: Iterable[str]) -> list[str]:
    """Return a sentence for each pool that chooses by a price that is not known, and each rule for a caller's key that GATEWAY_API_KEYS does not have."""
    found = []
    for pool in file.pools.values():
        unpriced = [member.name for member in pool.members if pool.choose is Choice.CHEAPEST and known[member.name].price is None]
        if unpriced:
            listed = alternatives(unpriced, quote=False, last="and")
            found.append((pool.line, f"the pool {pool.name} chooses the cheapest, and no price is known of {listed}, which come last: write `price`"))
    named = frozenset(keys)
    for spec in file.rules:
        wanted = spec.rule.when.keys or frozenset()
        if named and wanted and not wanted & named:
            listed = alternatives(sorted(wanted), quote=False)
            found.append((spec.line, f"{spec.rule.name} is for the key {listed}, which GATEWAY_API_KEYS does not have"))
    return [f"{file.path}:{line}: {sentence}" for line, sentence in found]


def _members(file: GatewayFile, name: str) -> tuple[str, ...]:
    return tuple(member.name for member in file.pools[name].members) if name in file.pools else (name,)


def _lacking(file: GatewayFile, spec: RuleSpec, known: Mapping[str, Known]) -> Iterator[str]:
    """Tell of capabilities that a rule needs or requires, and that nobody has whom its requests may go to."""
    rule = spec.rule
    wanted = rule.require | (rule.when.needs or frozenset())
    if rule.reject is not None or not wanted or any(wanted <= known[name].capabilities for name in _members(file, rule.use)):
        return
    asks = "requires" if rule.require else "is for requests that need"
    words = alternatives(sorted(wanted), quote=False, last="and")
    yield f"{rule.name} {asks} {words}, which no deployment of {_kind(file, rule.use)} has; name another, or write `capabilities` where the registry is wrong"


def _too_long(file: GatewayFile, spec: RuleSpec, known: Mapping[str, Known]) -> Iterator[str]:
    """Tell of a length from which a rule holds, and that fits nobody whom its requests may go to; the pool `long` and the fallback among them."""
    least = spec.rule.when.min_tokens
    if spec.rule.reject is not None or least is None:
        return
    others = [LONG] if LONG in file.pools else []
    others += [file.fallback.name] if file.fallback is not None else []
    windows = [known[name].context_window for target in (spec.rule.use, *others) for name in _members(file, target)]
    if all(window is not None and window < least for window in windows):
        largest = max(window for window in windows if window is not None)
        long = f"{spec.rule.name} is for prompts of {least:,} tokens or more"
        yield f"{long}, and the largest window that they may go to has {largest:,}; name a pool that takes them"


def _kind(file: GatewayFile, name: str) -> str:
    return f"the pool {name}" if name in file.pools else name
