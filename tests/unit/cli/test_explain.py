from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from app import assessing
from app.__main__ import main
from app.policy.vocabulary import Vocabularies

CONFIG = """
deployments:
  mini: {model: openai/gpt-4o-mini, api_base: "http://127.0.0.1:1/v1", clearance: confidential}
rules:
  - {name: long, when: {min_tokens: 150}, use: mini}
  - {name: default, use: mini}
"""


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GATEWAY_CONFIG", "gateway.yaml")
    monkeypatch.setattr(assessing, "_VOCABULARIES", Vocabularies())  # as in a process of its own: nothing is loaded
    Path("gateway.yaml").write_text(CONFIG)


def ask(content: str) -> None:
    Path("body.json").write_text(json.dumps({"model": "auto", "messages": [{"role": "user", "content": content}]}))


def test_tokens_are_counted_where_the_gateway_counts_them(capsys: pytest.CaptureFixture[str]) -> None:
    ask("hello " * 199 + "hello")  # one token each, by o200k_base; an estimate says 375

    assert main(["explain", "body.json", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)

    assert found["prompt_tokens"] == 200 + 7
    assert found["not_read"] == ["complexity"]
    assert found["plan"]["rule"] == "long"


def test_tokens_that_no_rule_reads_are_estimated_and_said_to_be_unread(capsys: pytest.CaptureFixture[str]) -> None:
    ask("hello")

    assert main(["explain", "body.json", "--json"]) == 0

    assert json.loads(capsys.readouterr().out)["not_read"] == ["complexity", "prompt_tokens"]


@pytest.fixture
def second_opinion() -> None:
    Path("gateway.yaml").write_text(CONFIG + 'scan: {second_opinion: {url: "http://127.0.0.1:1/analyze", labels: [public]}}\n')


@pytest.mark.usefixtures("second_opinion")
@pytest.mark.parametrize(("content", "said"), [("hello", True), ("Write to henrietta.quackenbush@corvid-logistics.net.", False)])
def test_a_second_opinion_is_asked_of_nobody_and_said_to_be(capsys: pytest.CaptureFixture[str], content: str, *, said: bool) -> None:
    ask(content)

    assert main(["explain", "body.json"]) == 0

    assert ("second opinion  not asked here" in capsys.readouterr().out) == said


@pytest.mark.parametrize(("setting", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False)])
def test_colours_are_for_terminals_that_want_them(
    setting: dict[str, str], coloured: bool, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ask("hello")
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    for name, value in setting.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)

    main(["explain", "body.json"])

    assert ("\x1b[" in capsys.readouterr().out) is coloured


def test_a_request_can_come_by_standard_input(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    ask("hello")
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(Path("body.json").read_bytes())))

    assert main(["explain", "-"]) == 0
    assert "1. mini" in capsys.readouterr().out


def test_a_file_that_cannot_be_read_is_said_with_what_to_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "missing.json"]) == 2
    assert "missing.json cannot be read (No such file or directory): name a file" in capsys.readouterr().err


def test_what_the_gateway_would_refuse_to_read_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    Path("body.json").write_text("{")

    assert main(["explain", "body.json"]) == 2
    assert "could not parse" in capsys.readouterr().err
