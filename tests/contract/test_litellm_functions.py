"""Each function of LiteLLM that the translate lane calls: its signature, and what it returns for a fixed input. An upgrade fails here, not in production."""

from __future__ import annotations

import importlib
import importlib.metadata
import inspect
from typing import Any

import pytest

from app.providers.translate import load

load()


def of(module: str, name: str) -> Any:
    return getattr(importlib.import_module(f"litellm.{module}"), name)


OllamaChatConfig = of("llms.ollama.chat.transformation", "OllamaChatConfig")
AnthropicConfig = of("llms.anthropic.chat.transformation", "AnthropicConfig")
GeminiConfig = of("llms.gemini.chat.transformation", "GoogleAIStudioGeminiConfig")
GeminiIterator = of("llms.vertex_ai.gemini.vertex_and_google_ai_studio_gemini", "ModelResponseIterator")
transform_request_body = of("llms.vertex_ai.gemini.transformation", "transform_request_body")
ConverseConfig = of("llms.bedrock.chat.converse_transformation", "AmazonConverseConfig")
CohereConfig = of("llms.cohere.chat.v2_transformation", "CohereV2ChatConfig")
map_finish_reason = of("litellm_core_utils.core_helpers", "map_finish_reason")

TOOL = {"type": "function", "function": {"name": "f", "description": "d", "parameters": {"type": "object", "properties": {"a": {"type": "string"}}}}}
PARAMS = {"temperature": 0.5, "max_tokens": 9, "tools": [TOOL]}
CONFIGS = [OllamaChatConfig, AnthropicConfig, ConverseConfig, CohereConfig]
EVERY = [*CONFIGS, GeminiConfig]


def messages() -> list[dict[str, Any]]:
    return [{"role": "system", "content": "s"}, {"role": "user", "content": "u"}]


def names(function: Any) -> list[str]:
    return [name for name in inspect.signature(function).parameters if name != "self"]


def test_the_version_is_the_one_that_was_read() -> None:
    assert importlib.metadata.version("litellm") == "1.106.2"


@pytest.mark.parametrize("config", EVERY)
def test_map_openai_params_takes_what_it_is_given(config: Any) -> None:
    assert names(config.map_openai_params) == ["non_default_params", "optional_params", "model", "drop_params"]


@pytest.mark.parametrize("config", CONFIGS)
def test_transform_request_takes_what_it_is_given(config: Any) -> None:
    assert names(config.transform_request) == ["model", "messages", "optional_params", "litellm_params", "headers"]


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (OllamaChatConfig.get_complete_url, ["api_base", "api_key", "model", "optional_params", "litellm_params", "stream"]),
        (AnthropicConfig.validate_environment, ["headers", "model", "messages", "optional_params", "litellm_params", "api_key", "api_base"]),
        (
            AnthropicConfig.transform_parsed_response,
            ["completion_response", "raw_response", "model_response", "json_mode", "prefix_prompt", "speed", "tool_name_reverse_map"],
        ),
        (GeminiIterator, ["streaming_response", "sync_stream", "logging_obj", "response_headers", "response"]),
        (GeminiIterator.chunk_parser, ["chunk"]),
        (transform_request_body, ["messages", "model", "optional_params", "custom_llm_provider", "litellm_params", "cached_content"]),
        (map_finish_reason, ["finish_reason"]),
    ],
)
def test_the_other_functions_take_what_they_are_given(function: Any, expected: list[str]) -> None:
    assert names(function) == expected


def test_ollamas_request() -> None:
    config = OllamaChatConfig()
    mapped = config.map_openai_params(dict(PARAMS), {}, "m", drop_params=True)

    assert config.get_complete_url(api_base="http://h:1", api_key=None, model="m", optional_params={}, litellm_params={}, stream=False) == "http://h:1/api/chat"
    assert config.transform_request(model="m", messages=messages(), optional_params=mapped, litellm_params={}, headers={}) == {
        "model": "m",
        "messages": [{"role": "system", "content": "s", "images": []}, {"role": "user", "content": "u", "images": []}],
        "options": {"temperature": 0.5, "num_predict": 9},
        "stream": False,
        "tools": [TOOL],
    }


