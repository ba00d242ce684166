"""Draw the results of the last run: benchmarks/results/*.png and *.svg. Run by `.venv-bench`, which has matplotlib.

.venv-bench/bin/python benchmarks/plots.py
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("agg")
import matplotlib.pyplot as plt

RESULTS = Path(__file__).resolve().parent / "results"
_OURS, _OTHERS = "#0b6e4f", "#9aa5b1"


def bars(report: dict[str, Any], legs: tuple[str, ...], *, name: str, title: str, unit: str, key: str) -> None:
    """Draw one figure of some legs, a row of bars each."""
    found = [(leg, {target: row[key] for target, row in report["legs"][leg].items() if key in row}) for leg in legs if leg in report["legs"]]
    found = [(leg, row) for leg, row in found if row]
    if not found:
        return
    height = 0.6 + sum(0.5 + 0.28 * len(row) for _, row in found)
    ratios = [len(row) for _, row in found]
    figure, axes = plt.subplots(len(found), 1, figsize=(8, height), squeeze=False, gridspec_kw={"height_ratios": ratios}, layout="constrained")
    for axis, (leg, row) in zip(axes[:, 0], found, strict=True):
        drawn = axis.barh(list(row), list(row.values()), color=[_OURS if target.startswith("sluice") else _OTHERS for target in row])
        axis.bar_label(drawn, labels=[f"{value:,.0f}" if value >= 10 else f"{value:.2f}" for value in row.values()], padding=3, fontsize=8)
        axis.set_title(leg, loc="left", fontsize=9)
        axis.invert_yaxis()
        axis.margins(x=0.12)
        axis.tick_params(labelsize=8)
        axis.spines[["top", "right"]].set_visible(False)
    axes[-1, 0].set_xlabel(unit, fontsize=9)
    machine = report["machine"]
    figure.suptitle(f"{title}\n{machine['cpu']}, Python {machine['python']}, commit {report['commit']}", fontsize=10)
    for kind in ("png", "svg"):
        figure.savefig(RESULTS / f"{name}.{kind}", dpi=130, metadata={"Date": None} if kind == "svg" else None)
    plt.close(figure)


def main() -> None:
    mpl.rcParams["svg.hashsalt"] = "sluice"  # the same figures give the same file
    report = json.loads((RESULTS / "latest.json").read_text())
    report["legs"]["idle"] = report.get("idle", {})
    wrk = ("json-1", "json-32", "json-256", "prompt-100k", "prompt-1m", "hit", "stream-1")
    streams = ("stream-5ms", "stream-100", "stream-500", "head-of-line")
    bars(report, wrk, name="cpu", title="CPU time of the serving process", unit="µs a request", key="cpu_us")
    bars(report, streams, name="cpu-streams", title="CPU time of the serving process", unit="µs a stream", key="cpu_us")
    bars(report, wrk, name="throughput", title="Requests answered on one core", unit="a second", key="per_s")
    bars(report, wrk, name="latency", title="Latency, 99th percentile", unit="ms", key="p99_ms")
    bars(report, ("idle", *wrk, *streams), name="memory", title="Memory of the serving process and its children", unit="MB", key="rss_mb")
    bars(report, ("stream-most",), name="streams", title="Streams at once, 64 chunks at 20 ms, of which none or few stall", unit="streams", key="at_once")
    bars(report, streams, name="first-token", title="From when a stream was due to its first byte, median", unit="ms", key="first_p50_ms")
    bars(report, streams, name="gaps", title="Longest pause inside a stream, 99th percentile of the streams", unit="ms", key="gap_p99_ms")
    print(f"drawn in {RESULTS}")


if __name__ == "__main__":
    main()
