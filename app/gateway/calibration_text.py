"""A calibration for a person's terminal, and as JSON values."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from app.gateway.calibration import BAD_SCORE, NOT_JSON, OTHER_EVENT, OTHER_ROUTE, TOO_LONG, UNSCORED, histogram

if TYPE_CHECKING:
    from collections.abc import Iterator

    from app.domain import Cuts
    from app.gateway.calibration import Calibration

_WHY: Final = {
    OTHER_EVENT: "other events",
    OTHER_ROUTE: "requests for other paths",
    UNSCORED: "chat requests without a score, which no rule in play read",
    NOT_JSON: "no JSON",
    BAD_SCORE: "with a score that is none",
    TOO_LONG: "longer than a line of the log can be",
}
_BAR: Final = 40


def to_json(found: Calibration) -> dict[str, Any]:
    """Return the calibration as JSON values."""
    tally = found.tally
    return {
        "requests": tally.requests,
        "first": tally.first,
        "last": tally.last,
        "skipped": dict(sorted(tally.skipped.items())),
        "share": found.share,
        "target_share": found.target,
        "routed_complex": round(tally.routed_complex / tally.requests, 4) if tally.requests else None,
        "today": _side(found, found.today),
        "proposed": _side(found, found.proposed),
        "histogram": [{"from": low, "to": high, "requests": count} for low, high, count in histogram(tally.counts)],
        "notes": found.notes(),
    }


def _side(found: Calibration, cuts: Cuts) -> dict[str, Any]:
    shares = asdict(found.tally.shares(cuts))
    return {"medium": cuts.medium, "complex": cuts.complex, "shares": {tier: round(share, 4) for tier, share in shares.items()}}


def to_text(found: Calibration) -> str:
    """Return the calibration as lines to read; its end can be pasted into gateway.yaml."""
    return "\n".join(_lines(found)) + "\n"


def skipped_text(found: Calibration) -> str:
    """Return how many lines were skipped, and why."""
    skipped = found.tally.skipped
    if not skipped.total():
        return "no line skipped"
    parts = [f"{_WHY[why]} ({count:,})" for why, count in skipped.most_common()]
    return f"{skipped.total():,} skipped lines: {', '.join(parts)}"


def _lines(found: Calibration) -> Iterator[str]:
    tally, today, proposed = found.tally, found.today, found.proposed
    yield f"{tally.requests:,} scores of chat requests{_span(tally.first, tally.last)}"
    yield skipped_text(found)
    yield ""
    yield "score        requests"
    steps = histogram(tally.counts)
    last = max(index for index, step in enumerate(steps) if step[2])
    most = max(step[2] for step in steps)
    for low, high, count in steps[: last + 1]:
        yield f"{low:.2f}-{high:.2f}  {count:>10,}  {'#' * round(_BAR * count / most)}".rstrip()
    yield ""
    yield f"{'cuts':30} {'simple':>8} {'medium':>8} {'complex':>8}"
    yield _row(found, "today", today)
    yield _row(found, f"for {found.share:.1%}", proposed)
    yield f"{'as it was routed':30} {'':>8} {'':>8} {tally.routed_complex / tally.requests:>8.1%}"
    yield from ("", *found.notes()) if found.notes() else ()
    yield ""
    if found.target is None:
        yield "# In gateway.yaml; or `target_share` in place of `complex`, and the cut follows the share by itself."
    else:
        yield f"# In gateway.yaml, in place of `target_share: {found.target:g}`, by which the cut follows the share by itself."
    yield "complexity:"
    yield f"  medium: {proposed.medium:g}"
    yield f"  complex: {proposed.complex:g}"


def _row(found: Calibration, name: str, cuts: Cuts) -> str:
    shares = found.tally.shares(cuts)
    where = f"{name} ({cuts.medium:g}, {cuts.complex:g})"
    return f"{where:30} {shares.simple:>8.1%} {shares.medium:>8.1%} {shares.complex:>8.1%}"


def _span(first: float | None, last: float | None) -> str:
    if first is None or last is None:
        return ""
    start, end = (datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%d %H:%M") for time in (first, last))
    return f", {start} to {end} UTC"
