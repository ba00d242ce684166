from __future__ import annotations

from typing import Any

import pytest

from app.policy.collect import collect
from app.policy.prompt import Prompt
from app.policy.tokens import TOKENS_PER_MEDIUM
from app.policy.vocabulary import Vocabularies, Vocabulary

# What OpenAI's cookbook prints of its examples ("How to count tokens with tiktoken"): the counts of its API.
SYSTEM = "You are a helpful, pattern-following assistant that translates corporate jargon into plain English."
JARGON = [
    {"role": "system", "content": SYSTEM},
    {"role": "system", "name": "example_user", "content": "New synergies will help drive top-line growth."},
    {"role": "system", "name": "example_assistant", "content": "Things working well together will increase revenue."},
    {
        "role": "system",
        "name": "example_user",
        "content": "Let's circle back when we have more bandwidth to touch base on opportunities for increased leverage.",
    },
    {"role": "system", "name": "example_assistant", "content": "Let's talk later when we're less busy about how to do better."},
    {"role": "user", "content": "This late pivot means we don't have time to boil the ocean for the client deliverable."},
]
WEATHER = [
    {"role": "system", "content": "You are a helpful assistant that can answer to questions about the weather."},
    {"role": "user", "content": "What's the weather like in San Francisco?"},
]
TOOL = {
    "type": "function",
    "function": {
        "name": "get_current_weather",
        "description": "Get the current weather in a given location",
        "parameters": {
            "type": "object",
            "properties": {
                "location": {"type": "string", "description": "The city and state, e.g. San Francisco, CA"},
                "unit": {"type": "string", "description": "The unit of temperature to return", "enum": ["celsius", "fahrenheit"]},
            },
            "required": ["location"],
        },
    },
}


@pytest.fixture(scope="module")
def vocabularies() -> Vocabularies:
    made = Vocabularies()
    for vocabulary in Vocabulary:
        made.load(vocabulary)
    return made


def tokens(vocabularies: Vocabularies, vocabulary: Vocabulary = Vocabulary.O200K, **body: Any) -> int:
    prompt = Prompt(collect(body), body)
    return (vocabularies.count(vocabulary, prompt.texts) or 0) + prompt.overhead(vocabulary)


@pytest.mark.parametrize(
    ("vocabulary", "body", "exact"),
    [
        (Vocabulary.CL100K, {"messages": JARGON}, 129),
        (Vocabulary.O200K, {"messages": JARGON}, 124),
        (Vocabulary.CL100K, {"messages": WEATHER, "tools": [TOOL]}, 105),
        (Vocabulary.O200K, {"messages": WEATHER, "tools": [TOOL]}, 101),
        (Vocabulary.O200K, {"messages": WEATHER, "functions": [TOOL["function"]]}, 101),
    ],
)
def test_a_count_is_the_apis(vocabularies: Vocabularies, vocabulary: Vocabulary, body: dict[str, Any], exact: int) -> None:
    assert tokens(vocabularies, vocabulary, **body) == pytest.approx(exact, rel=0.02)


def added(vocabularies: Vocabularies, **body: Any) -> int:
    """Return what a body costs beyond the weather's messages."""
    return tokens(vocabularies, **{"messages": WEATHER, **body}) - tokens(vocabularies, messages=WEATHER)


def function(parameters: object) -> dict[str, Any]:
    return {"type": "function", "function": {"name": "f", "parameters": parameters}}


def test_what_the_published_formula_does_not_know_is_counted_as_json(vocabularies: Vocabularies) -> None:
    plain = added(vocabularies, tools=[function({"type": "object", "properties": {}})])
    nested = {"type": "object", "properties": {"place": {"type": "object", "properties": {"city": {"type": "string", "description": "The city."}}}}}
    deep: dict[str, Any] = {"type": "string", "description": "the end of it"}
    for _ in range(40):
        deep = {"type": "object", "properties": {"inner": deep}}

    assert added(vocabularies, tools=[function(nested)]) > plain + 12
    assert added(vocabularies, tools=[function({"anyOf": [{"type": "string"}, {"type": "null"}]})]) > plain + 10
    assert added(vocabularies, tools=[function({"type": "array", "items": nested})]) > plain + 12
    assert added(vocabularies, tools=[function({"type": "object", "properties": {"x": {"type": ["string", "null"]}}})]) > plain + 5
    assert added(vocabularies, tools=[function(deep)]) > plain + 40 * 4


@pytest.mark.parametrize("tools", [[], None, "x", [None], [{"type": "function"}], [{"function": "x"}], [{"type": "web_search"}]])
def test_what_is_no_function_adds_nothing(vocabularies: Vocabularies, tools: object) -> None:
    assert added(vocabularies, tools=tools) <= 3


@pytest.mark.parametrize("parameters", [None, [], {"properties": None}, {"properties": {"a": None}}])
def test_a_function_of_any_shape_is_counted(vocabularies: Vocabularies, parameters: object) -> None:
    assert added(vocabularies, tools=[function(parameters)]) >= 20


def test_a_response_format_counts_its_schema(vocabularies: Vocabularies) -> None:
    schema = {"name": "answer", "schema": {"type": "object", "properties": {"city": {"type": "string"}}}}

    assert added(vocabularies, response_format={"type": "json_schema", "json_schema": schema}) > 15
    assert added(vocabularies, response_format={"type": "json_object"}) == 0


def test_calls_of_tools_are_counted_with_their_arguments(vocabularies: Vocabularies) -> None:
    call = {"name": "get_current_weather", "arguments": '{"location": "San Francisco, CA"}'}
    turn = {"role": "assistant", "content": None, "tool_calls": [{"id": "call_1", "type": "function", "function": call}]}
    old = {"role": "assistant", "content": None, "function_call": call}

    for message in (turn, old):
        assert added(vocabularies, messages=[*WEATHER, message]) == pytest.approx(20, abs=5)


def test_media_are_estimated(vocabularies: Vocabularies) -> None:
    image = {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}]}

    assert added(vocabularies, messages=[*WEATHER, image]) == TOKENS_PER_MEDIUM + 4
