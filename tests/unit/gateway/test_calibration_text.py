from __future__ import annotations

import yaml

from app.gateway.calibration import Calibration
from app.gateway.calibration_text import skipped_text, to_json, to_text
from tests.unit.gateway.test_calibration import TODAY, tally

SPREAD = tuple(step / 400 for step in range(300))


def test_cuts_shares_and_the_histogram_are_told() -> None:
    text = to_text(Calibration(tally(*SPREAD), 0.3, TODAY))

    assert "300 scores of chat requests, 1970-01-01 00:16 to 1970-01-01 00:16 UTC" in text
    assert "0.00-0.05          20  ####" in text
    assert "0.75-0.80" not in text
    assert "today (0.07, 0.42)" in text
    assert "30.0%" in text


def test_the_end_can_be_pasted_into_the_file() -> None:
    text = to_text(Calibration(tally(*SPREAD), 0.3, TODAY))

    pasted = yaml.safe_load(text[text.index("# In gateway.yaml") :])

    assert pasted == {"complexity": {"medium": 0.07, "complex": 0.52375}}


def test_where_the_cut_follows_a_share_the_text_says_what_to_replace() -> None:
    assert "in place of `target_share: 0.25`" in to_text(Calibration(tally(*SPREAD), 0.3, TODAY, target=0.25, bounds=(0.15, 0.8)))


def test_notes_stand_before_what_is_pasted() -> None:
    text = to_text(Calibration(tally(0.2, 0.4), 0.5, TODAY))

    assert 0 < text.index("These are few") < text.index("complexity:")


def test_skipped_lines_are_told_with_their_reasons_the_most_frequent_first() -> None:
    scores = tally(*SPREAD)
    assert skipped_text(Calibration(scores, 0.3, TODAY)) == "no line skipped"

    for text in (b"x", b"{}", b"{}"):
        scores.read(text)

    assert skipped_text(Calibration(scores, 0.3, TODAY)) == "3 skipped lines: other events (2), no JSON (1)"


def test_a_log_without_times_has_no_span() -> None:
    scores = tally(*SPREAD)
    scores.first = scores.last = None

    assert to_text(Calibration(scores, 0.3, TODAY)).startswith("300 scores of chat requests\n")


def test_json_holds_the_same() -> None:
    found = to_json(Calibration(tally(*SPREAD), 0.3, TODAY))

    assert found["proposed"] == {"medium": 0.07, "complex": 0.52375, "shares": {"simple": 0.0933, "medium": 0.6067, "complex": 0.3}}
    assert found["today"]["shares"]["complex"] == 0.44
    assert sum(step["requests"] for step in found["histogram"]) == found["requests"] == 300
    assert found["routed_complex"] == 0.0
    assert to_json(Calibration(tally(), 0.3, TODAY))["routed_complex"] is None
