from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from app.assessing import check_scan
from app.config.check import as_json, report
from app.config.closure import reachable
from app.config.faults import ConfigError
from app.config.gateway_file import load_gateway_file
from app.config.second_opinion import opinion_rows
from app.domain import Address, Label, Tier
from app.providers.catalog import load_catalog
from app.providers.deployments import assemble, load_configuration

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from app.config.assembled import Assembled
    from app.config.specs import GatewayFile

BASE = """\
deployments:
  cloud: {model: openai/gpt-4o-mini, api_key: k}
  home: {model: ollama_chat/llama3.1, api_base: "${HOME_URL}", clearance: confidential}
  vectors: {model: openai/text-embedding-3-small, api_base: http://127.0.0.1:9/v1, clearance: confidential}
rules: [{when: {label: confidential}, use: home}, {use: cloud}]
"""
HOME = {"HOME_URL": "http://127.0.0.1:11434"}
URL = "url: http://127.0.0.1:5002/analyze"


def section(text: str, more: str = "") -> str:
    return f"{BASE}scan: {{second_opinion: {{{text}}}}}\n{more}"


def assembled(load: Callable[..., GatewayFile], text: str, more: str = "", **env: str) -> Assembled:
    return assemble(load(section(text, more), **(HOME | env)), load_catalog())


def test_without_the_section_nobody_is_asked(load: Callable[..., GatewayFile]) -> None:
    file = load(BASE, **HOME)

    assert file.scan.second_opinion is None
    assert assemble(file, load_catalog()).second_opinion is None


def test_every_key_is_read(load: Callable[..., GatewayFile]) -> None:
    keys = (
        "labels: public, kinds: {person: hard, NRP: ignore, Steuer_ID: likely}, timeout_s: 2.5, max_chars: 5000, concurrency: 8, min_score: 0.6, language: de"
    )
    spec = load(section(f"{URL}, {keys}"), **HOME).scan.second_opinion

    assert spec is not None
    assert spec.labels == {Label.PUBLIC}
    assert (spec.timeout_s, spec.max_chars, spec.concurrency, spec.min_score, spec.language) == (2.5, 5000, 8, 0.6, "de")
    assert (spec.kinds["PERSON"], spec.kinds["NRP"], spec.kinds["STEUER_ID"], spec.kinds["URL"]) == (Tier.HARD, None, Tier.LIKELY, None)


def test_a_server_may_be_sent_confidential_texts_and_is_no_deployment(load: Callable[..., GatewayFile]) -> None:
    made = assembled(load, URL)

    assert made.second_opinion is not None
    assert made.second_opinion.base_url == "http://127.0.0.1:5002/analyze"
    assert made.egress.clearances[Address("http", "127.0.0.1", 5002)] is Label.CONFIDENTIAL
    assert "second_opinion" not in made.table.deployments


def test_a_deployment_is_the_one_of_the_table(load: Callable[..., GatewayFile]) -> None:
    made = assembled(load, "deployment: home, kinds: {PERSON: hard}")

    assert made.second_opinion is made.table.deployments["home"]


def test_the_kinds_of_a_model_are_those_alone_that_are_named(load: Callable[..., GatewayFile]) -> None:
    spec = load(section("deployment: home, kinds: {PLAN: hard}"), **HOME).scan.second_opinion

    assert spec is not None
    assert spec.kinds == {"PLAN": Tier.HARD}


def test_what_is_found_may_be_given_a_label(load: Callable[..., GatewayFile]) -> None:
    check_scan(load(f"{BASE}scan: {{second_opinion: {{{URL}}}, labels: {{person: internal, entity: internal}}}}", **HOME))

    with pytest.raises(ConfigError, match="second_opinion_unavailable"):
        check_scan(load(f"{BASE}scan: {{second_opinion: {{{URL}}}, labels: {{second_opinion_unavailable: public}}}}", **HOME))


