from __future__ import annotations

import io

import pytest

from app.cli.terminal import Progress, say, say_what_is_waited_for, wants_colour


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)


def test_a_terminal_gets_colour_and_a_file_none() -> None:
    assert wants_colour(Terminal())
    assert not wants_colour(io.StringIO())


@pytest.mark.parametrize(("name", "value"), [("NO_COLOR", "1"), ("TERM", "dumb")])
def test_a_terminal_gets_no_colour_where_none_is_wanted(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)

    assert not wants_colour(Terminal())


def test_an_empty_no_color_means_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "")

    assert wants_colour(Terminal())


def test_progress_is_told_on_one_line_a_few_times_a_second_and_taken_away() -> None:
    now = [0.0]
    stream = Terminal()
    progress = Progress(stream, clock=lambda: now[0])

    progress.tell("1 line")
    now[0] = 1.0
    progress.tell("2 lines")
    progress.tell("3 lines")
    progress.end()

    assert stream.getvalue() == "\r2 lines\x1b[K\r\x1b[K"


def test_progress_says_nothing_where_there_is_no_terminal_or_nothing_was_told() -> None:
    stream, terminal = io.StringIO(), Terminal()
    silent = Progress(stream, clock=iter([0.0, 9.0, 9.0]).__next__)

    silent.tell("1 line")
    silent.end()
    Progress(terminal).end()

    assert stream.getvalue() + terminal.getvalue() == ""


def test_sentences_go_to_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    say("Hello.")

    assert capsys.readouterr() == ("", "Hello.\n")


@pytest.mark.parametrize(("stdin", "said"), [(Terminal(), "Reading a log from the terminal; end it with Ctrl-D on a line of its own.\n"), (io.StringIO(), "")])
def test_what_is_waited_for_is_said_to_who_sits_at_a_keyboard(
    stdin: io.StringIO, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", stdin)

    say_what_is_waited_for("a log")

    assert capsys.readouterr().err == said
