"""Fields by which a caller would choose the address, and addresses that a local server would fetch: refused on every lane, and nothing hears of them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.leakage.canaries import CANARIES
from tests.leakage.lab import MODELS

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.leakage.conftest import Evidence
    from tests.leakage.lab import Answer, Lab
    from tests.simulators import OpenAISimulator

EMAIL = CANARIES["email"].text
LANES = [f"{where}-{dialect}" for where in ("cloud", "home") for dialect in MODELS]
STEERING = [
    *("api_base", "base_url", "api_key", "fallbacks", "extra_body", "extra_headers", "user_config", "mock_response", "model_list", "custom_llm_provider"),
    *("litellm_params", "langfuse_host", "s3_endpoint_url", "Api_Base", "FALLBACKS", "ba\u017fe_url"),
]
PLACES: dict[str, Callable[[str], dict[str, Any]]] = {
    "picture": lambda url: _part({"type": "image_url", "image_url": {"url": url}}),
    "picture, short": lambda url: _part({"type": "input_image", "image_url": url}),
    "video": lambda url: _part({"type": "video_url", "video_url": {"url": url}}),
    "audio": lambda url: _part({"type": "input_audio", "input_audio": {"data": url, "format": "wav"}}),
    "file": lambda url: _part({"type": "file", "file": {"file_data": url}}),
    "file by its id": lambda url: _part({"type": "file", "file": {"file_id": url}}),
    "Gemini's file": lambda url: _part({"type": "media", "fileData": {"fileUri": url}}),
    "Anthropic's source": lambda url: _part({"type": "image", "source": {"type": "url", "url": url}}),
    "a name of its own": lambda url: _part({"type": "image", "href": url}),
    "Ollama's pictures": lambda url: {"messages": [{"role": "user", "content": EMAIL, "images": [url]}]},
    "tool's result": lambda url: {
        "messages": [
            {"role": "assistant", "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}]},
            {"role": "tool", "tool_call_id": "c", "content": [{"type": "image_url", "image_url": {"url": url}}]},
        ]
    },
    "prediction": lambda url: _part() | {"prediction": {"type": "content", "content": [{"type": "image_url", "image_url": {"url": url}}]}},
    "tool server": lambda url: _part() | {"tools": [{"type": "mcp", "server_label": "x", "server_url": url}]},
    "tool's connector": lambda url: _part() | {"tools": [{"type": "mcp", "server_label": "x", "connector_url": url}]},
    "schema": lambda url: _part() | {"tools": [{"type": "function", "function": {"name": "f", "parameters": {"properties": {"a": {"$ref": url}}}}}]},
}
SPELLINGS: dict[str, Callable[[str], str]] = {
    "plain": lambda url: url,
    "capitals": lambda url: url.replace("http", "HTTP"),
    "a line break": lambda url: url.replace("//", "/\n/"),
    "a space before": lambda url: f" \t{url}",
    "backslashes": lambda url: url.replace("//", "\\\\"),
}


def _part(*parts: dict[str, Any]) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": [{"type": "text", "text": EMAIL}, *parts]}]}


def codes(answers: list[Answer]) -> set[tuple[int, str | None]]:
    return {(answer.status, json.loads(answer.body)["error"]["code"]) for answer in answers if answer.status != 200} | {
        (200, None) for answer in answers if answer.status == 200
    }


@pytest.mark.parametrize("text", [EMAIL, "Say hello."], ids=["confidential", "public"])
async def test_a_field_that_steers_is_refused_on_every_lane(lab: Lab, other: OpenAISimulator, evidence: Evidence, text: str) -> None:
    bodies = [{"model": lane, "messages": [{"role": "user", "content": text}], name: other.base_url} for lane in LANES for name in STEERING]

    answers = await lab.gather(bodies)

    evidence(
        "steering", "a field that names another host, key or model, each lane and dialect, cloud and local", len(answers), lab.arrived(other, *lab.everyone)
    )
    assert codes(answers) == {(400, "field_not_allowed")}
    assert other.connections + lab.connections(*lab.everyone) == 0


async def test_a_confidential_request_names_no_address_to_fetch(lab: Lab, other: OpenAISimulator, evidence: Evidence) -> None:
    asked = [(home, place, spelling) for home in ("home-openai", "home-ollama") for place in PLACES for spelling in SPELLINGS]
    bodies = [PLACES[place](SPELLINGS[spelling](f"{other.url}/a.png")) | {"model": home} for home, place, spelling in asked]

    answers = await lab.gather(bodies)

    evidence("address to fetch", "in each place and spelling, for servers of OpenAI's dialect and Ollama's", len(answers), lab.arrived(other, *lab.everyone))
    assert codes(answers) == {(400, "remote_url_not_allowed")}
    assert other.connections + lab.connections(*lab.everyone) == 0


async def test_a_field_that_nobody_publishes_reaches_no_local_server(lab: Lab, other: OpenAISimulator, evidence: Evidence) -> None:
    """vLLM, for one, has fields that name another host. What is translated leaves them out by itself."""
    fields = {"kv_transfer_params": {"remote_host": other.url}, "chat_template": other.url, "lora_request": {"path": other.url}}
    bodies = [
        {"model": f"home-{dialect}", "messages": [{"role": "user", "content": EMAIL}], name: value} for dialect in MODELS for name, value in fields.items()
    ]

    answers = [await lab.post(body, headers={"x-no-fallback": "true"}) for body in bodies]  # else what relays might come after

    arrived = sum(home.raw.count(other.url.encode()) for home in lab.homes.values()) * len(other.url)
    evidence("address to fetch", "in fields that OpenAI does not publish, each local dialect", len(answers), arrived + lab.arrived(other))
    assert {(answer.status, body["model"] == "home-openai") for answer, body in zip(answers, bodies, strict=True)} == {(400, True), (200, False)}
    assert arrived == 0
    assert other.connections + lab.connections() == 0


async def test_a_texts_address_arrives_as_a_text(lab: Lab, evidence: Evidence) -> None:
    """The control: addresses may stand in texts, and are sent to local servers."""
    said = "Compare https://example.com/a.png with the letter to " + EMAIL

    answers = [await lab.post({"model": f"home-{dialect}", "messages": [{"role": "user", "content": said}]}) for dialect in MODELS]

    evidence("control", "an address in a text arrives at each local dialect", len(answers), sum(home.saw(b"example.com/a.png") for home in lab.homes.values()))
    assert {answer.status for answer in answers} == {200}
    assert all(home.saw(b"example.com/a.png") for home in lab.homes.values())
