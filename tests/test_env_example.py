from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from app.config.settings import Settings

if TYPE_CHECKING:
    import pytest

EXAMPLE = Path(__file__).parents[1] / ".env.example"


def test_the_example_lists_every_setting_and_nothing_else() -> None:
    listed = [line.partition("=")[0].lower() for line in EXAMPLE.read_text().splitlines() if line and not line.startswith("#")]

    assert sorted(listed) == sorted(Settings.model_fields)


def test_the_example_holds_the_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    without: dict[str, Path | None] = {"_env_file": None}
    example: dict[str, Path | None] = {"_env_file": EXAMPLE}

    assert Settings(**example) == Settings(**without)  # type: ignore[arg-type] # a keyword of pydantic-settings' own


def test_every_setting_has_a_line_that_says_what_it_is_for() -> None:
    lines = EXAMPLE.read_text().splitlines()

    for place, line in enumerate(lines):
        if line and not line.startswith("#"):
            assert lines[place - 1].startswith("# "), line


def test_a_setting_without_a_default_says_what_holds_then() -> None:
    lines = EXAMPLE.read_text().splitlines()

    for place, line in enumerate(lines):
        if line.endswith("=") and not line.startswith("#"):
            assert lines[place - 1].endswith("]"), line
