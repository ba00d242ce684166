"""The README's session before simulated providers comes out as it is written there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.integration.gateway_server import serve
from tests.simulators import OllamaSimulator, OpenAISimulator

if TYPE_CHECKING:
    import aiohttp

ROOT = Path(__file__).parents[2]
SECTION = (ROOT / "README.md").read_text().split("## Try everything without a provider")[1].split("\n## ")[0]
STEPS = re.findall(r"^\$ ask '(.+)'\n((?:[^$`].*\n)*)", SECTION, flags=re.MULTILINE)


async def test_the_session_comes_out_as_written(http: aiohttp.ClientSession, tmp_path: Path) -> None:
    assert len(STEPS) == 4
    with OpenAISimulator() as cloud, OllamaSimulator() as local:
        config = (ROOT / "tests/simulators/gateway.yaml").read_text().replace("http://127.0.0.1:9101", cloud.url).replace("http://127.0.0.1:9106", local.url)
        with serve(tmp_path, config, rate_limit_per_minute=20) as gateway:
            for place, (body, expected) in enumerate(STEPS):
                if place == len(STEPS) - 1:
                    cloud.kill()
                response = await http.post(f"{gateway.url}/v1/chat/completions", data=body, headers={"Content-Type": "application/json"})
                shown = "".join(f"{name}: {value}\n" for name, value in response.headers.items()) + await response.text()
                for line in expected.splitlines():
                    assert line in shown
            codes = [(await http.get(f"{gateway.url}/v1/models")).status for _ in range(20)]
        assert len(cloud.requests) == 1
        assert not cloud.saw(b"4111")

    assert " ".join(map(str, codes)) in SECTION


@pytest.mark.parametrize("document", sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]), ids=lambda path: path.name)
def test_what_a_document_links_to_is_there(document: Path) -> None:
    links = re.findall(r"\]\((?!https?://|#|mailto:)([^)#]+)", document.read_text())

    assert [link for link in links if not (document.parent / link).exists()] == []
