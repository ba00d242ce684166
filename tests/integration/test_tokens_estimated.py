"""A gateway whose package lacks the published vocabularies serves, and says so."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING

import pytest

from app import assessing
from app.policy.vocabulary import Vocabularies
from app.utils import logging
from app.utils.monitoring import DEGRADED
from tests.integration.gateway_server import serve

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import aiohttp

CONFIG = """
deployments:
  home: {model: openai/gpt-4o-mini, api_base: "http://127.0.0.1:9/v1", clearance: confidential}
rules:
  - {use: home}
"""


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    stream = io.StringIO()
    logging.configure("info", readable=False, stream=stream)
    yield stream
    logging.configure("info", readable=False)


async def test_missing_vocabularies_are_told_once_in_the_log_by_readyz_and_in_the_metric(
    tmp_path: Path, http: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch, log: io.StringIO
) -> None:
    (tmp_path / "none").mkdir()
    monkeypatch.setattr(assessing, "_VOCABULARIES", Vocabularies(tmp_path / "none"))

    with serve(tmp_path, CONFIG) as gateway:
        async with http.get(f"{gateway.url}/readyz") as answer:
            ready = await answer.json()
        async with http.get(f"{gateway.url}/readyz"):
            told = DEGRADED.labels("tokens")._value.get()

    assert (answer.status, ready["status"]) == (200, "degraded")
    assert ready["checks"]["tokens"] == "Tokens are estimated: LiteLLM's package lacks o200k_base and cl100k_base."
    assert told == 1
    events = [json.loads(line)["event"] for line in log.getvalue().splitlines()]
    assert events.count("tokens_estimated") == 1


async def test_with_the_vocabularies_there_is_nothing_to_tell(tmp_path: Path, http: aiohttp.ClientSession, log: io.StringIO) -> None:
    with serve(tmp_path, CONFIG) as gateway:
        async with http.get(f"{gateway.url}/readyz") as answer:
            ready = await answer.json()

    assert (ready["status"], ready["checks"]["tokens"], DEGRADED.labels("tokens")._value.get()) == ("ok", "ok", 0)
    assert "tokens_estimated" not in log.getvalue()
