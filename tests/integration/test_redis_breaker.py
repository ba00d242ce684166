"""Two gateways, this process and another, with one Redis: a deployment that one of them found failing rests at the other too, until its rest is over."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING

from tests.integration.gateway_server import serve
from tests.integration.redis_server import running_redis
from tests.integration.test_chat_relay import chat
from tests.integration.test_command_line import serving

if TYPE_CHECKING:
    from pathlib import Path

    import aiohttp

    from tests.simulators import OpenAISimulator

DEADLINE_S = 30
COOLDOWN_S = 3  # each process looks once a second what the others told
CONFIG = """\
deployments:
  ill: {{model: openai/gpt, api_base: "{cloud.url}/v1", clearance: confidential}}
  well: {{model: openai/gpt, api_base: "{other.url}/v1", clearance: confidential}}
pools: {{both: [ill, well]}}
rules: [{{use: both}}]
attempts: {{retries: 0, wait_s: 0, breaker: {{failures: 3, cooldown_s: {cooldown_s}}}}}
"""


async def ask(http: aiohttp.ClientSession, url: str, model: str = "auto") -> aiohttp.ClientResponse:
    headers = {} if model == "auto" else {"x-no-fallback": "true"}
    async with http.post(f"{url}/v1/chat/completions", json=chat(model=model), headers=headers) as answer:
        await answer.read()
        return answer


async def rests(http: aiohttp.ClientSession, url: str) -> bool:
    async with http.get(f"{url}/metrics") as answer:
        return re.search(r'^sluice_breaker_open\{deployment="ill"\} 1\.0$', await answer.text(), re.MULTILINE) is not None


async def test_what_failed_three_times_at_one_process_the_other_asks_only_when_its_rest_is_over(
    http: aiohttp.ClientSession, tmp_path: Path, cloud: OpenAISimulator, other: OpenAISimulator
) -> None:
    config, path, secret = CONFIG.format(cloud=cloud, other=other, cooldown_s=COOLDOWN_S), tmp_path / "gateway.yaml", "a-secret-of-both-processes"
    (tmp_path / "two").mkdir()
    environment = {"GATEWAY_CONFIG": str(path), "GATEWAY_SECRET": secret, "CACHE_TTL": "0", "RATE_LIMIT_PER_MINUTE": "0"}
    with (
        running_redis() as redis,
        serve(tmp_path, config, redis_url=redis.url, gateway_secret=secret, cache_ttl=0) as here,
        serving(tmp_path / "two", REDIS_URL=redis.url, **environment) as (there, _, _),
    ):
        async with asyncio.timeout(DEADLINE_S):
            cloud.fault = "status-500"
            failed = [await ask(http, here.url, "ill") for _ in range(4)]
            while not await rests(http, there):  # noqa: ASYNC110 -- another process sets no event
                await asyncio.sleep(0.02)
            cloud.fault = None
            heard = (len(cloud.requests), cloud.connections)
            named, fallen = await ask(http, there, "ill"), await ask(http, there)
            heard_then = (len(cloud.requests), cloud.connections)
            while (again := await ask(http, there)).headers["x-gateway-deployment"] != "ill":  # noqa: ASYNC110 -- likewise
                await asyncio.sleep(0.02)
            healed = await ask(http, here.url, "ill")

    assert [answer.status for answer in failed] == [502, 502, 502, 503]
    assert heard_then == heard == (3, heard[1])
    assert (named.status, fallen.status, fallen.headers["x-gateway-deployment"]) == (503, 200, "well")
    assert 1 <= int(named.headers["retry-after"]) <= COOLDOWN_S
    assert (again.status, healed.status, len(cloud.requests)) == (200, 200, 5)
    assert cloud.requests[3].at - cloud.requests[2].at > COOLDOWN_S - 0.01  # what is told has milliseconds