def test_anthropics_request() -> None:
    config, internal = AnthropicConfig(), {}  # type: ignore[var-annotated]  # LiteLLM writes into it
    mapped = config.map_openai_params(dict(PARAMS), {}, "claude-sonnet-4-5", drop_params=True)
    headers = config.validate_environment(
        headers={}, model="claude-sonnet-4-5", messages=messages(), optional_params=mapped, litellm_params=internal, api_key="k", api_base="http://h"
    )

    assert {name: headers[name] for name in ("x-api-key", "anthropic-version", "content-type")} == {
        "x-api-key": "k",
        "anthropic-version": "2023-06-01",
        "content-type": "application/json",
    }
    assert config.transform_request(model="claude-sonnet-4-5", messages=messages(), optional_params=mapped, litellm_params=internal, headers=headers) == {
        "model": "claude-sonnet-4-5",
        "messages": [{"role": "user", "content": [{"type": "text", "text": "u"}]}],
        "system": [{"type": "text", "text": "s"}],
        "temperature": 0.5,
        "max_tokens": 9,
        "tools": [{"name": "f", "description": "d", "type": "custom", "input_schema": TOOL["function"]["parameters"]}],  # type: ignore[index]
    }


def test_geminis_request() -> None:
    mapped = GeminiConfig().map_openai_params(dict(PARAMS), {}, "gemini-2.5-flash", drop_params=True)

    assert transform_request_body(
        messages=messages(), model="gemini-2.5-flash", optional_params=mapped, custom_llm_provider="gemini", litellm_params={}, cached_content=None
    ) == {
        "contents": [{"role": "user", "parts": [{"text": "u"}]}],
        "system_instruction": {"parts": [{"text": "s"}]},
        "tools": [{"function_declarations": [TOOL["function"]]}],
        "generationConfig": {"temperature": 0.5, "max_output_tokens": 9},
    }


def test_bedrocks_request() -> None:
    config = ConverseConfig()
    mapped = config.map_openai_params(dict(PARAMS), {}, "amazon.nova-pro-v1:0", drop_params=True)
    data = config.transform_request(model="amazon.nova-pro-v1:0", messages=messages(), optional_params=mapped, litellm_params={}, headers={})

    assert data["messages"] == [{"role": "user", "content": [{"text": "u"}]}]
    assert data["system"] == [{"text": "s"}]
    assert data["inferenceConfig"] == {"temperature": 0.5, "maxTokens": 9}
    assert data["toolConfig"]["tools"][0]["toolSpec"]["name"] == "f"


def test_coheres_request() -> None:
    config = CohereConfig()
    mapped = config.map_openai_params(dict(PARAMS), {}, "m", drop_params=True)

    assert config.transform_request(model="m", messages=messages(), optional_params=mapped, litellm_params={}, headers={}) == {
        "model": "m",
        "messages": messages(),
        "temperature": 0.5,
        "max_tokens": 9,
        "tools": [TOOL],
    }


def test_geminis_chunk() -> None:
    class Log:
        optional_params: dict[str, Any] = {}  # noqa: RUF012 - read by LiteLLM, never written

    iterator = GeminiIterator(streaming_response=iter(()), sync_stream=True, logging_obj=Log())
    chunk = iterator.chunk_parser({"candidates": [{"content": {"parts": [{"text": "a"}], "role": "model"}, "index": 0}], "modelVersion": "v"})

    assert (chunk.choices[0].delta.content, chunk.choices[0].index, chunk.model) == ("a", 0, "v")


@pytest.mark.parametrize(
    ("theirs", "ours"), [("end_turn", "stop"), ("max_tokens", "length"), ("tool_use", "tool_calls"), ("guardrail_intervened", "content_filter")]
)
def test_finish_reasons(theirs: str, ours: str) -> None:
    assert map_finish_reason(theirs) == ours


@pytest.mark.parametrize(
    ("config", "model", "supported"),
    [
        (AnthropicConfig, "claude-sonnet-4-5", {"temperature", "top_p", "stop", "user", "parallel_tool_calls", "reasoning_effort"}),
        (GeminiConfig, "gemini-2.5-flash", {"temperature", "top_p", "stop", "seed", "frequency_penalty", "presence_penalty", "reasoning_effort"}),
        (ConverseConfig, "amazon.nova-pro-v1:0", {"temperature", "top_p", "stop", "tool_choice", "parallel_tool_calls"}),
    ],
)
def test_what_a_model_supports(config: Any, model: str, supported: set[str]) -> None:
    assert supported <= set(config().get_supported_openai_params(model))


def test_the_tool_that_stands_for_a_schema_has_its_name() -> None:
    assert of("constants", "RESPONSE_FORMAT_TOOL_NAME") == "json_tool_call"


def test_bedrocks_table_of_renamed_tools_is_where_it_was() -> None:
    table = importlib.import_module("litellm").bedrock_tool_name_mappings
    table.set_cache(key="a_now", value="_now")

    assert table.cache_dict == {"a_now": "_now"}
    table.flush_cache()
    assert table.cache_dict == {}
