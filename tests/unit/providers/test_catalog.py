from __future__ import annotations

import subprocess
import sys

import pytest

from app.domain import Capability, Price
from app.providers import catalog as module
from app.providers.catalog import Catalog, load_catalog


def _catalog(**registry: object) -> Catalog:
    return Catalog({name.replace("__", "/"): found for name, found in registry.items()}, {}, {})


def _found(provider: str, **fields: object) -> dict[str, object]:
    return {"litellm_provider": provider, "mode": "chat", **fields}


def test_an_entry_has_price_windows_and_abilities() -> None:
    entry = _catalog(
        gpt=_found(
            "openai",
            input_cost_per_token=1e-6,
            output_cost_per_token=2e-6,
            cache_read_input_token_cost=5e-7,
            max_input_tokens=1000,
            max_output_tokens=100,
            max_tokens=100,
            supports_vision=True,
            supports_function_calling=False,
        )
    ).entry("openai", "gpt")

    assert entry is not None
    assert (entry.price, entry.context_window, entry.max_output_tokens) == (Price(1e-6, 2e-6, 5e-7), 1000, 100)
    assert entry.capabilities == {Capability.IMAGES}


def test_what_the_registry_does_not_say_is_not_known() -> None:
    entry = _catalog(gpt=_found("openai", input_cost_per_token=1e-6, max_input_tokens="many")).entry("openai", "gpt")

    assert entry is not None
    assert (entry.price, entry.context_window, entry.max_output_tokens) == (None, None, None)


def test_the_old_spelling_of_the_window_is_read() -> None:
    entry = _catalog(gpt=_found("openai", max_tokens=8192)).entry("openai", "gpt")

    assert entry is not None
    assert entry.context_window == 8192


@pytest.mark.parametrize(
    ("provider", "model", "key", "registered"),
    [
        ("groq", "openai/gpt-oss", "groq__openai__gpt-oss", "groq"),
        ("ollama_chat", "llama3.1:8b-q4", "ollama__llama3.1", "ollama"),
        ("cohere_chat", "command-a", "command-a", "cohere_chat"),
        ("bedrock", "us.anthropic.claude", "anthropic.claude", "bedrock_converse"),
        ("bedrock", "converse/anthropic.claude", "anthropic.claude", "bedrock"),
        ("azure", "gpt-4o", "azure__gpt-4o", "azure"),
    ],
)
def test_a_model_is_found_under_the_registrys_own_name(provider: str, model: str, key: str, registered: str) -> None:
    assert _catalog(**{key: _found(registered)}).entry(provider, model) is not None


@pytest.mark.parametrize(("provider", "model"), [("openai", "claude"), ("hosted_vllm", "claude"), ("openai", "other"), ("openai", "broken")])
def test_another_providers_model_of_that_name_is_not_taken(provider: str, model: str) -> None:
    assert _catalog(claude=_found("anthropic"), broken="no mapping").entry(provider, model) is None


def test_a_provider_of_the_registry_is_known_even_where_it_cannot_be_used() -> None:
    assert load_catalog().knows_provider("vertex_ai")
    assert not load_catalog().knows_provider("opnai")


def test_reading_the_registry_does_not_import_litellm() -> None:
    code = "import sys; from app.providers.catalog import load_catalog; assert load_catalog().entry('openai', 'gpt-4o'); sys.exit('litellm' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_without_litellm_it_says_what_to_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "find_spec", lambda _: None)

    with pytest.raises(ModuleNotFoundError, match="make install"):
        load_catalog()
