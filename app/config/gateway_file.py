"""gateway.yaml: read, checked as far as the file alone can be, and returned as frozen values."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Final

from app.config.attempts import read_attempts
from app.config.complexity import read_complexity
from app.config.faults import ConfigError, Fault, suggestion
from app.config.pools import read_pools
from app.config.reach import reach
from app.config.reading import Reader
from app.config.rules import describe, read_rules
from app.config.scan import read_scan
from app.config.second_opinion import opinion_faults
from app.config.sections import read_deployments, read_networks, read_search, read_trusted
from app.config.specs import DeploymentSpec, GatewayFile, Named, PoolSpec, ScanSpec, SearchSpec
from app.config.yaml_tree import Table, parse_yaml
from app.domain import OnConflict

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from pathlib import Path

    from app.config.rules import RuleSpec
    from app.domain import Label

__all__ = ["ConfigError", "DeploymentSpec", "Fault", "GatewayFile", "Named", "PoolSpec", "ScanSpec", "SearchSpec", "load_gateway_file", "read_gateway_file"]

_SECTIONS: Final = ("deployments", "pools", "rules", "fallback", "on_conflict", "local_networks", "trusted_hosts", "search", "scan", "complexity", "attempts")


def load_gateway_file(path: Path, env: Mapping[str, str]) -> GatewayFile:
    """Return the file at `path`, `${NAME}` filled in from `env`. Raises ConfigError with everything that is wrong with it."""
    file, faults = read_gateway_file(path, env)
    if faults or file is None:
        raise ConfigError(faults)
    return file


def read_gateway_file(path: Path, env: Mapping[str, str]) -> tuple[GatewayFile | None, list[Fault]]:
    """Return what can be read of the file, for further checks, and its faults; None where it is no mapping at all."""
    name = path.as_posix()
    faults: list[Fault] = []
    try:
        content = path.read_bytes()
    except OSError as exc:
        return None, [Fault(name, 0, f"cannot be read ({exc.strerror}); write it there, or set GATEWAY_CONFIG to where it is")]
    root = parse_yaml(content, name, env, faults)
    if root is None:
        return None, faults
    reader = Reader(name, faults)
    if not isinstance(root, Table):
        return None, [*faults, Fault(name, root.line, "gateway.yaml must be a mapping with deployments and rules")]
    sections = reader.table(root, "gateway.yaml", _SECTIONS)
    nodes = {key: node for key, (_, node) in sections.items()}
    warnings: list[str] = []
    deployments = read_deployments(reader, nodes.get("deployments"), root.line)
    pools = read_pools(reader, nodes.get("pools"), deployments)
    before_rules = len(faults)
    rules = read_rules(reader, nodes.get("rules"), root.line)
    all_rules = len(faults) == before_rules
    is_whole = not faults
    fallback = reader.name(nodes["fallback"], "fallback") if "fallback" in nodes else None
    on_conflict = reader.choice(nodes["on_conflict"], "on_conflict", OnConflict) if "on_conflict" in nodes else None
    file = GatewayFile(
        path=name,
        deployments=deployments,
        pools=pools,
        rules=rules,
        fallback=Named(fallback, sections["fallback"][0]) if fallback is not None else None,
        on_conflict=on_conflict or OnConflict.REROUTE,
        local_networks=read_networks(reader, nodes.get("local_networks"), warnings),
        trusted_hosts=read_trusted(reader, nodes.get("trusted_hosts"), warnings),
        search=read_search(reader, nodes.get("search")),
        scan=read_scan(reader, nodes.get("scan")),
        complexity=read_complexity(reader, nodes.get("complexity")),
        attempts=read_attempts(reader, nodes.get("attempts")),
        warnings=tuple(warnings),
        env=env,
        is_whole=is_whole,
    )
    faults += _unknown_names(file, _lost(root, {*deployments, *pools}))
    faults += opinion_faults(file)
    faults += _rule_faults(file, all_rules=all_rules)
    return file, faults


def _lost(root: Table, known: Collection[str]) -> list[str]:
    """Return the names that stand in the file and could not be read, which is told where they stand; a misspelt section's are among them."""
    tables = [node for key, (_, node) in root.entries.items() if (key in {"deployments", "pools"} or key not in _SECTIONS) and isinstance(node, Table)]
    return [name for table in tables for name in table.entries if name not in known]


