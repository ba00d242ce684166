from __future__ import annotations

import pytest

from app.cli.arguments import parse


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        ([], "to begin:"),
        (["chek"], "no command `chek`; did you mean `check`?"),
        (["zzz"], "there are serve, check, explain, calibrate."),
        (["explain"], "required: FILE\nTry `python -m app explain --help`."),
        (["check", "--prob", "x"], "unrecognized arguments: x"),
        (["calibrate", "log", "--share", "2"], "write a share between 0 and 1, such as 0.3 or 30%"),
        (["calibrate", "log", "--share", "some"], "write a share between 0 and 1"),
    ],
)
def test_what_is_no_command_is_answered_with_what_to_write(argv: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        parse(argv)

    assert exit_.value.code == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("command", ["serve", "check", "explain", "calibrate"])
def test_every_command_has_help_that_fits_a_terminal(command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    with pytest.raises(SystemExit) as exit_:
        parse([command, "--help"])
    help_ = capsys.readouterr().out

    assert exit_.value.code == 0
    assert f"usage: python -m app {command}" in help_
    assert max(map(len, help_.splitlines())) <= 100


def test_the_words_of_the_process_are_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["app", "serve"])

    assert parse().command == "serve"


@pytest.mark.parametrize("text", ["0.3", "30%"])
def test_a_share_is_a_number_or_a_percentage(text: str) -> None:
    assert parse(["calibrate", "a.log", "b.log", "--share", text]).share == pytest.approx(0.3)


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse(["--version"])

    assert capsys.readouterr().out.startswith("Sluice ")
