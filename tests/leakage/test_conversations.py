"""A conversation that was confidential goes on locally, and what a provider sealed goes back to that provider alone."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.gateway_server import serve
from tests.integration.redis_server import running_redis
from tests.leakage.lab import CHAT, held_by_files, held_by_redis
from tests.simulators import OpenAISimulator
from tests.simulators.script import Body, Stream

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import aiohttp

    from tests.integration.gateway_server import GatewayServer
    from tests.leakage.conftest import Evidence
    from tests.simulators.faults import Faults
    from tests.simulators.server import Received

CANARY = "zanzibar-quokka"  # no pattern finds it: only what is remembered keeps it here
SAID = f"The plan called {CANARY} is to buy the mill before the harvest is in."
ANSWER = f"Then {CANARY} needs the consent of both banks before the first of May."
GO_ON = {"role": "user", "content": "Go on."}
CARD = "My card is 4111 1111 1111 1111, please keep it for the next order."
NO_BREAK = chr(0xA0)
SEAL = "EqQBCgIYAhIM" + "c2lnbmF0dXJl" * 6
LATER: list[Any] = [  # what the confidential turn left in the next ones
    {"role": "assistant", "content": ANSWER},
    f"  {SAID.upper()} ",
    {"role": "user", "content": [{"type": "text", "text": "So:"}, {"type": "text", "text": ANSWER.replace(" ", NO_BREAK)}]},
    {"role": "system", "content": SAID},
]


class Sealing(OpenAISimulator):
    """Gives a sealed thought with each answer."""

    seal = SEAL

    def chat(self, request: Received, faults: Faults) -> Body | Stream:
        answer = super().chat(request, faults)
        if isinstance(answer, Stream):
            chunk = {"id": "c", "object": "chat.completion.chunk", "choices": [{"index": 0, "delta": {"encrypted_content": self.seal}, "finish_reason": None}]}
            return replace(answer, chunks=[answer.chunks[0], b"data: " + json.dumps(chunk).encode() + b"\n\n", *answer.chunks[1:]])
        whole = json.loads(answer.content)
        whole["choices"][0]["message"]["encrypted_content"] = self.seal
        return replace(answer, content=json.dumps(whole).encode())


@pytest.fixture
def cloud() -> Iterator[Sealing]:
    with Sealing(tag="cloud") as simulator:
        yield simulator


@pytest.fixture
def local() -> Iterator[Sealing]:
    with Sealing(tag="local") as simulator:
        yield simulator


def configuration(cloud: OpenAISimulator, other: OpenAISimulator, local: OpenAISimulator, scan: str = "{}") -> str:
    return f"""
    deployments:
      one: {{model: openai/gpt, api_base: "{cloud.url}/v1", api_key: k, clearance: internal}}
      two: {{model: openai/gpt, api_base: "{other.url}/v1", api_key: k, clearance: internal}}
      home: {{model: openai/llama, api_base: "{local.url}/v1", clearance: confidential}}
    pools: {{inside: [one, two], local: [home]}}
    rules: [{{when: {{label: confidential}}, use: local}}, {{use: inside}}]
    fallback: local
    scan: {scan}
    """


async def ask(http: aiohttp.ClientSession, gateway: GatewayServer, *messages: Any, stream: bool = False, path: str = CHAT, **asked: Any) -> tuple[str, bytes]:
    """Return the label and the answer."""
    headers = {"x-sensitivity": asked.pop("hint")} if "hint" in asked else {}
    said = [{"role": "user", "content": message} if isinstance(message, str) else message for message in messages]
    response = await http.post(f"{gateway.url}{path}", json={"model": "auto", "messages": said, "stream": stream} | asked, headers=headers)
    body = await response.read()
    assert response.status == 200, body
    return response.headers.get("x-gateway-label") or json.loads(body)["label"], body


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("redis_is", ["up", "down", "paused"])
async def test_a_conversation_stays_local_when_its_first_turns_are_gone(
    http: aiohttp.ClientSession,
    tmp_path: Path,
    cloud: Sealing,
    other: OpenAISimulator,
    local: Sealing,
    evidence: Evidence,
    redis_is: str,
    *,
    stream: bool,
) -> None:
    local.says = ANSWER
    config = configuration(cloud, other, local)
    settings: dict[str, Any] = {"gateway_secret": "a-secret-of-the-tests"}
    with (
        running_redis() as redis,
        serve(tmp_path, config, redis_url=redis.url, **settings) as one,
        serve(tmp_path, config, redis_url=redis.url, **settings) as two,
    ):
        if redis_is == "down":
            redis.stop()
        elif redis_is == "paused":
            redis.pause()
        await ask(http, one, SAID, hint="confidential", stream=stream)
        later = two if redis_is == "up" else one
        labels = [(await ask(http, later, turn, GO_ON, stream=stream))[0] for turn in LATER]
        ready = await (await http.get(f"{later.url}/readyz")).json()
        route = json.loads((await ask(http, later, SAID, path="/v1/route"))[1])
        if redis_is == "paused":
            redis.resume()
        held = held_by_redis(redis.url) if redis_is != "down" else b""
        metrics = await (await http.get(f"{later.url}/metrics")).read()

    seen = sum(text.count(CANARY.encode()) for text in (cloud.raw, other.raw, held, metrics))
    evidence("conversation", f"later turns without the confidential one, on another replica, Redis {redis_is}", len(labels), len(CANARY) * seen)
    assert labels == ["confidential"] * 4
    assert cloud.connections + other.connections == 0
    assert seen == 0
    assert ready["checks"]["taint"] == ("ok" if redis_is == "up" else "degraded")
    assert route["label_reason"] == "conversation"


async def test_a_hard_finding_makes_the_conversation_stay(http: aiohttp.ClientSession, tmp_path: Path, cloud: Sealing, other: Sealing, local: Sealing) -> None:
    local.says = ANSWER
    with serve(tmp_path, configuration(cloud, other, local)) as gateway:
        await ask(http, gateway, CARD)
        later = await ask(http, gateway, {"role": "assistant", "content": ANSWER}, GO_ON)

    assert later[0] == "confidential"
    assert cloud.connections + other.connections == 0


async def test_what_a_confidential_conversation_said_is_embedded_and_stored_nowhere_below_it(
    http: aiohttp.ClientSession, tmp_path: Path, cloud: Sealing, other: OpenAISimulator, local: Sealing, evidence: Evidence
) -> None:
    local.says = ANSWER
    embedder = f'      vectors: {{model: openai/text-embedding-3-small, api_base: "{cloud.url}/v1", api_key: k, clearance: internal}}\n      home:'
    config = configuration(cloud, other, local).replace("      home:", embedder).replace("    fallback:", "    search: {embedder: vectors}\n    fallback:")
    documents: list[Any] = [{"text": SAID}, {"text": ANSWER}, {"text": "A note.", "metadata": {"why": f" {SAID.upper()}"}}]
    asked: list[tuple[str, Any]] = [("/documents", {"documents": [document]}) for document in documents]
    asked += [("/search", {"query": ANSWER}), ("/search", {"query": "What was it?", "filter": {"why": SAID}})]
    with serve(tmp_path, config) as gateway:
        await ask(http, gateway, SAID, hint="confidential")
        statuses = [(await http.post(f"{gateway.url}{path}", json=body)).status for path, body in asked]
        ordinary = (await http.post(f"{gateway.url}/documents", json={"documents": [{"text": "An ordinary note."}]})).status
        files = held_by_files([tmp_path / "chroma"])

    seen = (cloud.raw + files).count(CANARY.encode())
    evidence("conversation", "what it said, as documents and queries before an embedder in the cloud", len(asked), len(CANARY) * seen)
    assert (statuses, ordinary) == ([403] * 5, 201)
    assert seen == 0
    assert b"An ordinary note." in cloud.raw


async def test_arguments_that_a_confidential_answer_calls_with_are_known(
    http: aiohttp.ClientSession, tmp_path: Path, cloud: Sealing, other: OpenAISimulator, local: Sealing
) -> None:
    tool = {"type": "function", "function": {"name": "buy", "parameters": {"type": "object", "properties": {"what": {"enum": [SAID]}}}}}
    with serve(tmp_path, configuration(cloud, other, local)) as gateway:
        _, body = await ask(http, gateway, SAID, hint="confidential", tools=[tool], tool_choice="required")
        call = json.loads(body)["choices"][0]["message"]["tool_calls"][0]
        call["function"]["arguments"] = json.dumps(json.loads(call["function"]["arguments"]), indent=1)
        result = {"role": "tool", "tool_call_id": call["id"], "content": "done"}
        label, _ = await ask(http, gateway, {"role": "assistant", "content": None, "tool_calls": [call]}, result)

    assert (label, len(call["function"]["arguments"]) >= 40) == ("confidential", True)


async def test_what_is_not_remembered_goes_where_it_would_have_gone(
    http: aiohttp.ClientSession, tmp_path: Path, cloud: Sealing, other: OpenAISimulator, local: Sealing
) -> None:
    """The control: a system prompt that conversations share, what was only explained, and other conversations."""
    shared = {"role": "system", "content": "You are a patient assistant to the people of the Example Corporation."}
    local.says = "Yes."
    with serve(tmp_path, configuration(cloud, other, local)) as gateway:
        await ask(http, gateway, shared, "Hello.", hint="confidential")
        await ask(http, gateway, SAID, hint="confidential", path="/v1/route")
        labels = [(await ask(http, gateway, *turn))[0] for turn in ((shared, GO_ON), (SAID,))]

    assert labels == ["public", "public"]
    assert CANARY.encode() in cloud.raw


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
async def test_a_sealed_thought_goes_back_to_who_sealed_it_alone(
    http: aiohttp.ClientSession, tmp_path: Path, cloud: Sealing, other: OpenAISimulator, local: Sealing, evidence: Evidence, *, stream: bool
) -> None:
    sealed = {"role": "assistant", "content": "I see.", "encrypted_content": SEAL}
    with serve(tmp_path, configuration(cloud, other, local), cache_ttl=0) as gateway:
        await ask(http, gateway, "Hello.", stream=stream)
        cloud.clear()
        back = await ask(http, gateway, "Hello.", sealed, GO_ON, stream=stream)
        returned = cloud.raw.count(SEAL.encode())
        cloud.fault = "status-500"
        fallen_back = await ask(http, gateway, "Hello.", sealed, GO_ON, stream=stream)
        raised = await ask(http, gateway, "Hello.", sealed, CARD, stream=stream)

    elsewhere = other.raw.count(SEAL.encode()) + local.raw.count(SEAL.encode())
    evidence("sealed thought", "by fallback and by label at who did not seal it", 3, len(SEAL) * elsewhere)
    assert (back[0], fallen_back[0], raised[0]) == ("public", "public", "confidential")
    assert returned == 1
    assert elsewhere == 0
    assert other.connections > 0
    assert local.connections > 0


async def test_what_a_local_model_sealed_reaches_no_cloud(
    http: aiohttp.ClientSession, tmp_path: Path, cloud: Sealing, other: OpenAISimulator, local: Sealing, evidence: Evidence
) -> None:
    cloud.seal = "another" + SEAL
    sealed = {"role": "assistant", "content": "I see.", "encrypted_content": SEAL}
    with serve(tmp_path, configuration(cloud, other, local)) as gateway:
        await ask(http, gateway, "Hello.", model="home")
        label, _ = await ask(http, gateway, "Hello.", sealed, GO_ON)

    evidence("sealed thought", "what a local model sealed, in a turn that goes to the cloud", 1, len(SEAL) * cloud.raw.count(SEAL.encode()))
    assert label == "public"
    assert cloud.connections > 0
    assert SEAL.encode() not in cloud.raw


@pytest.mark.parametrize(("scan", "label"), [("{}", "confidential"), ("{allow: [blob]}", "public")])
async def test_a_sealed_thought_that_nobody_here_sealed_is_confidential(
    http: aiohttp.ClientSession, tmp_path: Path, cloud: Sealing, other: OpenAISimulator, local: Sealing, scan: str, label: str
) -> None:
    with serve(tmp_path, configuration(cloud, other, local, scan)) as gateway:
        told, _ = await ask(http, gateway, "Hello.", {"role": "assistant", "content": "I see.", "encrypted_content": SEAL}, GO_ON)

    assert told == label
    assert (SEAL.encode() in cloud.raw) == (label == "public")
