"""The gateway among cloud providers of every dialect, which must not see what is confidential, and local ones of every dialect, which may."""

from __future__ import annotations

import asyncio
import contextlib
import io
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
import redis
from prometheus_client import REGISTRY

from app.utils import logging
from tests.integration.gateway_server import GatewayServer, serve
from tests.integration.redis_server import RedisServer, running_redis
from tests.leakage.canaries import seen
from tests.simulators import BEDROCK_CREDENTIALS, DIALECTS, OpenAISimulator

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from tests.leakage.canaries import Canary
    from tests.simulators import Simulator

CHAT = "/v1/chat/completions"
MODELS = {
    "openai": "model: openai/gpt-4o-mini, api_key: k",
    "anthropic": "model: anthropic/claude-sonnet-4-5, api_key: k",
    "gemini": "model: gemini/gemini-2.5-flash, api_key: k",
    "bedrock": "model: bedrock/amazon.nova-pro-v1:0, aws_region_name: us-east-1, "
    f"aws_access_key_id: {BEDROCK_CREDENTIALS.access_key_id}, aws_secret_access_key: {BEDROCK_CREDENTIALS.secret_access_key}",
    "cohere": "model: cohere_chat/command-r, api_key: k",
    "ollama": "model: ollama_chat/llama3.1, num_ctx: 4096",
}


def api_base(simulator: Simulator) -> str:
    return f"{simulator.url}/v1" if simulator.dialect == "openai" else simulator.url


def configuration(clouds: Mapping[str, Simulator], homes: Mapping[str, Simulator], public: Simulator) -> str:
    """Return a gateway.yaml: each cloud cleared for internal, each home for confidential, and one cloud for public alone."""
    lines = [f'  cloud-{name}: {{{MODELS[name]}, api_base: "{api_base(to)}", clearance: internal}}' for name, to in clouds.items()]
    lines += [f'  home-{name}: {{{MODELS[name]}, api_base: "{api_base(to)}", clearance: confidential}}' for name, to in homes.items()]
    inside, local = (", ".join(f"{where}-{name}" for name in MODELS) for where in ("cloud", "home"))
    return "\n".join(
        [
            "deployments:",
            *lines,
            f'  cloud-public: {{model: openai/gpt-open, api_base: "{public.url}/v1", api_key: k, clearance: public}}',
            f"pools: {{open: [cloud-public], inside: [{inside}], local: [{local}], long: [cloud-openai]}}",
            "rules:",
            "  - {name: confidential, when: {label: confidential}, use: local}",
            "  - {name: internal, when: {label: internal}, use: inside}",
            "  - {name: default, use: open}",
            "fallback: local",
            "attempts: {breaker: {failures: 1000000, calls: 1000000}}",  # each request meets the fault anew
        ]
    )


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def label(self) -> str:
        return self.headers.get("x-gateway-label", "")


@dataclass
class Lab:
    """Everything runs in this process but Redis. `places` are folders whose files are sinks."""

    gateway: GatewayServer
    clouds: dict[str, Simulator]
    homes: dict[str, Simulator]
    public: Simulator
    redis: RedisServer
    log: io.StringIO
    places: list[Path]
    _known: dict[str, int] = field(default_factory=dict)  # connections of each simulator when it was told to forget

    @property
    def everyone(self) -> list[Simulator]:
        return [*self.clouds.values(), *self.homes.values(), self.public]

    def connections(self, *simulators: Simulator) -> int:
        """Return how often these were connected to; any cloud by default."""
        return sum(simulator.connections - self._known[simulator.url] for simulator in simulators or (*self.clouds.values(), self.public))

    def arrived(self, *simulators: Simulator) -> int:
        """Return how many bytes came to these; to any cloud by default."""
        return sum(len(simulator.raw) for simulator in simulators or (*self.clouds.values(), self.public))

    def forget(self) -> None:
        for simulator in self.everyone:
            simulator.clear()
            simulator.fault = None
            self._known[simulator.url] = simulator.connections

    def set_fault(self, fault: str | None) -> None:
        for home in self.homes.values():
            home.fault = fault

    async def post(self, body: Mapping[str, Any], *, path: str = CHAT, headers: Mapping[str, str] | None = None) -> Answer:
        async with aiohttp.ClientSession() as http:
            response = await http.post(f"{self.gateway.url}{path}", json=body, headers=headers)
            content = b""
            with contextlib.suppress(aiohttp.ClientPayloadError):  # a stream that was cut
                content = await response.read()
            return Answer(response.status, {name.lower(): value for name, value in response.headers.items()}, content)

    async def gather(self, bodies: Iterable[Mapping[str, Any]], *, at_once: int = 12, path: str = CHAT) -> list[Answer]:
        gate = asyncio.Semaphore(at_once)

        async def one(body: Mapping[str, Any]) -> Answer:
            async with gate:
                return await self.post(body, path=path)

        return await asyncio.gather(*(one(body) for body in bodies))

    async def metrics(self) -> bytes:
        async with aiohttp.ClientSession() as http:
            return await (await http.get(f"{self.gateway.url}/metrics")).read()

    async def sinks(self) -> dict[str, bytes]:
        """Return what everything holds that must hold nothing confidential."""
        return {
            "the log": self.log.getvalue().encode(),
            "the metrics": await self.metrics(),
            "Redis": held_by_redis(self.redis.url),
            "files": held_by_files(self.places),
            **{f"cloud {name}": received(cloud) for name, cloud in self.clouds.items()},
            "the public cloud": received(self.public),
        }


