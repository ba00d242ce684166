"""What is at rest, and what is written of it: a collection below confidential holds nothing confidential on its disk; the page on privacy has the lists."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from app.policy import confidential
from tests.integration.gateway_server import serve
from tests.leakage.canaries import CANARIES
from tests.leakage.lab import held_by_files, leaks
from tests.leakage.test_canaries import STRONG
from tests.simulators.base import json_body

if TYPE_CHECKING:
    from collections.abc import Callable

    import aiohttp

    from tests.leakage.conftest import Evidence
    from tests.simulators import OpenAISimulator

ROOT = Path(__file__).parents[2]
LISTS = [("`data:`: the keys", ", at any"), ("OpenAI's published fields:", "\n\n"), ("Sampling fields of local servers:", "\n\n")]
CONFIG = """
    deployments:
      nobody: {{model: openai/gpt-4o-mini, api_base: "http://127.0.0.1:9/v1", api_key: k, clearance: confidential}}
    pools: {{local: [nobody]}}
    rules: [{{use: local}}]
    search: {{clearance: {clearance}}}
"""
PLACES: dict[str, Callable[[str], dict[str, Any]]] = {
    "text": lambda text: {"text": text},
    "metadata": lambda text: {"text": "A note.", "metadata": {"who": text}},
    "metadata key": lambda text: {"text": "A note.", "metadata": {text: "who"}},
    "among others": lambda text: {"text": "An ordinary sentence. " * 200 + text},
}


@pytest.mark.parametrize("clearance", ["internal", "confidential"])
async def test_chroma_holds_nothing_above_its_label(tmp_path: Path, http: aiohttp.ClientSession, evidence: Evidence, clearance: str) -> None:
    documents: list[Any] = [PLACES[place](CANARIES[kind].text) for kind in STRONG for place in PLACES]
    with serve(tmp_path, CONFIG.format(clearance=clearance)) as gateway:
        statuses = [(await http.post(f"{gateway.url}/documents", json={"documents": [document, {"text": "A harmless one."}]})).status for document in documents]
        ordinary = await http.post(f"{gateway.url}/documents", json={"documents": [{"text": "The only one that is kept."}]})
        files = held_by_files([tmp_path / "chroma"])

    found = leaks([CANARIES[kind] for kind in STRONG], {"Chroma's files": files})
    if clearance == "internal":
        evidence("documents", "each kind in text and metadata, a collection cleared for internal: its files", len(documents), sum(found.values()))
        assert set(statuses) == {403}
        assert found == {}
    else:
        evidence("control", "the same documents are in the files of a cleared collection", len(documents), 0)
        assert found
    assert ordinary.status == 201
    assert b"The only one that is kept." in files


async def test_a_document_store_is_reached_at_its_own_address_alone(
    tmp_path: Path,
    http: aiohttp.ClientSession,
    local: OpenAISimulator,
    cloud: OpenAISimulator,
    other: OpenAISimulator,
    monkeypatch: pytest.MonkeyPatch,
    evidence: Evidence,
) -> None:
    """A Chroma that redirects, and variables that name a proxy, lead nowhere."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "all_proxy"):
        monkeypatch.setenv(name, cloud.url)
    monkeypatch.setenv("NO_PROXY", "")
    monkeypatch.setattr(local, "answer", lambda request, _: json_body({}, 307, (("location", f"{other.url}{request.path}"),)))
    text = CANARIES["email"].text
    asked: list[tuple[str, Any]] = [("/documents", {"documents": [{"text": text}]}), ("/search", {"query": text})]
    with serve(tmp_path, CONFIG.format(clearance="confidential"), chroma_url=local.url) as gateway:
        statuses = [(await http.post(f"{gateway.url}{path}", json=body)).status for path, body in asked]

    evidence("documents", "a Chroma server that redirects, with a proxy in the environment", len(asked), len(cloud.raw) + len(other.raw))
    assert statuses == [503, 503]
    assert local.requests
    assert (cloud.connections, other.connections) == (0, 0)


def test_the_page_on_privacy_lists_what_a_confidential_request_may_carry() -> None:
    page = (ROOT / "docs/privacy.md").read_text().partition("## What a confidential request may carry")[2].partition("\n## ")[0]
    addresses, published, sampling = (set(re.findall(r"`(\w+)`", page.partition(start)[2].partition(end)[0])) for start, end in LISTS)

    assert addresses == confidential._URL_KEYS
    assert published == confidential.PUBLISHED
    assert set(re.findall(r"`(\w+)`", page.partition("(but under")[2].partition("), where")[0])) == confidential._TEXT_KEYS
    assert re.findall(r"`(\w+)`", page.partition("ends in")[2].partition(". A value")[0]) == list(confidential._URL_ENDINGS)
    assert sampling == confidential.SAMPLING
