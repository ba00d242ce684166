"""What `python -m app check` prints of a sound configuration: deployments, pools, rules, and whom each label can reach."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from app.config.closure import reachable
from app.config.known import Known
from app.config.rules import describe
from app.config.second_opinion import opinion_rows, reader_of
from app.domain import Label
from app.domain_routing import Choice

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from app.config.assembled import Assembled
    from app.config.specs import DeploymentSpec, GatewayFile, MemberSpec, PoolSpec, ScanSpec
    from app.domain import Price
    from app.domain_routing import Rule

_COLUMNS: Final = ("deployment", "model", "lane", "clearance", "reached by", "credentials", "window", "$/million in", "out")
_PER_MILLION: Final = 1_000_000
_PER_CENT: Final = 100


def report(file: GatewayFile, assembled: Assembled, known: Mapping[str, Known], problems: Iterable[str] = (), doubts: Iterable[str] = ()) -> str:
    """Return the whole report as text for a terminal. `known` is by deployment. It holds no key."""
    table = assembled.table
    labels = reached_by(file)
    shown = {name: known.get(name, Known()) for name in file.deployments}
    rows = [_row(file.deployments[name], each, labels[name]) for name, each in shown.items()]
    places = [_place(name, each, assembled) for name, each in shown.items()]
    parts = [
        _section(file.path, _grid([_COLUMNS, *rows, *([_DEMO_ROW] if assembled.is_demo else [])])),
        _section("addresses and abilities", _grid(places)),
        _section("inactive", _grid([(name, why) for name, why in table.inactive.items()])),
        _section("pools", _grid([(name, _members(file, assembled, name), _manner(pool)) for name, pool in file.pools.items()])),
        _section("rules, the first that matches wins", _grid([(spec.rule.name, describe(spec.rule.when), _action(spec.rule)) for spec in file.rules])),
        _section("also", _grid(_also(file, assembled))),
        _section("each label can reach", _grid(_closure(file, assembled))),
        _section("warnings", [*assembled.warnings, *doubts]),
        _section("problems", list(problems)),
    ]
    return "\n\n".join(part for part in parts if part)


def as_json(file: GatewayFile, assembled: Assembled, known: Mapping[str, Known], problems: Iterable[str] = ()) -> dict[str, Any]:
    """Return the report as JSON values. It holds no key."""
    labels = reached_by(file)
    shown = {name: known.get(name, Known()) for name in file.deployments}
    return {
        "file": file.path,
        "demo": assembled.is_demo,
        "deployments": {name: _as_json(file.deployments[name], each, assembled, labels[name]) for name, each in shown.items()},
        "pools": {name: [member.name for member in pool.members] for name, pool in file.pools.items()},
        "rules": [
            {"rule": spec.rule.name, "when": describe(spec.rule.when), "use": spec.rule.use or None, "reject": spec.rule.reject, "line": spec.line}
            for spec in file.rules
        ],
        "labels": {str(label): [*sorted(names), *reader_of(file.scan, label)] for label, names in reachable(file).items()},
        "warnings": list(assembled.warnings),
        "problems": list(problems),
    }


def reached_by(file: GatewayFile) -> Mapping[str, tuple[Label, ...]]:
    """Return the labels that can reach each deployment."""
    reached = reachable(file)
    return {name: tuple(label for label in Label if name in reached[label]) for name in file.deployments}


def _as_json(spec: DeploymentSpec, known: Known, assembled: Assembled, labels: Sequence[Label]) -> dict[str, Any]:
    active = assembled.table.deployments.get(spec.name)
    price = known.price
    return {
        "active": active is not None,
        "inactive_because": assembled.table.inactive.get(spec.name),
        "model": f"{spec.provider}/{spec.model}",
        "lane": None if known.lane is None else str(known.lane),
        "address": None if active is None else str(active.address),
        "clearance": str(spec.clearance),
        "reached_by": [str(label) for label in labels],
        "credentials": {"given": list(known.given), "missing": list(known.missing), "in_file": known.literal},
        "context_window": known.context_window,
        "price_per_million_usd": None if price is None else {"input": price.input_usd * _PER_MILLION, "output": price.output_usd * _PER_MILLION},
        "capabilities": sorted(known.capabilities),
    }


def _row(spec: DeploymentSpec, known: Known, labels: Sequence[Label]) -> tuple[str, ...]:
    return (
        spec.name,
        f"{spec.provider}/{spec.model}",
        str(known.lane or "?"),
        str(spec.clearance),
        ", ".join(map(str, labels)) or "nobody",
        known.credentials,
        f"{known.context_window:,}" if known.context_window else "?",
        *_price(known.price),
    )


_DEMO_ROW: Final = ("demo", "demo/demo", "demo", "confidential", "public, internal, confidential", "none", "?", "?", "?")


def _place(name: str, known: Known, assembled: Assembled) -> tuple[str, ...]:
    active = assembled.table.deployments.get(name)
    return name, str(active.address) if active is not None else "inactive", ", ".join(sorted(known.capabilities))


def _price(price: Price | None) -> tuple[str, str]:
    if price is None:
        return "?", "?"
    return f"{price.input_usd * _PER_MILLION:.4g}", f"{price.output_usd * _PER_MILLION:.4g}"


def _members(file: GatewayFile, assembled: Assembled, pool: str) -> str:
    names = [_marked(member.name, assembled) + _chance(member) for member in file.pools[pool].members]
    return ", ".join(names) + (" (the demo model answers)" if assembled.is_demo else "")


def _chance(member: MemberSpec) -> str:
    """Say by what a member is drawn, as the file has it."""
    said = [
        f"arm {member.arm}" if member.arm else "",
        f"weight {member.weight:g}" if member.weight is not None else "",
        f"share {member.share * _PER_CENT:g}%" if member.share is not None else "",
    ]
    told = ", ".join(filter(None, said))
    return f" ({told})" if told else ""


def _manner(pool: PoolSpec) -> str:
    """Say how a pool chooses, unless it is just tried in order."""
    said = [
        f"experiment {pool.experiment}" if pool.experiment else "",
        str(pool.choose) if pool.choose is not Choice.ORDERED else "",
        "sticky" if pool.sticky else "",
        "hedge" if pool.hedge else "",
    ]
    return ", ".join(filter(None, said))


def _marked(name: str, assembled: Assembled) -> str:
    return f"{name} (inactive)" if name in assembled.table.inactive else name


def _action(rule: Rule) -> str:
    if rule.reject is not None:
        return f"reject: {rule.reject}"
    return f"-> {rule.use}" + (f", requires {', '.join(sorted(rule.require))}" if rule.require else "")


def _also(file: GatewayFile, assembled: Assembled) -> list[tuple[str, str]]:
    embedder = _marked(file.search.embedder.name, assembled) if file.search.embedder else "builtin"
    return [
        ("fallback", file.fallback.name if file.fallback else "none"),
        ("on_conflict", str(file.on_conflict)),
        ("local_networks", ", ".join(map(str, file.local_networks))),
        ("trusted_hosts", ", ".join(f"{host} ({network or 'by TLS'})" for host, network in file.trusted_hosts.items()) or "none"),
        ("search", f"embedder {embedder}, collection up to {assembled.search_clearance}"),
        ("scan", f"let through unscanned: {', '.join(sorted(file.scan.allow))}" if file.scan.allow else "what cannot be scanned is confidential"),
        *_scan(file.scan),
        *opinion_rows(file.scan, assembled.second_opinion),
    ]


def _scan(scan: ScanSpec) -> list[tuple[str, str]]:
    """Say what the file changes of the scanner; values and words are counted, for they may be somebody's."""
    words = Counter(kind for kind, _ in scan.words)
    rows = [
        ("  labels", ", ".join(f"{key}: {label}" for key, label in scan.labels.items())),
        ("  default", str(scan.default) if scan.default else ""),
        ("  patterns", ", ".join(f"{pattern.kind} ({pattern.tier})" for pattern in scan.patterns)),
        ("  words", ", ".join(f"{kind} ({count})" for kind, count in words.items())),
        ("  left alone", ", ".join([*([f"{len(scan.allow_values)} values"] if scan.allow_values else []), *(f"@{domain}" for domain in scan.allow_domains)])),
    ]
    return [row for row in rows if row[1]]


def _closure(file: GatewayFile, assembled: Assembled) -> list[tuple[str, str]]:
    return [
        (str(label), ", ".join([*(_marked(name, assembled) for name in file.deployments if name in reached), *reader_of(file.scan, label)]) or "nothing")
        for label, reached in reachable(file).items()
    ]


def _section(title: str, lines: Sequence[str]) -> str:
    return "\n".join([title, *(f"  {line}" for line in lines)]) if lines else ""


def _grid(rows: Iterable[Sequence[str]]) -> list[str]:
    """Return rows with their columns in line."""
    cells = list(rows)
    if not cells:
        return []
    widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells]
