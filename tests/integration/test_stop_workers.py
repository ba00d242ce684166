"""The end of several workers: readiness turns red at once, nobody connects to a door that nobody opens, and a wait for a balancer can be ended."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp
import pytest

from tests.integration.test_command_line import serving
from tests.integration.test_reload_workers import children
from tests.integration.test_rolling_restart import body, until

if TYPE_CHECKING:
    from tests.simulators import OpenAISimulator

DEADLINE_S = 60
AT_ONCE_S = 0.25  # a look at the workers every half second would be too late
CONFIG = 'deployments:\n  steady: {{model: openai/gpt.words-30.slow-stream-50, api_base: "{url}/v1", clearance: confidential}}\nrules: [{{use: steady}}]\n'


async def readiness(session: aiohttp.ClientSession, url: str) -> int | None:
    try:
        async with session.get(f"{url}/readyz") as answer:
            return answer.status
    except aiohttp.ClientConnectorError:
        return None


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("signals", [(signal.SIGTERM, signal.SIGTERM), (signal.SIGINT,)])
async def test_workers_end_as_one_process_does(tmp_path: Path, cloud: OpenAISimulator, signals: tuple[signal.Signals, ...]) -> None:
    (tmp_path / "gateway.yaml").write_text(CONFIG.format(url=cloud.url))
    settings = {"WORKERS": "2", "GATEWAY_CONFIG": str(tmp_path / "gateway.yaml"), "DRAIN_DELAY_S": "600", "RATE_LIMIT_PER_MINUTE": "0"}
    with serving(tmp_path, **settings) as (url, process, log):
        async with asyncio.timeout(DEADLINE_S), aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as session:
            await until(lambda: len(children(process.pid)) == 2)
            stream = await session.post(f"{url}/v1/chat/completions", json=body("steady", stream=True))
            await stream.content.readuntil(b"\n\n")

            process.send_signal(signals[0])
            if len(signals) > 1:
                await asyncio.sleep(AT_ONCE_S)
                assert {await readiness(session, url) for _ in range(8)} == {503}
                process.send_signal(signals[1])
            while await readiness(session, url) is not None:  # noqa: ASYNC110 -- a process sets no event; a connection that nobody accepts would hang
                await asyncio.sleep(0.02)
            refused_while_served = process.poll() is None
            said = await stream.content.read()
            await until(lambda: process.poll() is not None)

    assert refused_while_served
    assert said.endswith(b"data: [DONE]\n\n")
    assert process.returncode == 0
    assert "Traceback" not in log.read_text()


async def test_workers_whose_supervisor_is_gone_end_when_they_have_served_what_they_began(tmp_path: Path, cloud: OpenAISimulator) -> None:
    (tmp_path / "gateway.yaml").write_text(CONFIG.format(url=cloud.url))
    with serving(tmp_path, WORKERS="2", GATEWAY_CONFIG=str(tmp_path / "gateway.yaml")) as (url, process, _):
        async with asyncio.timeout(DEADLINE_S), aiohttp.ClientSession() as session:
            await until(lambda: len(children(process.pid)) == 2)
            workers = children(process.pid)
            stream = await session.post(f"{url}/v1/chat/completions", json=body("steady", stream=True))
            await stream.content.readuntil(b"\n\n")

            process.kill()

            assert (await stream.content.read()).endswith(b"data: [DONE]\n\n")
            await until(lambda: not any(is_running(worker) for worker in workers))
