"""Settings from the environment and `.env`: the one place that reads them."""

from __future__ import annotations

import hmac
import logging
import os
from functools import cached_property
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from dotenv import dotenv_values
from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from app.config.api_keys import ApiKey, parse_api_keys
from app.config.faults import ConfigError, Fault

if TYPE_CHECKING:
    from collections.abc import Mapping

_DOTENV = Path(".env")
logging.getLogger("dotenv.main").disabled = True  # it tells of a line that it cannot read at every reading, without the file; slips.py does
_ADMIN_KEY_CHARACTERS = 16
_SECRET_CHARACTERS = 16
_VARIABLES = ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "OLLAMA_BASE_URL")


def _split(value: Any) -> Any:
    return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


def _origin(value: str) -> str:
    origin = value.rstrip("/")
    scheme, _, host = origin.partition("://")
    if origin != "*" and (scheme not in ("http", "https") or not host or "/" in host):
        raise ValueError("must list origins such as https://app.example.com, or be *")
    return origin


def _network(value: Any) -> Any:
    try:
        return ip_network(value, strict=False)
    except ValueError:
        raise ValueError("must list networks such as 10.0.0.0/8 or addresses such as 192.168.1.5") from None


def _scheme(*schemes: str) -> AfterValidator:
    def check(value: str) -> str:
        if value.partition("://")[0].lower() not in schemes or not value.partition("://")[2]:
            raise ValueError(f"must start with {' or '.join(f'{scheme}://' for scheme in schemes)}")
        return value

    return AfterValidator(check)


def _lower(value: Any) -> Any:
    return value.lower() if isinstance(value, str) else value


_Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
_Network = Annotated[IPv4Network | IPv6Network, BeforeValidator(_network)]


class Settings(BaseSettings):
    """Every setting of the process; `.env.example` says what each is for. An empty variable counts as unset."""

    model_config = SettingsConfigDict(env_ignore_empty=True, env_file_encoding="utf-8-sig", extra="ignore", frozen=True, hide_input_in_errors=True)

    openai_api_key: SecretStr | None = None
    anthropic_api_key: SecretStr | None = None
    ollama_base_url: str | None = None

    gateway_config: Path = Path("config/gateway.yaml")
    gateway_api_keys: SecretStr | None = None
    gateway_secret: SecretStr | None = None
    admin_api_key: SecretStr | None = None
    allow_anonymous: bool = False

    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=0, le=65535)
    workers: int = Field(default=1, ge=1)
    trusted_proxies: Annotated[tuple[_Network, ...], NoDecode, BeforeValidator(_split)] = ()
    allowed_origins: Annotated[tuple[Annotated[str, AfterValidator(_origin)], ...], NoDecode, BeforeValidator(_split)] = ()

    redis_url: Annotated[str, _scheme("redis", "rediss", "unix")] | None = Field(default=None, repr=False)  # it may hold a password
    cache_ttl: int = Field(default=300, ge=0)
    cache_max_bytes: int = Field(default=64 * 2**20, ge=0)
    rate_limit_per_minute: int = Field(default=600, ge=0)
    taint_ttl: int = Field(default=7 * 86_400, ge=1)
    chroma_path: Path = Path("data/chroma")
    chroma_url: Annotated[str, _scheme("http", "https")] | None = Field(default=None, repr=False)

    max_body_bytes: int = Field(default=32 * 2**20, ge=1)
    max_scan_bytes: int = Field(default=8 * 2**20, ge=1)
    body_idle_s: _Seconds = 30
    llm_timeout: _Seconds = 600  # as OpenAI's SDKs wait
    connect_timeout_s: _Seconds = 5
    first_token_timeout_s: _Seconds = 120
    stream_idle_s: _Seconds = 60
    stream_commit_s: _Seconds = 10
    max_in_flight: int = Field(default=1000, ge=0)
    max_queued: int = Field(default=200, ge=0)
    queue_wait_s: _Seconds = 5
    room_queue: int = Field(default=64, ge=0)
    room_wait_s: _Seconds = 30
    drain_delay_s: float = Field(default=0, ge=0, allow_inf_nan=False)
    shutdown_grace_s: float = Field(default=30, ge=0, allow_inf_nan=False)

    log_level: Annotated[Literal["debug", "info", "warning", "error"], BeforeValidator(_lower)] = "info"
    log_format: Annotated[Literal["auto", "json", "text"], BeforeValidator(_lower)] = "auto"

    @cached_property
    def api_keys(self) -> tuple[ApiKey, ...]:
        """The callers' keys; none means that everybody on this machine may call. Raises ConfigError."""
        return parse_api_keys(self.gateway_api_keys.get_secret_value()) if self.gateway_api_keys else ()

    def variables(self) -> dict[str, str]:
        """Return the provider settings that are set, as `${NAME}` names them in gateway.yaml."""
        secrets = {"OPENAI_API_KEY": self.openai_api_key, "ANTHROPIC_API_KEY": self.anthropic_api_key}
        found = {name: secret.get_secret_value() for name, secret in secrets.items() if secret is not None}
        return found | ({"OLLAMA_BASE_URL": self.ollama_base_url} if self.ollama_base_url is not None else {})

    @property
    def loopback_only(self) -> bool:
        """Whether `host` can be reached from this machine alone."""
        if self.host.lower() == "localhost":
            return True
        try:
            return ip_address(self.host.strip("[]")).is_loopback
        except ValueError:
            return False


