from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from app.config.check import as_json, reached_by, report
from app.config.gateway_file import load_gateway_file
from app.domain import Label
from app.providers.build import build
from app.providers.catalog import load_catalog
from app.providers.deployments import load_configuration

if TYPE_CHECKING:
    from app.config.assembled import Assembled
    from app.config.known import Known
    from app.config.specs import GatewayFile

SHIPPED = Path(__file__).parents[3] / "config" / "gateway.yaml"


def _known(file: GatewayFile) -> dict[str, Known]:
    return {name: build(spec, file, load_catalog()).known for name, spec in file.deployments.items()}


def _report(**env: str) -> str:
    file, assembled = load_configuration(SHIPPED, env, load_catalog())
    return report(file, assembled, _known(file))


def _line(text: str, start: str) -> str:
    return next(line for line in text.splitlines() if line.split()[:1] == [start])


def test_a_deployment_is_shown_with_clearance_who_reaches_it_credentials_window_and_price() -> None:
    text = _report(OPENAI_API_KEY="hush")

    assert re.search(r"gpt-4o-mini +openai/gpt-4o-mini +relay +internal +public, internal +OPENAI_API_KEY +128,000 +0.15 +0.6\n", text)
    assert re.search(r"gpt-4o-mini +https://api.openai.com:443 +files, images, .*tools\n", text)


def test_what_is_inactive_is_shown_with_what_is_known_and_what_to_set() -> None:
    text = _report(OPENAI_API_KEY="hush")

    assert re.search(r"claude-haiku +anthropic/claude-haiku-4-5 +translate +internal +public, internal +missing: ANTHROPIC_API_KEY +200,000 +1 +5\n", text)
    assert re.search(r"llama +inactive +json_object", text)
    assert "llama          OLLAMA_BASE_URL is not set" in text


def test_pools_rules_and_the_closure_of_each_label_are_shown() -> None:
    text = _report(OPENAI_API_KEY="hush", OLLAMA_BASE_URL="http://127.0.0.1:11434")

    assert "cheap     gpt-4o-mini, claude-haiku (inactive)" in text
    assert "medium        complexity: medium   -> balanced" in text
    assert text.splitlines()[-4].split() == ["confidential", "llama"]


def test_how_a_pool_chooses_is_shown(tmp_path: Path) -> None:
    path = tmp_path / "gateway.yaml"
    path.write_text(
        "deployments:\n  a: {model: openai/a, api_base: https://h/v1}\n  b: {model: openai/b, api_base: https://h/v1}\n"
        "pools:\n"
        "  plain: [a, b]\n"
        "  canary: {members: [{use: b, share: 5%}, a], hedge: true}\n"
        "  trial: {experiment: tone, members: [{use: a, arm: old, weight: 3}, {use: b, arm: new, weight: 1}]}\n"
        "  thrift: {members: [a, b], choose: cheapest}\n"
        "rules:\n  - {when: {label: confidential}, reject: 'No.'}\n  - {use: plain}\n"
    )

    text = report(*load_configuration(path, {}, load_catalog()), {})

    assert [re.split(" {2,}", line.strip()) for line in text.partition("\npools\n")[2].partition("\n\n")[0].splitlines()] == [
        ["plain", "a, b"],
        ["canary", "b (share 5%), a", "hedge"],
        ["trial", "a (arm old, weight 3), b (arm new, weight 1)", "experiment tone, weighted, sticky"],
        ["thrift", "a, b", "cheapest"],
    ]


def test_no_key_is_shown() -> None:
    assert "hush" not in _report(OPENAI_API_KEY="hush", ANTHROPIC_API_KEY="hush")


def test_the_demo_model_is_shown_in_every_pool_while_nothing_is_active() -> None:
    text = _report()

    assert "demo/demo" in text
    assert text.count("(the demo model answers)") == 5


def test_warnings_doubts_and_problems_are_shown() -> None:
    file, assembled = load_configuration(SHIPPED, {}, load_catalog())

    assert report(file, assembled, {}, ["it is broken"], ["it may be"]).endswith("warnings\n  it may be\n\nproblems\n  it is broken")
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
    assert _line(report(*assembled, _known(assembled[0])), "a").count("?") == 3


def test_the_other_settings_of_the_file_are_shown(assembled: tuple[GatewayFile, Assembled]) -> None:
    text = report(*assembled, {})

    for part in ("llm.example (by TLS)", "let through unscanned: image", "embedder builtin, collection up to internal", "fallback        none"):
        assert part in text


def test_the_report_is_made_of_the_file_alone_where_no_pool_is_written(assembled: tuple[GatewayFile, Assembled]) -> None:
    assert "\npools\n" not in report(*assembled, {})
    assert load_gateway_file(Path(assembled[0].path), {}).pools == {}


def test_json_holds_the_same_and_no_key() -> None:
    file, assembled = load_configuration(SHIPPED, {"OPENAI_API_KEY": "hush", "OLLAMA_BASE_URL": "http://127.0.0.1:11434"}, load_catalog())

    told = as_json(file, assembled, _known(file), ["it is broken"])
    mini, haiku = told["deployments"]["gpt-4o-mini"], told["deployments"]["claude-haiku"]

    assert (mini["active"], mini["address"], mini["reached_by"]) == (True, "https://api.openai.com:443", ["public", "internal"])
    assert mini["credentials"] == {"given": ["OPENAI_API_KEY"], "missing": [], "in_file": False}
    assert mini["price_per_million_usd"]["output"] == pytest.approx(0.6)
    assert (haiku["active"], haiku["address"], haiku["inactive_because"]) == (False, None, "ANTHROPIC_API_KEY is not set")
    assert haiku["credentials"]["missing"] == ["ANTHROPIC_API_KEY"]
    assert told["labels"]["confidential"] == ["llama"]
    assert told["problems"] == ["it is broken"]
    assert told["rules"][0] == {"rule": "confidential", "when": "label: confidential", "use": "local", "reject": None, "line": told["rules"][0]["line"]}
    assert "hush" not in str(told)


def test_json_says_null_for_what_is_not_known(assembled: tuple[GatewayFile, Assembled]) -> None:
    told = as_json(*assembled, {})["deployments"]["a"]

    assert (told["lane"], told["context_window"], told["price_per_million_usd"]) == (None, None, None)


def test_every_label_that_can_reach_a_deployment_is_told() -> None:
    file, _ = load_configuration(SHIPPED, {}, load_catalog())

    assert reached_by(file)["llama"] == tuple(Label)
    assert reached_by(file)["gpt-4o"] == (Label.PUBLIC, Label.INTERNAL)
