"""What commands print: nothing of a request, of a log's lines, of a key, or of what a provider says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from app.__main__ import main
from app.utils import logging
from tests.leakage.canaries import CANARIES, seen
from tests.leakage.positions import POSITIONS
from tests.simulators import OpenAISimulator
from tests.unit.gateway.test_calibration import line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

EVERY = " ; ".join(canary.text for canary in CANARIES.values())
KEY = CANARIES["api_key"].value


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GATEWAY_CONFIG", "gateway.yaml")
    configure("http://127.0.0.1:9/v1")
    yield
    logging.configure("info", readable=False)


def configure(base: str) -> None:
    home = f'{{model: openai/gpt-4o-mini, api_base: "{base}", api_key: "${{HOME_KEY}}", clearance: confidential}}'
    Path("gateway.yaml").write_text(f"deployments: {{home: {home}}}\nrules: [{{name: r, when: {{min_score: 0.5}}, use: home}}, {{use: home}}]\n")


@pytest.fixture
def printed(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    def run(*argv: str) -> str:
        main(argv)
        return "".join(capsys.readouterr())

    return run


def assert_clean(text: str) -> None:
    assert text
    assert [canary.kind for canary in CANARIES.values() if seen(canary, text.encode())] == []


@pytest.mark.parametrize("position", ["newest user turn", "tool call arguments", "message name", "unknown part"])
def test_explain_prints_where_things_are_and_never_what_they_are(position: str, printed: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME_KEY", KEY)
    Path("body.json").write_text(json.dumps(POSITIONS[position](EVERY)))

    told = printed("explain", "body.json") + printed("explain", "body.json", "--json")

    assert "confidential" in told
    assert_clean(told)


@pytest.mark.parametrize(
    "text",
    [EVERY, json.dumps([EVERY]), json.dumps({EVERY: 1}), json.dumps({"model": "auto", "messages": EVERY}), json.dumps({"model": EVERY, "messages": [{}]})],
)
def test_what_explain_cannot_read_is_not_repeated(text: str, printed: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME_KEY", KEY)
    Path("body.json").write_text(text)

    assert_clean(printed("explain", "body.json"))


def test_calibrate_prints_nothing_of_a_line_but_its_numbers(printed: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME_KEY", KEY)
    odd: list[Any] = [line(EVERY), line(0.5, complexity=EVERY, time=EVERY, tenant=EVERY), json.dumps({"event": EVERY}).encode(), EVERY.encode()]
    Path("a.log").write_bytes(b"\n".join(odd))

    assert_clean(printed("calibrate", "a.log") + printed("calibrate", "a.log", "--json"))


@pytest.mark.parametrize("fault", ["ok", "status-401", "status-400", "status-500", "detail-422", "redirect-302"])
def test_a_probe_prints_nothing_of_a_key_or_of_what_a_provider_says(fault: str, printed: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME_KEY", KEY)
    with OpenAISimulator(tag=EVERY.replace("\n", " ")) as simulator:  # it stands in headers too
        simulator.fault = fault
        simulator.models = (EVERY,)
        simulator.redirect_to = f"http://{CANARIES['email'].value}/"
        configure(simulator.base_url)
        told = printed("check", "--probe") + printed("check", "--probe", "--json")

        assert simulator.requests[0].header("authorization") == f"Bearer {KEY}"
    assert "no HTTP" not in told
    assert_clean(told)
