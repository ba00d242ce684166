"""Two gateways with one Redis: what one answered, the other has in its cache, and they count one limit."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.integration.gateway_server import serve
from tests.integration.redis_server import running_redis
from tests.integration.test_chat_relay import chat

if TYPE_CHECKING:
    from pathlib import Path

    import aiohttp

    from tests.simulators import OpenAISimulator


@pytest.mark.parametrize("stream", [False, True])
async def test_what_one_gateway_answered_the_other_has_in_its_cache(
    http: aiohttp.ClientSession, tmp_path: Path, cloud: OpenAISimulator, *, stream: bool
) -> None:
    config = f"""
    deployments:
      only: {{model: openai/gpt, api_base: "{cloud.url}/v1", api_key: k, clearance: confidential}}
    pools: {{local: [only]}}
    rules: [{{use: local}}]
    """
    settings = {"gateway_secret": "a-secret-of-both", "rate_limit_per_minute": 3}
    with (
        running_redis() as redis,
        serve(tmp_path, config, redis_url=redis.url, **settings) as one,
        serve(tmp_path, config, redis_url=redis.url, **settings) as two,
    ):
        asked = [await http.post(f"{gateway.url}/v1/chat/completions", json=chat(stream=stream)) for gateway in (one, two, one, two)]
        bodies = [await response.read() for response in asked]

    assert [response.headers.get("x-gateway-cache") for response in asked] == ["miss", "hit", "hit", None]
    assert bodies[0] == bodies[1] == bodies[2]
    assert asked[3].status == 429
    assert len(cloud.requests) == 1
