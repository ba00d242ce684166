"""A covering array: few rows in which every pair of values of every two factors stands together at least once. The same rows in every run."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    Choice = tuple[str, str]  # a factor, and one of its values


def pairwise(factors: Mapping[str, Sequence[str]]) -> list[dict[str, str]]:
    """Return the rows, greedily: each begins with a pair that no row has yet, and takes for every other factor what makes the most new pairs."""
    pairs = ((one, value, other, second) for one, other in combinations(factors, 2) for value in factors[one] for second in factors[other])
    missing = {frozenset({(one, value), (other, second)}): None for one, value, other, second in pairs}  # a dictionary keeps its order, a set does not
    rows: list[dict[str, str]] = []
    while missing:
        row = dict(sorted(next(iter(missing))))
        for factor in factors:
            if factor not in row:
                row[factor] = _best(factor, factors[factor], row, missing, turn=len(rows))
        for pair in combinations(row.items(), 2):
            missing.pop(frozenset(pair), None)
        rows.append(row)
    return rows


def _best(factor: str, values: Sequence[str], row: Mapping[str, str], missing: Mapping[frozenset[Choice], None], *, turn: int) -> str:
    """Return the value that makes the most new pairs with what the row has; of equals, each in its turn."""
    gains = {value: sum(frozenset({(factor, value), known}) in missing for known in row.items()) for value in values}
    return max((values[(turn + step) % len(values)] for step in range(len(values))), key=gains.__getitem__)
