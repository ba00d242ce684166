from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from app.config.check import report
from app.config.gateway_file import load_gateway_file
from app.providers.catalog import load_catalog
from app.providers.deployments import load_configuration

if TYPE_CHECKING:
    from app.config.assembled import Assembled
    from app.config.specs import GatewayFile

SHIPPED = Path(__file__).parents[3] / "config" / "gateway.yaml"


def _report(**env: str) -> str:
    return report(*load_configuration(SHIPPED, env, load_catalog()))


def _line(text: str, start: str) -> str:
    return next(line for line in text.splitlines() if line.split()[:1] == [start])


def test_a_deployment_is_shown_with_address_clearance_window_and_price() -> None:
    line = _line(_report(OPENAI_API_KEY="hush"), "gpt-4o-mini")

    for part in ("openai/gpt-4o-mini", "relay", "https://api.openai.com:443", "internal", "128,000", "0.15", "0.6", "tools"):
        assert part in line


def test_what_is_inactive_is_shown_with_what_to_set() -> None:
    assert _line(_report(OPENAI_API_KEY="hush"), "llama").endswith("OLLAMA_BASE_URL is not set")


def test_pools_rules_and_the_closure_of_each_label_are_shown() -> None:
    text = _report(OPENAI_API_KEY="hush", OLLAMA_BASE_URL="http://127.0.0.1:11434")

    assert "cheap     gpt-4o-mini, claude-haiku (inactive)" in text
    assert "medium        complexity: medium   -> balanced" in text
    assert text.splitlines()[-4].split() == ["confidential", "llama"]


def test_no_key_is_shown() -> None:
    assert "hush" not in _report(OPENAI_API_KEY="hush", ANTHROPIC_API_KEY="hush")


def test_the_demo_model_is_shown_in_every_pool_while_nothing_is_active() -> None:
    text = _report()

    assert "demo/demo" in text
    assert text.count("(the demo model answers)") == 5


def test_warnings_are_shown() -> None:
    assert "can see images" in _report(OLLAMA_BASE_URL="http://127.0.0.1:11434")


@pytest.fixture
def assembled(tmp_path: Path) -> tuple[GatewayFile, Assembled]:
    path = tmp_path / "gateway.yaml"
    path.write_text(
        "deployments: {a: {model: openai/unheard-of, api_base: 'https://llm.example/v1', api_key: '', clearance: confidential}}\n"
        "rules: [{use: a}]\ntrusted_hosts: [llm.example]\nscan: {allow: [image]}\nsearch: {clearance: internal}\n",
    )
    return load_configuration(path, {}, load_catalog())


def test_what_is_not_known_is_a_question_mark(assembled: tuple[GatewayFile, Assembled]) -> None:
    assert _line(report(*assembled), "a").count("?") == 3


def test_the_other_settings_of_the_file_are_shown(assembled: tuple[GatewayFile, Assembled]) -> None:
    text = report(*assembled)

    for part in ("llm.example (by TLS)", "let through unscanned: image", "embedder builtin, collection up to internal", "fallback        none"):
        assert part in text


def test_the_report_is_made_of_the_file_alone_where_no_pool_is_written(assembled: tuple[GatewayFile, Assembled]) -> None:
    assert "\npools\n" not in report(*assembled)
    assert load_gateway_file(Path(assembled[0].path), {}).pools == {}
