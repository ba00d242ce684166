"""A second opinion is one more place where texts go: it gets them as a cleared place alone, and what it cannot read goes nowhere else."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from app.domain import Address, EgressPolicy
from app.providers.egress import Egress
from app.utils import logging
from tests.integration.gateway_server import serve
from tests.leakage.canaries import Canary, seen
from tests.leakage.lab import CHAT, held_by_files, refusals
from tests.simulators import NerSimulator, OllamaSimulator, OpenAISimulator

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from tests.integration.gateway_server import GatewayServer
    from tests.leakage.conftest import Evidence

MISSED = Canary("of no pattern", "Nightjar", "Nightjar")  # what the scanner has no word for, and a reader of meaning does
TEXT = f"Summarise in one line why {MISSED.value} is late."
FAULTS = [
    *("status-500", "status-429", "status-404", "echo-400", "html-502", "empty-500", "refuse", "hang", "stall-0", "cut-0", "reset-0", "endclean-0"),
    "malformed-0",
]
FAULTS += ["redirect-307", "slow-body-200", "gzip.malformed-0"]
ANSWERS: dict[str, Any] = {
    "an object": {},
    "nothing": "",
    "text": "none found",
    "an entity without a place": [{"entity_type": "PERSON", "score": 1}],
    "a place outside": [{"entity_type": "PERSON", "start": 0, "end": 10_000, "score": 1}],
    "a huge body": ["x" * 1024] * 8 * 1024,
}


class Place:
    """The gateway, a reader, a cloud that answers and embeds, a home, and everything that is written."""

    def __init__(self, gateway: GatewayServer, reader: NerSimulator, cloud: OpenAISimulator, home: OllamaSimulator, log: io.StringIO, folder: Any) -> None:
        self.gateway, self.reader, self.cloud, self.home, self.log, self.folder = gateway, reader, cloud, home, log, folder

    async def post(self, body: Any, path: str = CHAT) -> tuple[int, Any, bytes]:
        async with aiohttp.ClientSession() as http, http.post(f"{self.gateway.url}{path}", json=body) as response:
            return response.status, response.headers, await response.read()

    async def ask(self, text: str = TEXT, **more: Any) -> tuple[int, Any, bytes]:
        return await self.post({"model": "auto", "messages": [{"role": "user", "content": text}], **more})

    async def leaked(self) -> int:
        async with aiohttp.ClientSession() as http:
            metrics = await (await http.get(f"{self.gateway.url}/metrics")).read()
        sinks = (self.cloud.raw, metrics, self.log.getvalue().encode(), held_by_files([self.folder]))
        return sum(seen(MISSED, sink) for sink in sinks)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("second")
    log = io.StringIO()
    patch = pytest.MonkeyPatch()
    patch.setattr(logging._sink, "stream", log)
    patch.setattr(logging._sink, "threshold", 0)
    reader = NerSimulator({MISSED.value: "PERSON"})
    with reader, OpenAISimulator(tag="cloud") as cloud, OllamaSimulator(tag="home") as home:
        config = f"""
        deployments:
          cloud: {{model: openai/gpt, api_base: "{cloud.url}/v1", api_key: k, clearance: internal}}
          vectors: {{model: openai/text-embedding-3-small, api_base: "{cloud.url}/v1", api_key: k, clearance: internal}}
          home: {{model: ollama_chat/llama3.1, api_base: "{home.url}", num_ctx: 4096, clearance: confidential}}
        pools: {{cheap: [cloud], local: [home]}}
        rules: [{{when: {{label: confidential}}, use: local}}, {{use: cheap}}]
        search: {{embedder: vectors}}
        attempts: {{breaker: {{failures: 1000, calls: 1000}}}}
        scan: {{second_opinion: {{url: "{reader.base_url}", timeout_s: 0.5, max_chars: 2000}}}}
        """
        with serve(folder, config, cache_ttl=60, connect_timeout_s=1) as gateway:
            yield Place(gateway, reader, cloud, home, log, folder / "chroma")
    patch.undo()


@pytest.fixture
async def at(place: Place) -> AsyncIterator[Place]:
    """Nothing was asked, nothing is remembered, and the reader is well."""

    def begin() -> None:
        for simulator in (place.reader, place.cloud, place.home):
            simulator.clear()
            simulator.fault = None
        place.reader.answers = None
        opinion = place.gateway.parts.chat.second_opinion
        assert opinion is not None
        opinion._known.clear()

    begin()
    yield place
    begin()


async def test_the_scanner_alone_lets_it_pass(at: Place, evidence: Evidence) -> None:
    at.reader.finds = {}

    status, headers, _ = await at.ask()
    at.reader.finds = {MISSED.value: "PERSON"}

    evidence("control", "a word that no pattern knows does arrive where nobody reads it again", 1, seen(MISSED, at.cloud.raw))
    assert (status, headers["x-gateway-label"]) == (200, "public")
    assert seen(MISSED, at.cloud.raw)
    at.log.truncate(0)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
async def test_what_it_finds_reaches_the_reader_and_the_home_alone(at: Place, evidence: Evidence, *, stream: bool) -> None:
    before = at.cloud.connections
    answers = [await at.ask(stream=stream, model=model) for model in ("auto", "cloud", "cheap")]

    found = await at.leaked()
    evidence("second opinion", "a word that it alone knows, by rule and by name", len(answers), found)
    assert [(status, headers["x-gateway-label"], headers["x-gateway-findings"]) for status, headers, _ in answers] == [(200, "confidential", "person")] * 3
    assert {headers["x-gateway-cache"] for _, headers, _ in answers} == {"bypass"}
    assert (found, at.cloud.connections - before) == (0, 0)
    assert MISSED.value in at.reader.texts[0]
    assert at.home.saw(MISSED.value.encode())


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_reader_that_fails_leaves_the_request_confidential(at: Place, evidence: Evidence, fault: str) -> None:
    at.reader.fault, at.reader.redirect_to = fault, f"{at.cloud.url}/analyze"
    before = at.cloud.connections

    status, headers, _ = await at.ask()

    found = await at.leaked()
    evidence("second opinion", "a reader that is down, slow, cut, elsewhere, or no reader", 1, found)
    assert (status, headers["x-gateway-label"], headers["x-gateway-findings"]) == (200, "confidential", "second_opinion_unavailable")
    assert (found, at.cloud.connections - before) == (0, 0)


@pytest.mark.parametrize("answer", ANSWERS)
async def test_a_reader_that_answers_something_else_leaves_the_request_confidential(at: Place, evidence: Evidence, answer: str) -> None:
    at.reader.answers = ANSWERS[answer]

    status, headers, _ = await at.ask()

    found = await at.leaked()
    evidence("second opinion", "answers of another shape", 1, found)
    assert (status, headers["x-gateway-label"], headers["x-gateway-findings"]) == (200, "confidential", "second_opinion_unavailable")
    assert found == 0


async def test_a_text_that_is_too_long_is_read_by_nobody_and_confidential(at: Place, evidence: Evidence) -> None:
    status, headers, _ = await at.ask(TEXT + " word" * 500)

    found = await at.leaked()
    evidence("second opinion", "a text over max_chars", 1, found)
    assert (status, headers["x-gateway-label"], headers["x-gateway-findings"]) == (200, "confidential", "second_opinion_unavailable")
    assert (found, at.reader.texts) == (0, [])


@pytest.mark.parametrize(("path", "body"), [("/documents", {"documents": [{"text": "a"}, {"text": TEXT}]}), ("/search", {"query": TEXT})])
@pytest.mark.parametrize("fault", [None, "status-500"])
async def test_documents_and_queries_are_read_again_before_an_embedder_elsewhere(
    at: Place, evidence: Evidence, path: str, body: Any, fault: str | None
) -> None:
    at.reader.fault = fault

    status, _, answer = await at.post(body, path)

    found = await at.leaked()
    evidence("second opinion", "documents and queries before an embedder in the cloud", 1, found + seen(MISSED, answer))
    assert status == 403
    assert (found, seen(MISSED, answer)) == (0, 0)


async def test_the_dry_run_asks_too_and_says_what_the_real_run_does(at: Place) -> None:
    _, _, explained = await at.post({"model": "auto", "messages": [{"role": "user", "content": TEXT}]}, "/v1/route")
    _, headers, _ = await at.ask()

    told = json.loads(explained)
    assert (told["label"], told["label_reason"], told["plan"]["attempts"][0]["deployment"]) == ("confidential", "second_opinion", "home")
    assert told["findings"][0] | {"start": 0, "end": 0} == {"kind": "person", "tier": "likely", "position": "messages[0].content", "start": 0, "end": 0}
    assert headers["x-gateway-deployment"] == "home"
    assert len(at.reader.texts) == 1


async def test_what_the_scanner_finds_is_not_asked_for(at: Place) -> None:
    _, headers, _ = await at.ask("Write to henrietta.quackenbush@corvid-logistics.net.")

    assert headers["x-gateway-findings"] == "email"
    assert at.reader.texts == []


async def test_egress_refuses_a_reader_that_is_not_cleared_when_it_is_connected_to(at: Place, evidence: Evidence) -> None:
    wire, assembled = at.gateway.parts.wire, at.gateway.parts.assembled
    address = Address("http", "127.0.0.1", at.reader.port)
    before, connections = refusals(), at.reader.connections

    async def under(policy: EgressPolicy) -> tuple[int, Any, bytes]:
        wire.replace_egress(Egress(policy))
        try:
            return await at.ask()
        finally:
            wire.replace_egress(Egress(assembled.egress))

    without = {place: label for place, label in assembled.egress.clearances.items() if place != address}
    named = await under(EgressPolicy(without, assembled.egress.local_networks))
    # the peer is in no local network: neither is the home's, so that nobody can answer
    peer = await under(EgressPolicy(assembled.egress.clearances, ()))

    found = await at.leaked()
    evidence("second opinion", "an address or a peer that egress does not know", 2, found + len(at.reader.raw))
    assert (named[0], named[1]["x-gateway-label"], peer[1]["x-gateway-label"]) == (200, "confidential", "confidential")
    assert (found, at.reader.connections - connections, len(at.reader.raw)) == (0, 0, 0)
    assert refusals() - before >= 2


async def test_a_caller_that_leaves_takes_the_question_with_it(at: Place) -> None:
    at.reader.fault = "hang"
    async with aiohttp.ClientSession() as http:
        with pytest.raises(TimeoutError):
            await http.post(
                f"{at.gateway.url}{CHAT}", json={"model": "auto", "messages": [{"role": "user", "content": TEXT}]}, timeout=aiohttp.ClientTimeout(0.1)
            )
    at.reader.fault = None

    _, headers, _ = await at.ask("Say hello.")

    assert headers["x-gateway-label"] == "public"
    opinion = at.gateway.parts.chat.second_opinion
    assert opinion is not None
    await at.cloud.until(lambda: not opinion._slots.taken)


async def test_a_reader_that_fails_shows_in_readyz_and_in_the_metrics(at: Place) -> None:
    at.reader.fault = "status-500"
    await at.ask()
    async with aiohttp.ClientSession() as http:
        failing = await (await http.get(f"{at.gateway.url}/readyz")).json()
        metrics = await (await http.get(f"{at.gateway.url}/metrics")).text()
        at.reader.fault = None
        await at.ask("Say hello again.")
        well = await (await http.get(f"{at.gateway.url}/readyz")).json()

    assert failing["status"] == "degraded"
    assert failing["checks"]["second_opinion"] == "failing: what it is asked for is confidential"
    assert 'sluice_degraded{part="second_opinion"} 1.0' in metrics
    assert 'sluice_second_opinions_total{outcome="failed"}' in metrics
    assert well["checks"]["second_opinion"] == "ok"
