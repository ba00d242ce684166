from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from app.config.faults import ConfigError
from app.config.gateway_file import load_gateway_file
from app.config.settings import Settings, load_settings

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from app.config.specs import GatewayFile


@pytest.fixture
def load(tmp_path: Path) -> Callable[..., GatewayFile]:
    """Load a file's text, with variables by name."""

    def load_text(text: str, **env: str) -> GatewayFile:
        path = tmp_path / "gateway.yaml"
        path.write_text(text)
        return load_gateway_file(path, env)

    return load_text


@pytest.fixture
def faults(load: Callable[..., GatewayFile]) -> Callable[..., list[str]]:
    """Return the faults of a file's text as `line: sentence`."""

    def faults_of(text: str, **env: str) -> list[str]:
        with pytest.raises(ConfigError) as caught:
            load(text, **env)
        return [f"{fault.line}: {fault.sentence}" for fault in caught.value.faults]

    return faults_of


@pytest.fixture
def bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Unset every setting, and work in an empty folder."""
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def bare_settings(bare_environment: Path) -> Settings:
    """Return the settings as they are where nothing is set."""
    assert bare_environment
    return load_settings(dotenv=bare_environment / "none.env")
