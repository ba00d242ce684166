from __future__ import annotations

from pathlib import Path

import pytest

from app.__main__ import main


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GATEWAY_CONFIG", "gateway.yaml")


def test_a_sound_configuration_is_zero(capsys: pytest.CaptureFixture[str]) -> None:
    Path("gateway.yaml").write_text("deployments: {llama: {model: ollama_chat/llama3.1, clearance: confidential}}\nrules: [{use: llama}]\n")

    assert main(["check"]) == 0
    assert "ollama_chat/llama3.1" in capsys.readouterr().out


def test_a_configuration_that_cannot_be_served_is_two(capsys: pytest.CaptureFixture[str]) -> None:
    Path("gateway.yaml").write_text("deployments: {}\npols: {}\n")

    assert main(["check"]) == 2
    assert 'unknown key "pols"' in capsys.readouterr().err
