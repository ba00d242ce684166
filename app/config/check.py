"""What `python -m app check` prints of a sound configuration: deployments, pools, rules, and whom each label can reach."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from app.config.closure import reachable
from app.config.rules import describe

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from app.config.assembled import Assembled
    from app.config.specs import GatewayFile, ScanSpec
    from app.domain import Deployment, Price
    from app.domain_routing import Rule

_COLUMNS: Final = ("deployment", "model", "lane", "address", "clearance", "window", "$/million in", "out", "abilities")
_PER_MILLION: Final = 1_000_000


def report(file: GatewayFile, assembled: Assembled) -> str:
    """Return the whole report as text for a terminal. It holds no key."""
    table = assembled.table
    parts = [
        _section(file.path, _grid([_COLUMNS, *(_row(deployment) for deployment in table.deployments.values())])),
        _section("inactive", _grid([(name, why) for name, why in table.inactive.items()])),
        _section("pools", _grid([(name, _members(file, assembled, name)) for name in file.pools])),
        _section("rules, the first that matches wins", _grid([(spec.rule.name, describe(spec.rule.when), _action(spec.rule)) for spec in file.rules])),
        _section("also", _grid(_also(file, assembled))),
        _section("each label can reach", _grid(_closure(file, assembled))),
        _section("warnings", list(assembled.warnings)),
    ]
    return "\n\n".join(part for part in parts if part)


def _row(deployment: Deployment) -> tuple[str, ...]:
    return (
        deployment.name,
        f"{deployment.provider}/{deployment.model}",
        str(deployment.lane),
        str(deployment.address or "built in"),
        str(deployment.clearance),
        f"{deployment.context_window:,}" if deployment.context_window else "?",
        *_price(deployment.price),
        ", ".join(sorted(deployment.capabilities)),
    )


def _price(price: Price | None) -> tuple[str, str]:
    if price is None:
        return "?", "?"
    return f"{price.input_usd * _PER_MILLION:.4g}", f"{price.output_usd * _PER_MILLION:.4g}"


def _members(file: GatewayFile, assembled: Assembled, pool: str) -> str:
    names = [_marked(member.name, assembled) for member in file.pools[pool].members]
    return ", ".join(names) + (" (the demo model answers)" if assembled.is_demo else "")


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
        (str(label), ", ".join(_marked(name, assembled) for name in file.deployments if name in reached) or "nothing")
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
