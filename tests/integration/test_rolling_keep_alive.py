"""A restart of two workers under callers that keep their connections: each is told on which answer its connection ends, and no request is lost."""

from __future__ import annotations

import asyncio
import json
import signal
import time
from typing import TYPE_CHECKING, Any

import aiohttp

from tests.integration.test_command_line import serving
from tests.integration.test_reload_workers import children
from tests.integration.test_rolling_restart import CONFIG, DEADLINE_S, body, until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.simulators import OpenAISimulator

WORDS = 4
LATE_S = 0.2  # a worker that leaves waits 0.25 s for one more request (http_protocol.py)


class Caller:
    """Asks one thing again and again on one connection, for as long as that is kept. Tries nothing twice."""

    def __init__(self, url: str, model: str, *, stream: bool = False, pause_s: float) -> None:
        self._url = f"{url}/v1/chat/completions"
        self._body = body(model, stream=stream)
        self._pause_s = pause_s
        self.statuses: set[int] = set()
        self.answers: list[bytes] = []
        self.opened = self.reused = 0  # connections, and requests on one that was there
        self.told = 0  # answers that said that they were a connection's last
        self.late = 0  # pauses after which a connection may have been closed

    async def run(self, enough: asyncio.Event) -> None:
        """Ask until there is enough. Raises what a request raised that was refused, or whose answer was cut."""
        trace = aiohttp.TraceConfig()
        trace.on_connection_create_end.append(self._note_opened)
        trace.on_connection_reuseconn.append(self._note_reused)
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=1), trace_configs=[trace]) as session:
            while not enough.is_set():
                async with session.post(self._url, json=self._body) as answer:
                    self.answers.append(await answer.read())
                    self.statuses.add(answer.status)
                    self.told += answer.headers.get("connection") == "close"
                idle_since = time.monotonic()
                await asyncio.sleep(self._pause_s)
                self.late += time.monotonic() - idle_since > LATE_S

    async def _note_opened(self, *_: Any) -> None:
        self.opened += 1

    async def _note_reused(self, *_: Any) -> None:
        self.reused += 1


async def test_a_rolling_restart_loses_no_request_on_a_connection_that_was_kept(tmp_path: Path, cloud: OpenAISimulator) -> None:
    (tmp_path / "gateway.yaml").write_text(CONFIG.format(url=cloud.url, words=WORDS))
    settings = {"WORKERS": "2", "GATEWAY_CONFIG": str(tmp_path / "gateway.yaml"), "RATE_LIMIT_PER_MINUTE": "0", "CACHE_TTL": "0"}
    with serving(tmp_path, **settings) as (url, process, log):
        whole = [Caller(url, "quick", pause_s=0.15) for _ in range(3)]
        streamed = [Caller(url, "steady", stream=True, pause_s=0.05) for _ in range(3)]
        callers, enough = [*whole, *streamed], asyncio.Event()
        async with asyncio.timeout(DEADLINE_S), asyncio.TaskGroup() as group:
            await until(lambda: len(children(process.pid)) == 2)
            old = set(children(process.pid))
            for caller in callers:
                group.create_task(caller.run(enough))
            await until(lambda: all(caller.reused for caller in callers))

            process.send_signal(signal.SIGUSR1)
            await until(lambda: old.isdisjoint(children(process.pid)))
            counts = [len(caller.answers) for caller in callers]
            await until(lambda: all(len(caller.answers) > count for caller, count in zip(callers, counts, strict=True)))
            enough.set()

    assert {status for caller in callers for status in caller.statuses} == {200}
    assert {json.loads(answer)["choices"][0]["finish_reason"] for caller in whole for answer in caller.answers} == {"stop"}
    cut = [answer for caller in streamed for answer in caller.answers if not answer.endswith(b"data: [DONE]\n\n") or answer.count(b'"content":') < WORDS]
    assert cut == []
    assert [caller.reused + caller.opened for caller in callers] == [len(caller.answers) for caller in callers]
    assert any(caller.told or caller.late for caller in whole)
    assert any(caller.told or caller.late for caller in streamed)
    assert [(caller.opened, caller.told, caller.late) for caller in callers if caller.opened > 1 + caller.told + caller.late] == []
    assert "Traceback" not in log.read_text()
