"""RouteLLM's measures (https://arxiv.org/abs/2406.18665): what of the gap between a weak and a strong model a score recovers, and what that costs.

APGR is the share of the gap that is recovered, on average over all shares of prompts that go to the strong model (chance is 0.5); CPT50 and CPT80 are the
percentage of prompts that must go there to recover 50 or 80 % of it.
"""

from __future__ import annotations

import csv
import gzip
from itertools import groupby, pairwise
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

csv.field_size_limit(1 << 30)
Curve = list[tuple[float, float]]  # what was spent, which share of the gap it recovered


class Row(NamedTuple):
    """A prompt, and how well a weak and a strong model did on it."""

    prompt: str
    weak: float
    strong: float


def read(file: Path) -> list[Row]:
    with gzip.open(file, "rt", newline="", encoding="utf-8") as lines:
        return [Row(row["prompt"], float(row["weak"]), float(row["strong"])) for row in csv.DictReader(lines)]


def curve(rows: list[Row], scores: Sequence[float]) -> Curve:
    """Return what is recovered by the share of prompts that goes to the strong model."""
    return spent(rows, scores, [1 / len(rows)] * len(rows))


def spent(rows: list[Row], scores: Sequence[float], more: Sequence[float]) -> Curve:
    """Return what is recovered by what is spent, where `more` is what each prompt takes more at the strong model."""
    gap = sum(row.strong - row.weak for row in rows)
    points: Curve = [(0.0, 0.0)]
    total = gained = 0.0
    for group in _by_score(scores):
        total += sum(more[index] for index in group)
        gained += sum(rows[index].strong - rows[index].weak for index in group)
        points.append((total, gained / gap))
    return points


def _by_score(scores: Sequence[float]) -> Iterator[list[int]]:
    """Yield the prompts of each distinct score, the highest first: ties are sent together, so that the order of the file does not matter."""
    for _, tied in groupby(sorted(range(len(scores)), key=lambda index: -scores[index]), key=lambda index: scores[index]):
        yield list(tied)


def needed(points: Curve, wanted: float) -> float:
    """Return what must be spent to recover a share of the gap."""
    for before, after in pairwise(points):
        if after[1] >= wanted:
            return before[0] + (wanted - before[1]) / (after[1] - before[1]) * (after[0] - before[0])
    return points[-1][0]


def figures(points: Curve) -> dict[str, float]:
    area = sum((before[1] + after[1]) / 2 * (after[0] - before[0]) for before, after in pairwise(points))
    return {"apgr": round(area, 4), "cpt50": round(100 * needed(points, 0.5), 1), "cpt80": round(100 * needed(points, 0.8), 1)}
