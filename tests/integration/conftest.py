"""Servers that the integration tests share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import aiohttp
import pytest

from tests.simulators import OpenAISimulator

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator


@pytest.fixture
def cloud() -> Iterator[OpenAISimulator]:
    with OpenAISimulator(tag="cloud") as simulator:
        yield simulator


@pytest.fixture
def other() -> Iterator[OpenAISimulator]:
    with OpenAISimulator(tag="other") as simulator:
        yield simulator


@pytest.fixture
def local() -> Iterator[OpenAISimulator]:
    """A local server that speaks OpenAI's dialect (llama.cpp, vLLM)."""
    with OpenAISimulator(tag="local") as simulator:
        yield simulator


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session
