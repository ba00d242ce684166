"""What is remembered of decisions, to answer the same bytes again without reading them: nothing of a confidential request, and no text of any."""

from __future__ import annotations

import gc
import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.gateway_server import serve
from tests.leakage.canaries import CANARIES
from tests.leakage.lab import CHAT, leaks
from tests.leakage.test_canaries import STRONG, WEAK
from tests.simulators import OpenAISimulator

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    import aiohttp

    from app.gateway.chat import ChatGateway
    from tests.integration.gateway_server import GatewayServer
    from tests.leakage.conftest import Evidence

PUBLIC = "harmless"
SAID = {PUBLIC: "Say hello to everybody."} | {kind: canary.text for kind, canary in CANARIES.items()}
KEYS = {kind: f"a-key-of-the-tenant-{number:02}" for number, kind in enumerate(SAID)}  # a tenant each, so that no mark of one keeps another from being recalled
TIMES = 3  # the first answer is stored, the second comes from the cache and is decided over, the third is recalled


def held_by(roots: Iterable[Any], but: Iterable[Any]) -> bytes:
    """Return every text and every bytes that can be reached from `roots`, but through classes and what is in `but`."""
    passed = {id(each) for each in but}
    held: list[bytes] = []
    rest = list(roots)
    while rest:
        each = rest.pop()
        if id(each) in passed or isinstance(each, type):
            continue
        passed.add(id(each))
        if isinstance(each, str):
            held.append(each.encode("utf-8", "surrogatepass"))
        elif isinstance(each, bytes | bytearray):
            held.append(bytes(each))
        rest.extend(gc.get_referents(each))
    return b"\n".join(held)


def remembered(chat: ChatGateway) -> bytes:
    """Return what the memo holds beside the configuration, which was there before any request."""
    kept = dict(chat.decisions._kept)
    assert all(decision.table is chat.table and decision.assessor is chat.assessor for decision in kept.values())
    return held_by([kept], but=[chat.table, chat.assessor])


async def say(http: aiohttp.ClientSession, gateway: GatewayServer, kind: str, *, stream: bool) -> list[str]:
    """Say it several times; return what became of each in the cache."""
    body = json.dumps({"model": "auto", "messages": [{"role": "user", "content": SAID[kind]}], "stream": stream})
    headers = {"authorization": f"Bearer {KEYS[kind]}", "content-type": "application/json"}
    states = []
    for _ in range(TIMES):
        async with http.post(f"{gateway.url}{CHAT}", data=body, headers=headers) as response:
            await response.read()
            assert response.status == 200
            states.append(response.headers["x-gateway-cache"])
    return states


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
async def test_what_is_confidential_is_never_decided_over_by_its_bytes(
    tmp_path: Path, http: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch, evidence: Evidence, *, stream: bool
) -> None:
    keys = ",".join(f"{kind}:{key}" for kind, key in KEYS.items())
    with OpenAISimulator(tag="cloud") as cloud, OpenAISimulator(tag="local") as local:
        config = f"""
        deployments:
          cloud: {{model: openai/gpt, api_base: "{cloud.url}/v1", api_key: k, clearance: internal}}
          home: {{model: openai/llama, api_base: "{local.url}/v1", clearance: confidential}}
        pools: {{inside: [cloud], local: [home]}}
        rules: [{{when: {{label: confidential}}, use: local}}, {{use: inside}}]
        """
        with serve(tmp_path, config, gateway_api_keys=keys, cache_ttl=60) as gateway:
            chat = gateway.parts.chat
            confidential = [state for kind in STRONG for state in await say(http, gateway, kind, stream=stream)]
            nothing = len(chat.decisions)
            recalled: list[str] = []
            note_replay = type(chat).note_replay

            def noting(self: ChatGateway, decision: Any, *given: Any) -> None:
                recalled.append(decision.rule)
                note_replay(self, decision, *given)

            monkeypatch.setattr(type(chat), "note_replay", noting)
            public = await say(http, gateway, PUBLIC, stream=stream)
            served = len(recalled)
            only = [decision.facts.label.name for decision in chat.decisions._kept.values()]
            weak = [state for kind in sorted(WEAK) for state in await say(http, gateway, kind, stream=stream)]
            found = leaks(CANARIES.values(), {"the memo": remembered(chat)})

    evidence("memo of decisions", "each kind three times, each of its own tenant; its keys and values", len(confidential) + len(weak), sum(found.values()))
    evidence("control", "the memo serves a public request that is sent again", TIMES, served)
    assert set(confidential) == {"bypass"}
    assert nothing == 0
    assert (public, only) == (["miss", "hit", "hit"], ["PUBLIC"])
    assert weak == ["miss", "hit", "hit"] * len(WEAK)  # internal, and so decided over by their bytes: no text of them is kept either
    assert (served, len(recalled)) == (1, 1 + len(WEAK))
    assert found == {}


async def test_nothing_of_a_head_is_kept_by_which_a_caller_is_known_again(tmp_path: Path, http: aiohttp.ClientSession, evidence: Evidence) -> None:
    key = "a-key-that-is-nobodys-business"
    with OpenAISimulator(tag="cloud") as cloud:
        config = f"""
        deployments: {{cloud: {{model: openai/gpt, api_base: "{cloud.url}/v1", api_key: k, clearance: confidential}}}}
        pools: {{all: [cloud]}}
        rules: [{{use: all}}]
        """
        with serve(tmp_path, config, gateway_api_keys=f"one:{key}", cache_ttl=60) as gateway:
            body = json.dumps({"model": "auto", "messages": [{"role": "user", "content": SAID[PUBLIC]}]})
            plain = {"authorization": f"Bearer {key}", "content-type": "application/json"}
            for canary in CANARIES.values():
                for _ in range(TIMES):
                    async with http.post(f"{gateway.url}{CHAT}", data=body, headers={**plain, "x-note": canary.value}) as response:
                        assert response.status == 200
            known = gateway.parts.shortcut._known
            held = held_by([dict(known)], but=[])

    found = leaks(CANARIES.values(), {"what is known of heads": held})
    evidence(
        "memo of heads", "each kind in a header of a caller's own, three times: what a process remembers of heads", len(CANARIES) * TIMES, sum(found.values())
    )
    assert len(known) == len(CANARIES)
    assert found == {}
    assert key.encode() not in held


def test_a_text_deep_in_what_is_remembered_is_seen() -> None:
    """The control of the search."""
    canary = CANARIES["email"]

    assert leaks([canary], {"memo": held_by([{b"name": ((canary.text,), [1])}], but=[])})
    assert leaks([canary], {"memo": held_by([{canary.value.encode(): None}], but=[])})