def test_whom_a_label_reaches_holds_the_second_opinion(load: Callable[..., GatewayFile]) -> None:
    reached = reachable(load(section("deployment: home, labels: [internal]"), **HOME))

    without = reachable(load(BASE, **HOME))
    assert "home" in reached[Label.INTERNAL]
    assert reached[Label.PUBLIC] == without[Label.PUBLIC]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "needs either `deployment`"),
        (f"deployment: home, {URL}", "needs either `deployment`"),
        ("deployment: cloud", "cloud is cleared for internal alone, and whatever it is to read may be confidential; name a deployment with"),
        ("deployment: hom", 'names an unknown deployment "hom"; did you mean "home"?'),
        ("deployment: ''", "deployment is empty"),
        ("deployment: home, min_score: 0.5", "min_score is for `url`"),
        ("deployment: home, language: en", "language is for `url`"),
        ("url: 'http://ner.example.com/analyze'", "ner.example.com is a public name; add it to trusted_hosts"),
        ("url: 'http://8.8.8.8/analyze'", "8.8.8.8 is in none of local_networks"),
        ("url: 'http://169.254.169.254/analyze'", "is in none of local_networks"),
        ("url: 'ftp://127.0.0.1/analyze'", "url must start with http:// or https://"),
        ("url: 'http://u:p@127.0.0.1/analyze'", "holds a user name or password"),
        ("url: '${NER_URL}'", "NER_URL is not set"),
        (f"{URL}, labels: [confidential]", "names confidential, above which there is nothing"),
        (f"{URL}, labels: []", "is an empty list"),
        (f"{URL}, labels: secret", 'labels: "secret" is not known'),
        (f"{URL}, kinds: {{PERSON: sure}}", "is not known"),
        (f"{URL}, kinds: {{'a b': hard}}", "a key of kinds must be an entity"),
        ("deployment: home, kinds: {PERSON: ignore}", "leaves nothing to be found"),
        (f"{URL}, timeout_s: 0", "must be more than 0"),
        (f"{URL}, max_chars: 0", "must be at least 1"),
        (f"{URL}, concurrency: 0", "must be at least 1"),
        (f"{URL}, min_score: 1.5", "must be between 0 and 1"),
        (f"{URL}, language: English!", "must be a language as the server names it"),
        (f"{URL}, tiemout_s: 1", "did you mean"),
    ],
)
def test_what_cannot_be_is_refused_by_line(faults: Callable[..., list[str]], text: str, sentence: str) -> None:
    found = faults(section(text), **HOME)

    assert all(fault.startswith("6: ") for fault in found)
    assert sentence in found[0]


def test_a_host_of_ones_own_is_trusted_by_tls(load: Callable[..., GatewayFile]) -> None:
    made = assembled(load, "url: 'https://ner.example.com/analyze'", "trusted_hosts: [ner.example.com]\n")

    assert made.egress.clearances[Address("https", "ner.example.com", 443)] is Label.CONFIDENTIAL


def test_an_inactive_deployment_is_refused_for_nobody_could_give_the_opinion(load: Callable[..., GatewayFile]) -> None:
    with pytest.raises(ConfigError, match=r"6: second_opinion: home is inactive: HOME_URL is not set"):
        assembled(load, "deployment: home", HOME_URL="")


def test_an_embedding_model_is_refused(load: Callable[..., GatewayFile]) -> None:
    with pytest.raises(ConfigError, match="vectors is an embedding model and answers no chats"):
        assembled(load, "deployment: vectors")


def test_a_deployment_with_a_fault_of_its_own_has_that_one_alone(tmp_path: Path) -> None:
    (tmp_path / "gateway.yaml").write_text(section("deployment: home").replace("${HOME_URL}", "nowhere"))

    with pytest.raises(ConfigError) as caught:
        load_configuration(tmp_path / "gateway.yaml", {}, load_catalog())

    assert not any("second_opinion" in fault.sentence for fault in caught.value.faults)


def test_a_deployment_below_its_clearance_at_the_servers_address_is_warned_of(load: Callable[..., GatewayFile]) -> None:
    made = assembled(load, "url: http://127.0.0.1:9000/analyze", "").warnings
    shared = assemble(load(section("url: https://api.openai.com/analyze", "trusted_hosts: [api.openai.com]\n"), **HOME), load_catalog()).warnings

    assert not any("share" in warning for warning in made)
    assert any("second_opinion (confidential)" in warning and ":6:" in warning for warning in shared)


def test_check_says_who_reads_what_and_that_labels_reach_it(load: Callable[..., GatewayFile]) -> None:
    file = load(section(f"{URL}, labels: [internal], kinds: {{NRP: ignore}}"), **HOME)
    made = assemble(file, load_catalog())

    (row, kinds) = opinion_rows(file.scan, made.second_opinion)
    assert row == (
        "second opinion",
        "http://127.0.0.1:5002/analyze reads what is internal; 100,000 characters, 5 s, 4 at a time; confidential where it cannot",
    )
    assert "nrp: ignore" in kinds[1]
    assert "second_opinion (http://127.0.0.1:5002/analyze)" in report(file, made, {})
    assert as_json(file, made, {})["labels"]["internal"][-1] == "second_opinion (http://127.0.0.1:5002/analyze)"
    assert not any("second_opinion" in name for name in as_json(file, made, {})["labels"]["public"])


def test_check_names_a_deployment_that_reads(load: Callable[..., GatewayFile]) -> None:
    file = load(section("deployment: home"), **HOME)

    rows = opinion_rows(file.scan, assemble(file, load_catalog()).second_opinion)

    assert rows[0][1].startswith("home at http://127.0.0.1:11434 reads what is public and internal; 16,000 characters, 30 s")


def test_the_file_is_read_where_the_section_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "gateway.yaml").write_text(f"{BASE}scan: {{second_opinion: 1}}\n")

    with pytest.raises(ConfigError, match="must be a mapping"):
        load_gateway_file(tmp_path / "gateway.yaml", HOME)
