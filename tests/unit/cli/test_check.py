from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from app.__main__ import main
from app.utils import logging
from tests.simulators import OllamaModel, OllamaSimulator, OpenAISimulator

if TYPE_CHECKING:
    from collections.abc import Iterator

SOUND = "deployments: {llama: {model: ollama_chat/llama3.1, clearance: confidential}}\nrules: [{use: llama}]\n"


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GATEWAY_CONFIG", "gateway.yaml")
    monkeypatch.delenv("GATEWAY_API_KEYS", raising=False)
    monkeypatch.delenv("CLOUD_KEY", raising=False)
    yield
    logging.configure("info", readable=False)


def configure(cloud: str = "http://127.0.0.1:9/v1", home: str = "http://127.0.0.1:9", model: str = "llama3.1", more: str = "") -> None:
    Path("gateway.yaml").write_text(
        f"""
deployments:
  cloud: {{model: openai/gpt-4o-mini, api_base: "{cloud}", api_key: "${{CLOUD_KEY}}"}}
  home: {{model: ollama_chat/{model}, api_base: "{home}", num_ctx: 4096, clearance: confidential}}
rules:
  - {{name: secret, when: {{label: confidential}}, use: home}}
  {more}
  - {{name: default, use: cloud}}
"""
    )


def run(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, str, str]:
    status = main(["check", *argv])
    out, err = capsys.readouterr()
    return status, out, err


def test_a_sound_configuration_is_zero(capsys: pytest.CaptureFixture[str]) -> None:
    Path("gateway.yaml").write_text(SOUND)

    status, out, err = run(capsys)

    assert (status, err) == (0, "")
    assert "ollama_chat/llama3.1" in out


def test_a_slip_in_the_dotenv_file_is_a_warning(capsys: pytest.CaptureFixture[str]) -> None:
    Path("gateway.yaml").write_text(SOUND)
    Path(".env").write_text("CACHE_TLL=5\n")

    told, (status, out, err) = json.loads(run(capsys, "--json")[1]), run(capsys)

    assert (status, err) == (0, "")
    assert told["warnings"][-1:] == [".env:1: CACHE_TLL is no setting; did you mean CACHE_TTL?"]
    assert told["warnings"][-1] in out


def test_a_configuration_that_cannot_be_served_is_two(capsys: pytest.CaptureFixture[str]) -> None:
    Path("gateway.yaml").write_text("deployments: {}\npols: {}\n")

    status, out, err = run(capsys)

    assert (status, out) == (2, "")
    assert 'unknown key "pols"' in err


def test_in_json_the_faults_are_on_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    Path("gateway.yaml").write_text("deployments: {a: {model: openai/a}}\npols: {}\nrules: [{use: a}]\n")

    status, out, err = run(capsys, "--json")
    [unknown, *_] = json.loads(out)["faults"]

    assert (status, err) == (2, "")
    assert (unknown["file"], unknown["line"]) == ("gateway.yaml", 2)
    assert 'unknown key "pols"' in unknown["sentence"]


def test_a_rule_that_nothing_can_answer_is_one(capsys: pytest.CaptureFixture[str]) -> None:
    configure(more="- {name: loud, when: {tag: x}, use: home, require: [audio]}")

    status, out, _ = run(capsys)

    assert status == 1
    assert "problems\n  gateway.yaml:7: loud requires audio" in out


def test_a_missing_variable_is_named_and_one_that_is_set_is_not_shown(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    configure()
    missing = run(capsys)[1]
    monkeypatch.setenv("CLOUD_KEY", "sk-canary")
    given = "".join([*run(capsys)[1:], *run(capsys, "--json")[1:]])

    assert "missing: CLOUD_KEY" in missing
    assert "CLOUD_KEY" in given
    assert "missing: CLOUD_KEY" not in given
    assert "canary" not in given


def test_a_doubt_is_a_warning(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_API_KEYS", "web:a-long-random-word")
    configure(more="- {name: mine, when: {key: research}, use: home}")

    status, out, _ = run(capsys, "--json")

    assert status == 0
    assert any("mine is for the key research" in warning for warning in json.loads(out)["warnings"])


@pytest.fixture
def servers() -> Iterator[tuple[OpenAISimulator, OllamaSimulator]]:
    with OpenAISimulator(api_key="right") as cloud, OllamaSimulator(models={"llama3.1": OllamaModel()}) as home:
        yield cloud, home


def test_a_probe_says_of_each_deployment_how_it_answers(
    servers: tuple[OpenAISimulator, OllamaSimulator], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud, home = servers
    configure(cloud.base_url, home.base_url)
    monkeypatch.setenv("CLOUD_KEY", "right")

    status, out, err = run(capsys, "--probe")

    assert (status, err) == (0, "")
    assert [line.split()[0::3] for line in out.partition("asked for its models\n")[2].splitlines()] == [["cloud", "ok"], ["home", "ok"]]
    assert {request.method for server in servers for request in server.requests} == {"GET"}


def test_a_probe_that_finds_something_wrong_is_one(
    servers: tuple[OpenAISimulator, OllamaSimulator], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud, home = servers
    configure(cloud.base_url, home.base_url, model="qwen3")
    monkeypatch.setenv("CLOUD_KEY", "wrong")

    status, out, err = run(capsys, "--probe", "--json")
    probes: dict[str, Any] = json.loads(out)["probes"]

    assert status == 1
    assert err == "cloud, home: not well.\n"
    assert (probes["cloud"]["outcome"], probes["cloud"]["status"]) == ("key_refused", 401)
    assert probes["home"]["said"].endswith("run `ollama pull qwen3`")


def test_a_probe_of_an_inactive_deployment_is_not_made(servers: tuple[OpenAISimulator, OllamaSimulator], capsys: pytest.CaptureFixture[str]) -> None:
    cloud, home = servers
    configure(cloud.base_url, home.base_url)

    assert run(capsys, "--probe")[0] == 0
    assert cloud.requests == []