def _unknown_names(file: GatewayFile, lost: Collection[str]) -> Iterable[Fault]:
    """Say which names are of nothing, but for those that may mean what was lost."""
    for pool in file.pools.values():
        for member in pool.members:
            if member.name in file.deployments or _near(member.name, lost):
                continue
            if member.name in file.pools:
                yield file.fault(member.line, f'"{member.name}" is a pool; a pool lists deployments')
            else:
                yield file.fault(member.line, f'the pool {pool.name} names an unknown deployment "{member.name}"{suggestion(member.name, file.deployments)}')
    targets = [*file.pools, *file.deployments]
    for spec in file.rules:
        if spec.rule.reject is None and spec.rule.use not in targets and not _near(spec.rule.use, lost):
            yield file.fault(spec.use_line, f'use names an unknown pool or deployment "{spec.rule.use}"{suggestion(spec.rule.use, targets)}')
    if file.fallback is not None and file.fallback.name not in file.pools and not _near(file.fallback.name, lost):
        hint = "; write a pool that holds it" if file.fallback.name in file.deployments else suggestion(file.fallback.name, file.pools)
        yield file.fault(file.fallback.line, f'fallback names an unknown pool "{file.fallback.name}"{hint}')
    embedder = file.search.embedder
    if embedder is not None and embedder.name not in file.deployments and not _near(embedder.name, lost):
        hint = suggestion(embedder.name, [*file.deployments, "builtin"])
        yield file.fault(embedder.line, f'embedder names an unknown deployment "{embedder.name}"{hint}')


def _near(name: str, lost: Collection[str]) -> bool:
    return bool(difflib.get_close_matches(name, lost, n=1))


def _rule_faults(file: GatewayFile, *, all_rules: bool) -> Iterable[Fault]:
    """Say which rules never match, and, where all could be read, whether some request matches none."""
    reached, unmatched = reach([spec.rule for spec in file.rules], file.scan.default)
    for place, (spec, found) in enumerate(zip(file.rules, reached, strict=True)):
        if not found.labels:
            yield file.fault(spec.line, f"{spec.rule.name} never matches: {_culprit(file.rules, place, file.scan.default)}")
    if unmatched and file.rules and all_rules:
        last = file.rules[-1]
        use = next((spec.rule.use for spec in reversed(file.rules) if spec.rule.use), "POOL")
        yield file.fault(last.line, f"some requests match no rule; write a last rule without `when`, such as `- {{use: {use}}}`")


def _culprit(rules: tuple[RuleSpec, ...], place: int, least: Label) -> str:
    """Return why the rule at `place` is out of reach, and what to do: it contradicts itself, an earlier rule takes all of it, or all of them together do."""
    rule = rules[place].rule
    if not reach([rule])[0][0].labels:
        return "its conditions contradict each other (a hint of a label raises the label to it, a hint of a tier is the tier); leave one out"
    if not reach([rule], least)[0][0].labels:
        return f"`scan: {{default: {least}}}` makes every request {least} at least; leave it out"
    for earlier in rules[:place]:
        reached, _ = reach([earlier.rule, rule], least)
        if not reached[1].labels:
            return f"{earlier.rule.name} in line {earlier.line} ({describe(earlier.rule.when)}) takes every request that it would; move it up, or leave it out"
    is_by_default = bool(reach([each.rule for each in rules[: place + 1]])[0][-1].labels)
    blame = f", for `scan: {{default: {least}}}` makes every request {least} at least" if is_by_default else ""
    return f"the rules before it together take every request that it would{blame}; move it up, or leave it out"
