from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network
from typing import TYPE_CHECKING

import pytest

from app.config.faults import ConfigError
from app.config.settings import environment, load_settings, waiting_for_a_restart

if TYPE_CHECKING:
    from pathlib import Path


def _refusal() -> str:
    with pytest.raises(ConfigError) as caught:
        load_settings()
    return str(caught.value)


@pytest.mark.usefixtures("bare_environment")
def test_nothing_needs_to_be_set() -> None:
    settings = load_settings()

    assert (settings.host, settings.port, settings.cache_ttl, settings.rate_limit_per_minute) == ("127.0.0.1", 8000, 300, 600)
    assert settings.api_keys == ()


def test_the_environment_goes_before_the_dotenv_file(bare_environment: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (bare_environment / ".env").write_text("PORT=9001\nCACHE_TTL=5\nNOT_OURS=x\n")
    monkeypatch.setenv("PORT", "9002")

    settings = load_settings()

    assert (settings.port, settings.cache_ttl) == (9002, 5)


def test_an_empty_variable_is_unset_and_does_not_hide_the_dotenv_file(bare_environment: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (bare_environment / ".env").write_text("PORT=9001\nREDIS_URL=\n")
    monkeypatch.setenv("PORT", "")

    settings = load_settings()

    assert (settings.port, settings.redis_url) == (9001, None)


def test_overrides_go_before_everything(bare_environment: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (bare_environment / ".env").write_text("PORT=9001\n")
    monkeypatch.setenv("PORT", "9002")

    assert load_settings(port=9003).port == 9003


@pytest.mark.usefixtures("bare_environment")
def test_lists_are_separated_by_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALLOWED_ORIGINS", "https://a.example/, http://localhost:3000")
    monkeypatch.setenv("TRUSTED_PROXIES", "10.1.2.3,fc00::/7")

    settings = load_settings()

    assert settings.allowed_origins == ("https://a.example", "http://localhost:3000")
    assert settings.trusted_proxies == (IPv4Network("10.1.2.3/32"), IPv6Network("fc00::/7"))


@pytest.mark.usefixtures("bare_environment")
def test_every_fault_is_told_at_once_by_name_and_without_the_value(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = {
        "PORT": "hush",
        "CACHE_TTL": "-7919",
        "LLM_TIMEOUT": "nan",
        "ALLOW_ANONYMOUS": "hush",
        "LOG_LEVEL": "hush",
        "TRUSTED_PROXIES": "hush",
        "ALLOWED_ORIGINS": "hush",
        "REDIS_URL": "https://hush",
        "CHROMA_URL": "hush",
    }
    for name, value in wrong.items():
        monkeypatch.setenv(name, value)

    said = _refusal()

    assert {line.split()[0] for line in said.splitlines()} == set(wrong)
    assert "hush" not in said
    assert "7919" not in said


@pytest.mark.usefixtures("bare_environment")
def test_a_fault_says_what_would_be_right(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", "many")

    assert _refusal() == "PORT must be a whole number"


@pytest.mark.usefixtures("bare_environment")
def test_a_wrong_key_is_refused_when_settings_are_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_API_KEYS", "ann:nolabel:k")

    assert "unknown clearance" in _refusal()


@pytest.mark.usefixtures("bare_environment")
@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.5", "gateway.example"])
def test_without_keys_only_loopback_is_listened_on(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    monkeypatch.setenv("HOST", host)

    assert "GATEWAY_API_KEYS" in _refusal()


@pytest.mark.usefixtures("bare_environment")
@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "[::1]", "localhost"])
def test_loopback_needs_no_keys(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    monkeypatch.setenv("HOST", host)

    assert load_settings().loopback_only


@pytest.mark.usefixtures("bare_environment")
@pytest.mark.parametrize(("name", "value"), [("GATEWAY_API_KEYS", "k1"), ("ALLOW_ANONYMOUS", "true")])
def test_keys_or_a_loud_word_open_the_network(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv("HOST", "0.0.0.0")
    monkeypatch.setenv(name, value)

    assert load_settings().host == "0.0.0.0"


@pytest.mark.usefixtures("bare_environment")
def test_settings_do_not_show_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GATEWAY_API_KEYS", "GATEWAY_SECRET"):
        monkeypatch.setenv(name, "hush" * 4)
    monkeypatch.setenv("REDIS_URL", "redis://:hush@127.0.0.1")

    assert "hush" not in repr(load_settings())


def test_a_dotenv_file_that_is_no_text_is_refused(bare_environment: Path) -> None:
    (bare_environment / ".env").write_bytes(b"PORT=\xff\xfe")

    assert _refusal() == ".env is not UTF-8 text; save it as UTF-8"
    with pytest.raises(ConfigError, match="not UTF-8"):
        environment()


def test_a_dotenv_file_may_start_with_a_byte_order_mark(bare_environment: Path) -> None:
    (bare_environment / ".env").write_bytes(b"\xef\xbb\xbfPORT=9001\n")

    assert load_settings().port == 9001
    assert environment()["PORT"] == "9001"


def test_variables_for_the_file_come_from_the_environment_before_the_dotenv_file(bare_environment: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (bare_environment / ".env").write_text("SLUICE_TEST_A=file\nSLUICE_TEST_B=file\nSLUICE_TEST_C=file\nSLUICE_TEST_D=\n")
    monkeypatch.setenv("SLUICE_TEST_A", "process")
    monkeypatch.setenv("SLUICE_TEST_B", "")

    env = environment()

    assert (env["SLUICE_TEST_A"], env["SLUICE_TEST_B"], env["SLUICE_TEST_C"]) == ("process", "file", "file")
    assert "SLUICE_TEST_D" not in env


def test_provider_settings_are_what_the_configuration_names(tmp_path: Path) -> None:
    settings = load_settings(dotenv=tmp_path / "none", openai_api_key="sk-1", ollama_base_url="http://127.0.0.1:1")

    assert settings.variables() == {"OPENAI_API_KEY": "sk-1", "OLLAMA_BASE_URL": "http://127.0.0.1:1"}


def test_a_redis_asks_for_a_secret_that_replicas_share(bare_environment: Path) -> None:
    with pytest.raises(ConfigError, match="REDIS_URL is set without GATEWAY_SECRET: set it to the same long random word"):
        load_settings(dotenv=bare_environment / "none.env", redis_url="redis://127.0.0.1")

    assert load_settings(dotenv=bare_environment / "none.env", redis_url="redis://127.0.0.1", gateway_secret="s" * 16).redis_url == "redis://127.0.0.1"


def test_a_secret_that_could_be_guessed_is_refused_and_not_repeated(bare_environment: Path) -> None:
    with pytest.raises(ConfigError, match="GATEWAY_SECRET must have 16 characters or more") as caught:
        load_settings(dotenv=bare_environment / "none.env", gateway_secret="hush")

    assert "hush" not in str(caught.value)


@pytest.mark.usefixtures("bare_environment")
def test_what_a_restart_alone_gives_is_named_and_what_a_reload_gives_is_not() -> None:
    served = load_settings(cache_ttl=5, admin_api_key="k" * 16)

    assert waiting_for_a_restart(served, load_settings(cache_ttl=5, admin_api_key="k" * 16, openai_api_key="sk-1", ollama_base_url="http://x")) == []
    assert waiting_for_a_restart(served, load_settings(cache_ttl=6, admin_api_key="j" * 16, port=9000)) == ["ADMIN_API_KEY", "PORT", "CACHE_TTL"]
