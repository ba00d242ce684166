from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from app.config.settings import environment, load_settings
from app.config.slips import slips
from app.providers.build import _AWS, _KEYS
from app.providers.catalog import load_catalog

if TYPE_CHECKING:
    from pathlib import Path

REMEDY = "`openssl rand -hex 32` prints one"


@pytest.fixture
def told(bare_environment: Path) -> Path:
    (bare_environment / "gateway.yaml").write_text('a: "${HOME_KEY}"\n')
    return bare_environment


def _slips(folder: Path, text: str) -> list[str]:
    (folder / ".env").write_text(text)
    return slips(load_settings(gateway_config=folder / "gateway.yaml"))


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("RATE_LIMIT_PER_MIN", "RATE_LIMIT_PER_MINUTE"),
        ("PROT", "PORT"),
        ("GATEWAY_API_KEY", "GATEWAY_API_KEYS"),
        ("OPENAI_API_KEYS", "OPENAI_API_KEY"),
        ("OPENAI_KEY", "OPENAI_API_KEY"),
        ("HOME_KEYS", "HOME_KEY"),
    ],
)
def test_a_name_that_nothing_reads_is_told_with_the_nearest(told: Path, name: str, near: str) -> None:
    assert _slips(told, f"CACHE_TTL=5\n{name}=5\n") == [f".env:2: {name} is no setting; did you mean {near}?"]


def test_a_name_that_is_near_to_nothing_is_told_too(told: Path) -> None:
    assert _slips(told, "WEATHER=fine\n") == [".env:1: WEATHER is no setting, and gateway.yaml does not name it"]


def test_what_is_read_by_the_gateway_its_file_or_others_is_no_slip(told: Path) -> None:
    providers = {name for endpoint in load_catalog().endpoints.values() for name in endpoint.keys}
    others = ["HOME_KEY", "port", "PROMETHEUS_KEY", "GRAFANA_PASSWORD", "HTTPS_PROXY", "no_proxy", "TZ", "SSL_CERT_FILE", "COMPOSE_PROFILES", "OLLAMA_HOST"]
    names = [*others, *providers, *(name for names in (*_KEYS.values(), *_AWS.values()) for name in names)]

    assert _slips(told, "".join(f"{name}=9000\n" for name in names)) == []


def test_the_environment_of_the_process_is_not_looked_at(told: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROT", "9000")

    assert slips(load_settings(gateway_config=told / "gateway.yaml")) == []


def test_a_line_that_is_none_is_told_once_with_its_place(told: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sentence = "this is not NAME=value, and not read; a value with spaces or quotes in it stands in quotes"

    said = _slips(told, "# a comment\n\n\nsword fish\nPORT=9001\nswordfish\nCACHE_TTL='5\n")
    environment()

    assert said == [f".env:{line}: {sentence}" for line in (4, 6, 7)]
    assert "".join(capsys.readouterr()) == ""


def test_a_part_of_a_secret_is_not_repeated_as_a_name(told: Path) -> None:
    assert _slips(told, "c3dvcmRmaXNo==\n") == [".env:1: this is no setting, and gateway.yaml does not name it"]


def test_keys_that_can_be_guessed_are_counted_and_not_shown(told: Path) -> None:
    said = _slips(told, f"GATEWAY_API_KEYS=a:swordfish,b:{'x' * 16}\n")

    assert said == [f"GATEWAY_API_KEYS: 1 of 2 can be guessed, under 16 characters; {REMEDY}"]
