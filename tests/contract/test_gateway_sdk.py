"""Today's OpenAI SDK in front of the gateway, with every dialect behind it: what it reads is what it would read from OpenAI."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.contract.clients.environment import read
from tests.integration.gateway_server import serve
from tests.integration.test_chat_translate import DEPLOYMENTS, SIMULATORS
from tests.simulators import OpenAISimulator

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SPECS = {"openai": "model: openai/gpt, api_key: k"} | DEPLOYMENTS
SERVERS: dict[str, Any] = {"openai": OpenAISimulator} | SIMULATORS


@pytest.fixture(scope="module", params=SPECS)
def dialect(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    name: str = request.param
    folder: Path = tmp_path_factory.mktemp(name)
    with SERVERS[name](tag=name) as simulator:
        config = f"""
        deployments:
          m: {{{SPECS[name].format(fault="")}, api_base: "{simulator.base_url if name == "openai" else simulator.url}", clearance: confidential}}
        pools: {{local: [m]}}
        rules: [{{use: local}}]
        """
        with serve(folder, config) as gateway:
            yield name, f"{gateway.url}/v1"


def test_the_sdk_reads_answers_streams_tools_and_models(dialect: tuple[str, str]) -> None:
    name, url = dialect

    found = read("read_openai", url, "models", "chat", "stream", "stream_usage", "stream_async", "tools", "tools_streamed", "tool_round", "parse")

    said = f"[{name}] echo: hello wörld"
    assert found["models"] == ["auto", "local", "m"]
    assert found["chat"]["choices"][0]["message"]["content"] == said
    assert (found["stream"]["content"], found["stream"]["ids"], found["stream"]["finish"], found["stream"]["roles"]) == (said, 1, ["stop"], ["assistant"])
    assert found["stream"]["usage"] == []
    assert len(found["stream_usage"]["usage"]) == 1
    assert found["stream_usage"]["last_choices"] == 0
    assert found["stream_async"] == said
    assert [call["function"]["name"] for call in found["tools"]] == ["weather"]
    assert set(json.loads(found["tools"][0]["function"]["arguments"])) == {"city", "days"}
    assert found["tools_streamed"]["finish"] == "tool_calls"
    assert len({call[2] for call in found["tools_streamed"]["calls"]}) == 2
    assert found["tool_round"]
    assert set(found["parse"]) == {"city", "days"}
