"""How well and how fast the assessor finds what is sensitive, on a folder of labelled texts.

    python benchmarks/detection.py --data FOLDER [--json]

Reads every `*.jsonl` of FOLDER: one object a line with `text` and `label` (1: holds something sensitive). Rows marked `weak` count neither way.
The table ends with the speed of collect and scan on 1 MiB of each file's clean texts, in MB/s: the best of twenty. All times are the processor's, so that
waiting for what else runs on the machine does not count.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # run from a checkout, which is not installed

from app.domain import Tier
from app.policy.collect import collect
from app.policy.sensitivity.scanner import Scanner

MEBIBYTE = 1 << 20
COLUMNS = ("rows", "recall_hard", "recall_all", "flagged_hard", "flagged_all", "p50_us", "p99_us")


def measure(scanner: Scanner, file: Path) -> dict[str, float | None]:
    """Return a file's figures: percentages of sensitive rows found and of clean rows flagged, and the time of collect and scan."""
    found: dict[int, list[frozenset[Tier]]] = {0: [], 1: []}
    took: list[float] = []
    for line in file.open(encoding="utf-8"):
        row = json.loads(line)
        if row.get("weak") or row.get("hand_checked"):
            continue
        body = {"model": "auto", "messages": [{"role": "user", "content": row["text"]}]}
        start = time.thread_time()
        collected = collect(body)
        findings = scanner.scan(collected.scalars, collected.joins)
        took.append((time.thread_time() - start) * 1e6)
        found[row["label"]].append(frozenset(finding.tier for finding in findings))
    return {
        "rows": len(took),
        "recall_hard": _share(Tier.HARD in tiers for tiers in found[1]),
        "recall_all": _share(bool(tiers) for tiers in found[1]),
        "flagged_hard": _share(Tier.HARD in tiers for tiers in found[0]),
        "flagged_all": _share(bool(tiers) for tiers in found[0]),
        "p50_us": round(statistics.median(took), 1) if took else None,
        "p99_us": round(statistics.quantiles(took, n=100)[98], 1) if len(took) > 1 else None,
    }


def megabytes_per_second(scanner: Scanner, file: Path) -> float | None:
    """Return the speed on 1 MiB of a file's clean texts, repeated where they are fewer; None where it has none."""
    rows = map(json.loads, file.open(encoding="utf-8"))
    text = "\n".join(row["text"] for row in rows if row["label"] == 0)
    if not text:
        return None
    text = (text * (MEBIBYTE // len(text) + 1))[:MEBIBYTE]
    took = []
    for _ in range(20):
        start = time.thread_time()
        collected = collect({"messages": [{"role": "user", "content": text}]})
        scanner.scan(collected.scalars, collected.joins)
        took.append(time.thread_time() - start)
    return round(len(text) / min(took) / 1e6, 1)


def _share(rows: Any) -> float | None:
    counted = list(rows)
    return round(100 * sum(counted) / len(counted), 2) if counted else None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of .jsonl files")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    scanner = Scanner()
    if scanner.health is not None:
        raise SystemExit(scanner.health)
    scanner.scan(collect({"messages": [{"role": "user", "content": "warm up"}]}).scalars)
    figures = {file.stem: measure(scanner, file) for file in sorted(options.data.glob("*.jsonl"))}
    if options.json:
        print(json.dumps(figures))
        return
    print(f"{'file':32}" + "".join(f"{column:>14}" for column in COLUMNS))
    for name, row in figures.items():
        print(f"{name:32}" + "".join(f"{'-' if row[column] is None else row[column]:>14}" for column in COLUMNS))
    for file in sorted(options.data.glob("*.jsonl")):
        print(f"{file.stem:32}{megabytes_per_second(scanner, file) or '-':>14} MB/s")


if __name__ == "__main__":
    main()
