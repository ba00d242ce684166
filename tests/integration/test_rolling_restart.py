"""A restart of two workers under load: everything that is asked meanwhile is answered, whole, and what takes longer than its grace is told so."""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING

import aiohttp

from tests.integration.test_command_line import serving
from tests.integration.test_reload_workers import children

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.simulators import OpenAISimulator

DEADLINE_S = 60
WORDS = 16
CONFIG = """\
deployments:
  steady: {{model: openai/gpt.words-{words}.slow-stream-50, api_base: "{url}/v1", clearance: confidential}}
  endless: {{model: openai/gpt.stall-2, api_base: "{url}/v1", clearance: confidential}}
  quick: {{model: openai/gpt, api_base: "{url}/v1", clearance: confidential}}
rules: [{{use: quick}}]
"""


class Load:
    """Asks the gateway for streams and answers, each on a connection of its own, until it is stopped."""

    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        self._chat = f"{url}/v1/chat/completions"
        self._session = session
        self._tasks: list[asyncio.Task[None]] = []
        self.begun = 0  # streams whose first byte is there
        self.streams: list[bytes] = []
        self.answers: list[int] = []

    async def run(self) -> None:
        """Begin a stream and ask for an answer ten times a second."""
        while True:
            self._tasks += [asyncio.create_task(self._stream()), asyncio.create_task(self._ask())]
            await asyncio.sleep(0.1)

    async def finish(self) -> None:
        """Wait for all that was begun. Raises what a connection that was refused or cut raised."""
        await asyncio.gather(*self._tasks)

    async def _stream(self) -> None:
        async with self._session.post(self._chat, json=body("steady", stream=True)) as answer:
            first = await answer.content.readany()
            self.begun += 1
            self.streams.append(first + await answer.content.read())

    async def _ask(self) -> None:
        async with self._session.post(self._chat, json=body("quick")) as answer:
            await answer.read()
            self.answers.append(answer.status)


def body(model: str, *, stream: bool = False) -> dict[str, object]:
    return {"model": model, "stream": stream, "messages": [{"role": "user", "content": "Say hello."}]}


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 -- processes set no event; the test's own deadline holds
        await asyncio.sleep(0.02)


async def test_a_rolling_restart_loses_nothing_that_its_grace_allows(tmp_path: Path, cloud: OpenAISimulator) -> None:
    (tmp_path / "gateway.yaml").write_text(CONFIG.format(url=cloud.url, words=WORDS))
    settings = {"WORKERS": "2", "GATEWAY_CONFIG": str(tmp_path / "gateway.yaml"), "SHUTDOWN_GRACE_S": "2", "RATE_LIMIT_PER_MINUTE": "0", "CACHE_TTL": "0"}
    with serving(tmp_path, **settings) as (url, process, log):
        async with asyncio.timeout(DEADLINE_S), aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True, limit=0)) as session:
            await until(lambda: len(children(process.pid)) == 2)
            old = set(children(process.pid))
            load = Load(url, session)
            endless = await session.post(f"{url}/v1/chat/completions", json=body("endless", stream=True))
            await endless.content.readuntil(b"\n\n")
            running = asyncio.create_task(load.run())
            await until(lambda: load.begun >= 5)

            process.send_signal(signal.SIGUSR1)
            await until(lambda: old.isdisjoint(children(process.pid)))
            running.cancel()
            await load.finish()
            cut = await endless.content.read()
            new = children(process.pid)

    assert len(new) == 2
    assert len(load.streams) > 2 * 5
    assert [stream for stream in load.streams if not stream.endswith(b"data: [DONE]\n\n") or stream.count(b'"content":') < WORDS] == []
    assert set(load.answers) == {200}
    assert b'"code":"shutting_down"' in cut.rpartition(b"data: ")[2]
    assert "Traceback" not in log.read_text()
