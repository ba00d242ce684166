from __future__ import annotations

import pytest

from app.domain import Capability
from app.providers.translate import PROVIDERS, capabilities, default_base_url, unsupported

ALL_BUT = frozenset(Capability)


@pytest.mark.parametrize("provider", sorted(PROVIDERS))
def test_every_provider_streams_and_has_its_facts(provider: str) -> None:
    assert Capability.STREAM in capabilities(provider, "any")
    assert unsupported(provider) is None


@pytest.mark.parametrize(
    ("provider", "lacks"),
    [
        ("ollama_chat", {Capability.N, Capability.LOGPROBS, Capability.AUDIO, Capability.FILES}),
        ("anthropic", {Capability.N, Capability.LOGPROBS, Capability.AUDIO, Capability.JSON_OBJECT}),
        ("cohere_chat", {Capability.N, Capability.LOGPROBS, Capability.AUDIO, Capability.FILES}),
        ("gemini", set()),
    ],
)
def test_a_provider_has_what_its_dialect_can_say(provider: str, lacks: set[Capability]) -> None:
    assert capabilities(provider, "any") == ALL_BUT - lacks


@pytest.mark.parametrize(
    ("model", "tools", "images"),
    [
        ("us.anthropic.claude-sonnet-4-5-20250929-v1:0", True, True),
        ("anthropic.claude-3-haiku-20240307-v1:0", True, True),
        ("converse/eu.amazon.nova-micro-v1:0", True, False),
        ("amazon.nova-pro-v1:0", True, True),
        ("amazon.titan-text-express-v1", False, False),
        ("meta.llama3-1-70b-instruct-v1:0", True, False),
        ("meta.llama3-70b-instruct-v1:0", False, False),
        ("arn:aws:bedrock:us-east-1:1:application-inference-profile/abc", True, True),
    ],
)
def test_bedrocks_models_differ(model: str, tools: bool, images: bool) -> None:
    able = capabilities("bedrock", model)

    assert (Capability.TOOLS in able, Capability.IMAGES in able) == (tools, images)


@pytest.mark.parametrize(
    ("model", "keeps"),
    [
        ("anthropic.claude-3-haiku-20240307-v1:0", True),
        ("us.amazon.nova-micro-v1:0", True),
        ("meta.llama3-1-70b-instruct-v1:0", False),
        ("qwen.qwen3-32b-v1:0", False),
    ],
)
def test_only_who_can_be_made_to_call_a_tool_keeps_to_a_schema(model: str, keeps: bool) -> None:
    assert (Capability.JSON_SCHEMA in capabilities("bedrock", model)) is keeps


@pytest.mark.parametrize(
    ("provider", "params", "url"),
    [
        ("anthropic", None, "https://api.anthropic.com"),
        ("gemini", None, "https://generativelanguage.googleapis.com"),
        ("bedrock", None, None),
        ("bedrock", {"aws_region_name": "eu-west-1"}, "https://bedrock-runtime.eu-west-1.amazonaws.com"),
        ("ollama_chat", None, "http://127.0.0.1:11434"),
        ("nobody", None, None),
    ],
)
def test_a_provider_is_where_it_is_unless_the_deployment_says_otherwise(provider: str, params: dict[str, str] | None, url: str | None) -> None:
    assert default_base_url(provider, params) == url


@pytest.mark.parametrize("provider", ["vertex_ai", "watsonx", "replicate", "something_new"])
def test_a_provider_that_cannot_be_used_is_told_with_what_can(provider: str) -> None:
    sentence = unsupported(provider)

    assert sentence is not None
    assert provider in sentence
    assert "ollama_chat" in sentence
