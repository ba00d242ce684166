"""gateway.yaml, read and checked whole: what a start and a reload begin with."""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from app.assessing import check_scan
from app.config.faults import ConfigError
from app.config.settings import environment, load_settings
from app.providers.catalog import load_catalog
from app.providers.deployments import load_configuration

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from app.config.assembled import Assembled
    from app.config.settings import Settings
    from app.config.specs import GatewayFile


@dataclass(frozen=True, slots=True)
class Loaded:
    """One sound configuration.

    `version` is the first 12 digits of the SHA-256 of gateway.yaml's bytes, `loaded_at` Unix time, `settings` what `.env` says by then where it was read too.

    A supervisor reads it once and hands it to its workers, so that all of them serve the same, whatever becomes of the file.
    """

    file: GatewayFile
    assembled: Assembled
    version: str
    loaded_at: float
    settings: Settings | None = field(default=None, repr=False)


def load(path: Path, env: Mapping[str, str]) -> Loaded:
    """Read the file at `path`, with `env` for its `${NAME}`. Raises ConfigError with everything that is wrong."""
    version = _version(path)
    file, assembled = load_configuration(path, env, load_catalog())
    check_scan(file)
    if _version(path) != version:
        raise ConfigError(f"{path.as_posix()} was changed while it was read; try again")
    return Loaded(file, assembled, version, time.time())


def load_anew(settings: Settings) -> Loaded:
    """Read the file once more, `.env` and the provider keys in it too. Raises ConfigError."""
    now = load_settings()
    return replace(load(settings.gateway_config, {**settings.variables(), **environment(), **now.variables()}), settings=now)


def _version(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()[:12]
    except OSError:
        return ""  # reading it in earnest says what is wrong