def received(simulator: Simulator) -> bytes:
    """Return everything that arrived, as it came and with JSON's escapes and HTTP's framing taken off."""
    bodies = b"".join(request.body for request in list(simulator.requests))
    return simulator.raw + bodies + bodies.decode(errors="replace").encode().decode("unicode_escape", errors="replace").encode(errors="replace")


def held_by_redis(url: str) -> bytes:
    """Return every key and every value, whatever its type, as Redis would serialise it and plain."""
    with redis.Redis.from_url(url) as client:
        held = []
        for key in client.scan_iter("*", count=1000):
            held.append(bytes(key))
            match client.type(key):
                case b"string":
                    held.append(client.get(key) or b"")
                case b"hash":
                    held += [part for pair in client.hgetall(key).items() for part in pair]
                case b"list":
                    held += client.lrange(key, 0, -1)
                case b"set":
                    held += list(client.smembers(key))
                case b"zset":
                    held += client.zrange(key, 0, -1)
                case other:
                    raise AssertionError(f"a {other!r} in Redis: say here how to read it")
        return b"\n".join(held)


def held_by_files(places: Iterable[Path]) -> bytes:
    files = [file for place in places for file in sorted(place.rglob("*")) if file.is_file()]
    return b"\n".join(file.name.encode() + b"\n" + file.read_bytes() for file in files)


def leaks(canaries: Iterable[Canary], held: Mapping[str, bytes]) -> dict[str, int]:
    """Return how many bytes of which canary are where; empty is what everybody wants."""
    found = {f"{canary.kind} in {name}": seen(canary, content) for name, content in held.items() for canary in canaries}
    return {where: size for where, size in found.items() if size}


def refusals() -> float:
    """Return how many connections egress has refused to confidential requests."""
    return REGISTRY.get_sample_value("sluice_egress_refused_total", {"label": "confidential"}) or 0.0


@contextlib.contextmanager
def running_lab(folder: Path, **settings: Any) -> Iterator[Lab]:
    log = io.StringIO()
    temporary = folder / "tmp"
    temporary.mkdir()
    with contextlib.ExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        patch.setattr(logging._sink, "stream", log)
        patch.setattr(logging._sink, "threshold", 0)
        patch.setenv("TMPDIR", str(temporary))
        patch.setattr("tempfile.tempdir", None)
        server = stack.enter_context(running_redis())
        clouds = {name: stack.enter_context(kind(tag=f"cloud-{name}")) for name, kind in DIALECTS.items()}
        homes = {name: stack.enter_context(kind(tag=f"home-{name}")) for name, kind in DIALECTS.items()}
        public: Simulator = stack.enter_context(OpenAISimulator(tag="public"))
        given = {"redis_url": server.url, "gateway_secret": "a-secret-of-the-tests", "rate_limit_per_minute": 1_000_000, "connect_timeout_s": 1} | settings
        gateway = stack.enter_context(serve(folder, configuration(clouds, homes, public), **given))
        yield Lab(gateway, clouds, homes, public, server, log, [temporary, folder / "chroma"])
