"""Run tests/leakage whole and print what was tried and seen, as a table for somebody who reviews privacy. Exits non-zero on any failure."""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterable

ROOT = Path(__file__).parents[1]


@dataclass
class Row:
    """One check: how often it was tried, how many bytes were seen where none may be (for a control: of what must be seen), and in how many tests it failed."""

    combinations: int = 0
    bytes_seen: int = 0
    failed: int = 0


@dataclass
class Table:
    """A pytest plugin that adds up what the tests noted."""

    rows: dict[tuple[str, str], Row] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)
    known: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    passed: int = 0

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take one test's notes, when it was called; failures of its set-up too."""
        test = report.nodeid.rpartition("/")[2]
        if report.failed:
            self.failed.append(test)
        elif report.skipped:
            reason = report.wasxfail if hasattr(report, "wasxfail") else report.longrepr[2] if isinstance(report.longrepr, tuple) else ""
            (self.known if hasattr(report, "wasxfail") else self.skipped).append(f"{test}: {reason}")
        elif report.when == "call":
            self.passed += 1
        if report.when == "call":
            notes = [noted for name, noted in report.user_properties if name == "evidence"]
            for check, tried, combinations, bytes_seen in cast("list[tuple[str, str, int, int]]", notes):
                row = self.rows.setdefault((check, tried), Row())
                row.combinations += combinations
                row.bytes_seen += bytes_seen
                row.failed += report.failed

    def lines(self) -> Iterable[str]:
        """Yield the table, then what is known not to hold, was skipped, or failed."""
        yield f"{'check':20} {'combinations':>12} {'bytes seen':>10}  {'result':8} what was tried"
        for (check, tried), row in sorted(self.rows.items(), key=lambda item: (item[0][0] == "control", item[0])):
            expected = "(meant)" if check == "control" and row.bytes_seen else str(row.bytes_seen)
            yield f"{check:20} {row.combinations:12,} {expected:>10}  {'FAILED' if row.failed else 'holds':8} {tried}"
        known = Counter(reason for _, _, reason in (entry.partition(": ") for entry in self.known))
        reasons = [f"{reason} ({count} tests)" for reason, count in known.items()]
        for title, names in (("Known not to hold (docs/privacy.md):", reasons), ("Skipped:", self.skipped), ("Failed:", self.failed)):
            if names:
                yield f"\n{title}"
                yield from (f"  {name}" for name in names)


def main() -> int:
    """Return 0 where everything held."""
    os.environ["PROVE"] = "1"
    os.chdir(ROOT)
    table = Table()
    begun = time.monotonic()
    status = 1
    try:
        status = int(pytest.main(["tests/leakage", "-q", "--no-header", "--tb=short", "--show-capture=no", "-r", "N", *sys.argv[1:]], plugins=[table]))
    finally:  # pytest raises what it finds when it leaves; the table is wanted all the same
        print("\n" + "\n".join(table.lines()))
        tried = sum(row.combinations for row in table.rows.values())
        verdict = "Everything held" if status == 0 and not table.failed else "NOT EVERYTHING HELD"
        print(f"\n{verdict}: {tried:,} requests and checks in {table.passed} tests, {time.monotonic() - begun:.0f} s.")
    return status or int(bool(table.failed))


if __name__ == "__main__":
    sys.exit(main())
