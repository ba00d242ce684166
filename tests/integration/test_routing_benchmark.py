"""benchmarks/routing.py reads any folder of the form that it describes, and prints what others are measured by too."""

from __future__ import annotations

import gzip
import json
import sys
from typing import TYPE_CHECKING, Any

import pytest

from benchmarks import routing
from benchmarks.routing_curve import Row, curve, figures, needed, spent
from benchmarks.routing_others import Rated

if TYPE_CHECKING:
    from pathlib import Path

HARD = "Prove step by step that this distributed protocol tolerates two faults, and compare the trade-offs of its design."


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    with gzip.open(tmp_path / "small.csv.gz", "wt", encoding="utf-8") as file:
        file.write(f'prompt,weak,strong,group\n"Say hi.",1,1,a\n"{HARD}",0,1,a\n"What is Rust?",1,1,b\n')
    rows = [{"prompt": "Say hi.", "tier": "simple", "acceptable": ["simple"]}, {"prompt": HARD, "tier": "complex", "acceptable": ["moderate", "complex"]}]
    (tmp_path / "labelled_tiers.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


def printed(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *arguments: str, rules: Any = "not here") -> str:
    monkeypatch.setattr(sys, "argv", ["routing.py", *arguments])
    monkeypatch.setattr(routing, "litellm_rules", lambda: rules)
    routing.main()
    return capsys.readouterr().out


def test_its_json_has_the_figures_of_each_set_and_of_the_labelled_tiers(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = json.loads(printed(capsys, monkeypatch, "--data", str(folder), "--json", rules=lambda _: Rated(0.5, "complex")))

    assert found.keys() - {"others"} == {"sets", "mean_apgr", "labelled", "p50_us", "p99_us"}
    assert found["sets"] == {"small": {"apgr": 0.8333, "cpt50": 16.7, "cpt80": 26.7}}
    assert found["mean_apgr"] == 0.8333
    assert found["labelled"] == {"acceptable": 1.0, "complex_called_simple": 0.0, "simple_called_complex": 0.0}
    assert found["others"].keys() == {"length", "litellm"}
    assert found["others"]["litellm"]["labelled"] == {"acceptable": 0.5, "complex_called_simple": 0.0, "simple_called_complex": 1.0}
    assert found["others"]["litellm"]["mean_apgr"] == 0.5


def test_what_is_not_there_is_said(folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "labelled_tiers.jsonl").unlink()

    text = printed(capsys, monkeypatch, "--data", str(folder), rules="no complexity_router")

    assert "litellm         no complexity_router" in text
    assert "acceptable" not in text


def test_prices_are_those_of_the_registry(folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = ["--data", str(folder), "--json", "--prices", "openai/gpt-4o-mini,openai/gpt-4o", "--answer-tokens", "1000"]
    [row, mean] = json.loads(printed(capsys, monkeypatch, *arguments))["costs"]["usd_per_1000"].values()

    assert row == mean
    assert row["weak"] < row["routed50%"] < row["routed80%"] < row["strong"]
    assert row["strong"] / row["weak"] == pytest.approx(2.5 / 0.15, rel=0.01)
    assert row["chance50%"] == pytest.approx((row["weak"] + row["strong"]) / 2, abs=1e-3)


@pytest.mark.parametrize(
    ("arguments", "complaint"), [(["--prices", "gpt-4o"], "wants two models"), (["--prices", "openai/gpt-4o,openai/none"], "no price for one of")]
)
def test_prices_that_are_not_known_are_refused(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, arguments: list[str], complaint: str
) -> None:
    with pytest.raises(SystemExit):
        printed(capsys, monkeypatch, "--data", str(folder), *arguments)

    assert complaint in capsys.readouterr().err


def test_ties_are_sent_together_so_that_their_order_does_not_matter() -> None:
    rows = [Row("a", 0, 1), Row("b", 1, 1), Row("c", 1, 1), Row("d", 0, 1)]

    assert figures(curve(rows, [0.0] * 4)) == {"apgr": 0.5, "cpt50": 50.0, "cpt80": 80.0}
    assert figures(curve(rows, [1, 0, 0, 1])) == {"apgr": 0.75, "cpt50": 25.0, "cpt80": 40.0}


def test_what_is_spent_counts_what_each_prompt_takes() -> None:
    rows = [Row("a", 0, 1), Row("b", 0, 1)]

    assert needed(spent(rows, [2, 1], [3.0, 5.0]), 0.5) == 3.0
    assert needed(spent(rows, [2, 1], [3.0, 5.0]), 0.75) == 5.5
