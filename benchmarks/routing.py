"""How well the complexity score tells which prompts need the strong model, on a folder of labelled prompts.

    python benchmarks/routing.py --data FOLDER [--json]

Reads every `*.csv.gz` of FOLDER (`prompt`, `weak`, `strong`: the scores of a weak and of a strong model on the prompt) and, where it is there,
`labelled_tiers.jsonl` (`prompt`, `tier`, `acceptable`; `moderate` is our `medium`). Beside the score it prints what the prompt's length alone would give.

APGR and CPT are those of RouteLLM (https://arxiv.org/abs/2406.18665): the share of the gap between the two models that is recovered, on average over all
shares of prompts that go to the strong one (chance is 0.5), and the percentage of prompts that must go there to recover 50 or 80 % of it.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import statistics
import sys
import time
from itertools import groupby, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # run from a checkout, which is not installed

from app.policy.complexity import score

if TYPE_CHECKING:
    from collections.abc import Callable

csv.field_size_limit(1 << 30)
Curve = list[tuple[float, float]]  # share of prompts sent to the strong model, share of the gap recovered


class Row(NamedTuple):
    prompt: str
    weak: float
    strong: float


def read(file: Path) -> list[Row]:
    with gzip.open(file, "rt", newline="", encoding="utf-8") as lines:
        return [Row(row["prompt"], float(row["weak"]), float(row["strong"])) for row in csv.DictReader(lines)]


def curve(rows: list[Row], scores: list[float]) -> Curve:
    """Return one point for each distinct score, the highest first: ties are sent together, so the order of the file does not matter."""
    gap = sum(row.strong - row.weak for row in rows)
    points: Curve = [(0.0, 0.0)]
    sent, gained = 0, 0.0
    for _, tied in groupby(sorted(range(len(rows)), key=lambda index: -scores[index]), key=lambda index: scores[index]):
        group = list(tied)
        sent += len(group)
        gained += sum(rows[index].strong - rows[index].weak for index in group)
        points.append((sent / len(rows), gained / gap))
    return points


def figures(points: Curve) -> dict[str, float]:
    area = sum((before[1] + after[1]) / 2 * (after[0] - before[0]) for before, after in pairwise(points))
    return {"apgr": round(area, 4), "cpt50": _needed(points, 0.5), "cpt80": _needed(points, 0.8)}


def _needed(points: Curve, wanted: float) -> float:
    """Return the percentage of prompts that must go to the strong model to recover a share of the gap."""
    for before, after in pairwise(points):
        if after[1] >= wanted:
            return round(100 * (before[0] + (wanted - before[1]) / (after[1] - before[1]) * (after[0] - before[0])), 1)
    return 100.0


def compare(rows: list[Row], rate: Callable[[str], float]) -> dict[str, float]:
    return figures(curve(rows, [rate(row.prompt) for row in rows]))


def rate_timed(took: list[float]) -> Callable[[str], float]:
    def rate(prompt: str) -> float:
        start = time.perf_counter()
        found = score((prompt,)).score
        took.append((time.perf_counter() - start) * 1e6)
        return found

    return rate


def labelled(file: Path) -> dict[str, float]:
    """Return shares of prompts: acceptable tiers of all, and the two grave mistakes among those they can happen to."""
    seen: list[tuple[str, str, bool]] = []
    for line in file.open(encoding="utf-8"):
        row = json.loads(line)
        given = str(score((row["prompt"],)).tier).replace("medium", "moderate")
        seen.append((row["tier"], given, given in row["acceptable"]))
    return {
        "acceptable": round(statistics.mean(fine for _, _, fine in seen), 4),
        "complex_called_simple": _mistaken(seen, "complex", "simple"),
        "simple_called_complex": _mistaken(seen, "simple", "complex"),
    }


def _mistaken(seen: list[tuple[str, str, bool]], expected: str, given: str) -> float:
    of = [tier == given for wanted, tier, _ in seen if wanted == expected]
    return round(sum(of) / len(of), 4) if of else 0.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of .csv.gz files")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    took: list[float] = []
    sets = {file.name.removesuffix(".csv.gz"): read(file) for file in sorted(options.data.glob("*.csv.gz"))}
    ours = {name: compare(rows, rate_timed(took)) for name, rows in sets.items()}
    length = {name: compare(rows, lambda prompt: float(len(prompt))) for name, rows in sets.items()}
    tiers = options.data / "labelled_tiers.jsonl"
    mistakes = labelled(tiers) if tiers.exists() else {}
    result = {
        "sets": ours,
        "mean_apgr": round(statistics.mean(row["apgr"] for row in ours.values()), 4),
        "labelled": mistakes,
        "p50_us": round(statistics.median(took), 1),
        "p99_us": round(statistics.quantiles(took, n=100)[98], 1),
    }
    if options.json:
        print(json.dumps(result))
        return
    print(f"{'set':16}{'apgr':>8}{'cpt50':>8}{'cpt80':>8}{'length':>10}")
    for name, row in ours.items():
        print(f"{name:16}{row['apgr']:>8}{row['cpt50']:>8}{row['cpt80']:>8}{length[name]['apgr']:>10}")
    print(f"{'mean':16}{result['mean_apgr']:>8}{'':16}{round(statistics.mean(row['apgr'] for row in length.values()), 4):>10}")
    print(*(f"{name} {value}" for name, value in [*mistakes.items(), ("p50_us", result["p50_us"]), ("p99_us", result["p99_us"])]), sep="  ")


if __name__ == "__main__":
    main()