def load_settings(*, dotenv: Path = _DOTENV, **overrides: Any) -> Settings:
    """Return the settings: `overrides` before the environment, the environment before `dotenv`.

    Raises ConfigError, whose faults name variables and never hold a value.
    """
    try:
        values: dict[str, Any] = {"_env_file": dotenv, **overrides}
        settings = Settings(**values)
    except ValidationError as exc:
        raise ConfigError(_faults(exc)) from None  # the cause would print what was given
    except UnicodeDecodeError:
        raise ConfigError(f"{dotenv} is not UTF-8 text; save it as UTF-8") from None
    _check_secret(settings)
    _check_admin_key(settings)
    if not settings.api_keys and not settings.loopback_only and not settings.allow_anonymous:
        raise ConfigError(
            "HOST is not a loopback address, so anybody on the network could call: set GATEWAY_API_KEYS, or ALLOW_ANONYMOUS=true if that is meant",
        )
    return settings


def _check_secret(settings: Settings) -> None:
    if settings.gateway_secret is None:
        if settings.redis_url is not None:
            raise ConfigError(
                "REDIS_URL is set without GATEWAY_SECRET: set it to the same long random word in every process that shares the Redis, such as"
                " `openssl rand -hex 32` prints; what is kept there is keyed with it"
            )
    elif len(settings.gateway_secret.get_secret_value()) < _SECRET_CHARACTERS:
        raise ConfigError(f"GATEWAY_SECRET must have {_SECRET_CHARACTERS} characters or more, such as `openssl rand -hex 32` prints")


def _check_admin_key(settings: Settings) -> None:
    admin = settings.admin_api_key.get_secret_value() if settings.admin_api_key is not None else None
    if admin is not None and (len(admin) < _ADMIN_KEY_CHARACTERS or not admin.isascii() or not admin.isprintable() or " " in admin):
        raise ConfigError(f"ADMIN_API_KEY must be {_ADMIN_KEY_CHARACTERS} or more ASCII characters without a space, such as `openssl rand -hex 32` prints")
    if admin is not None and any(hmac.compare_digest(key.secret.get_secret_value().encode(), admin.encode()) for key in settings.api_keys):
        raise ConfigError("ADMIN_API_KEY is one of GATEWAY_API_KEYS too: make another, callers must not have it")


def waiting_for_a_restart(served: Settings, now: Settings) -> list[str]:
    """Return the settings that have another value `now`, but for those that a reload takes (variables of gateway.yaml)."""
    return [name.upper() for name in Settings.model_fields if name.upper() not in _VARIABLES and getattr(served, name) != getattr(now, name)]


def environment(dotenv: Path = _DOTENV) -> Mapping[str, str]:
    """Return what `${NAME}` may name: `.env`, and over it every variable of the environment that is not empty."""
    try:
        values = {name: value for name, value in dotenv_values(dotenv, encoding="utf-8-sig").items() if value}
    except UnicodeDecodeError:
        raise ConfigError(f"{dotenv} is not UTF-8 text; save it as UTF-8") from None
    return values | {name: value for name, value in os.environ.items() if value}


_REASONS = {"int_parsing": "must be a whole number", "float_parsing": "must be a number", "bool_parsing": "must be true or false"}


def _faults(exc: ValidationError) -> list[Fault]:
    """Return one sentence a variable, without what the variable held."""
    sentences: dict[str, str] = {}
    for error in exc.errors(include_input=False, include_url=False, include_context=False):
        name = str(error["loc"][0]).upper() if error["loc"] else "The environment"
        reason = error["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
        spoken = reason if reason.startswith("must") else f"must be {reason[:1].lower()}{reason[1:]}"
        sentences.setdefault(name, _REASONS.get(error["type"], spoken))
    return [Fault("", 0, f"{name} {sentence}") for name, sentence in sentences.items()]
