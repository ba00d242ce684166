from __future__ import annotations

from typing import Any

import pytest

from app.domain import Deployment, Label, LaneName
from app.providers.listing import Models, listing, read_models, why_not


def deployment(provider: str, base_url: str = "https://host.example/v1", model: str = "m", **fields: Any) -> Deployment:
    return Deployment("d", provider, model, LaneName.RELAY, Label.INTERNAL, base_url=base_url, **fields)


@pytest.mark.parametrize(
    ("provider", "base_url", "path"),
    [
        ("openai", "https://api.openai.com/v1", "/v1/models"),
        ("groq", "https://api.groq.com/openai/v1", "/openai/v1/models"),
        ("deepseek", "https://api.deepseek.com/beta", "/models"),
        ("azure", "https://n.openai.azure.com", "/openai/models?api-version=2024-10-21%2B"),
        ("anthropic", "https://api.anthropic.com", "/v1/models?limit=1000"),
        ("anthropic", "https://proxy.example/anthropic/v1", "/anthropic/v1/models?limit=1000"),
        ("gemini", "https://generativelanguage.googleapis.com", "/v1beta/models?pageSize=1000"),
        ("gemini", "https://generativelanguage.googleapis.com/v1beta", "/v1beta/models?pageSize=1000"),
        ("cohere_chat", "https://api.cohere.com", "/v1/models?page_size=1000"),
        ("cohere_chat", "https://api.cohere.com/v2/chat", "/v1/models?page_size=1000"),
        ("ollama_chat", "http://127.0.0.1:11434", "/api/tags"),
        ("ollama_chat", "http://gpu.local/ollama/api", "/ollama/api/tags"),
    ],
)
def test_each_dialect_lists_its_models_at_a_path_of_its_own(provider: str, base_url: str, path: str) -> None:
    assert listing(deployment(provider, base_url, params={"api_version": "2024-10-21+"})).path == path


@pytest.mark.parametrize(
    ("provider", "header"),
    [("openai", ("authorization", "Bearer k")), ("azure", ("api-key", "k")), ("anthropic", ("x-api-key", "k")), ("gemini", ("x-goog-api-key", "k"))],
)
def test_the_key_stands_in_the_dialects_own_header(provider: str, header: tuple[str, str]) -> None:
    assert header in listing(deployment(provider, api_key="k")).headers
    assert not any("k" in value.split() for _, value in listing(deployment(provider)).headers)


def test_anthropic_is_told_the_version_with_a_key_or_without() -> None:
    assert ("anthropic-version", "2023-06-01") in listing(deployment("anthropic")).headers


def test_bedrock_is_not_asked_and_the_others_are() -> None:
    assert "another host" in str(why_not(deployment("bedrock")))
    assert why_not(deployment("openai")) is None


@pytest.mark.parametrize(
    ("provider", "model", "answer", "listed"),
    [
        ("openai", "gpt", {"data": [{"id": "gpt"}, {"id": "b"}]}, True),
        ("openai", "gpt", {"data": [{"id": "gpt-4"}]}, False),
        ("openai", "gpt", {"data": []}, False),
        ("together_ai", "gpt", [{"id": "gpt"}, "noise"], True),
        ("openai", "llama3.1", {"data": [{"id": "llama3.1:latest"}]}, True),
        ("anthropic", "claude-haiku-4-5", {"data": [{"id": "claude-haiku-4-5-20251001"}]}, True),
        ("anthropic", "claude-haiku-latest", {"data": [{"id": "claude-haiku-20251001"}]}, True),
        ("anthropic", "claude-haiku", {"data": [{"id": "claude-haiku-4-5"}]}, False),
        ("openai", "gpt-4o", {"data": [{"id": "gpt-4o-2024-08-06"}]}, True),
        ("gemini", "gemini-pro", {"models": [{"name": "models/gemini-pro"}]}, True),
        ("cohere_chat", "command-a", {"models": [{"name": "command-a"}]}, True),
        ("ollama_chat", "library/llama3.1", {"models": [{"name": "llama3.1:latest", "model": "llama3.1:latest"}]}, True),
        ("ollama_chat", "llama3.1:8b", {"models": [{"name": "llama3.1:latest"}]}, False),
        ("anthropic", "x", {"data": [{"id": "a"}], "has_more": True}, None),
        ("gemini", "x", {"models": [], "nextPageToken": "t"}, None),
        ("azure", "my-deployment", {"data": [{"id": "gpt-4o"}]}, None),
        ("openai", "any", {"data": [{"id": "/models/tiny.gguf", "owned_by": "llamacpp"}]}, None),
    ],
)
def test_a_list_says_whether_it_has_the_model(provider: str, model: str, answer: Any, listed: bool | None) -> None:
    found = read_models(deployment(provider, model=model), answer)

    assert found is not None
    assert found.listed is listed


@pytest.mark.parametrize("answer", [None, "models", {"message": "hello"}, {"data": "none"}])
def test_what_is_no_list_of_models_is_none(answer: Any) -> None:
    assert read_models(deployment("openai"), answer) is None


def test_a_model_that_runs_on_another_host_is_seen() -> None:
    answer = {"models": [{"name": "big:latest", "remote_host": "https://ollama.com:443"}, {"name": "other"}]}

    assert read_models(deployment("ollama_chat", model="big"), answer) == Models(2, listed=True, remote=True)
    assert read_models(deployment("ollama_chat", model="other"), answer) == Models(2, listed=True, remote=False)
