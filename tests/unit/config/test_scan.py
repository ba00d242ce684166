from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from app.assessing import assessor_of, check_scan
from app.config.check import report
from app.config.faults import ConfigError
from app.config.gateway_file import load_gateway_file
from app.domain import Hints, Label, Tier
from app.providers.catalog import load_catalog
from app.providers.deployments import assemble

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from app.config.settings import Settings
    from app.config.specs import GatewayFile

BASE = "deployments: {a: {model: openai/a}}\nrules: [{use: a}]\n"
SCAN = BASE + (
    "scan:\n"
    "  allow: [image]\n"
    "  default: internal\n"
    "  labels: {weak: public, project: confidential}\n"
    "  allow_values: [support@acme.io]\n"
    "  allow_domains: ['@Help.example']\n"
    "  patterns:\n"
    "    - {kind: ticket, regex: 'PRJ-\\d{4}', tier: likely}\n"
    "  words:\n"
    "    project: [Blue Falcon]\n"
    "    customer: {file: customers.txt}\n"
)


def test_every_key_is_read(load: Callable[..., GatewayFile], tmp_path: Path) -> None:
    (tmp_path / "customers.txt").write_text("# ours\n\nMüller GmbH\n", encoding="utf-8")

    scan = load(SCAN).scan

    assert scan.allow == {"image"}
    assert scan.default is Label.INTERNAL
    assert scan.labels == {"weak": Label.PUBLIC, "project": Label.CONFIDENTIAL}
    assert (scan.allow_values, scan.allow_domains) == (("support@acme.io",), ("help.example",))
    assert [(spec.kind, spec.regex, spec.tier, spec.line) for spec in scan.patterns] == [("ticket", r"PRJ-\d{4}", Tier.LIKELY, 10)]
    assert scan.words == (("project", "Blue Falcon"), ("customer", "Müller GmbH"))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("{default: secret}", 'default: "secret" is not known'),
        ("{labels: {weak: secret}}", 'the label of weak: "secret" is not known'),
        ("{labels: {'no good': public}}", "a key of labels must be a kind"),
        ("{allow_values: [x]}", "an entry of allow_values must have 2 to 200 characters"),
        ("{allow_values: ['']}", "is empty"),
        ("{allow_domains: [jane@acme.io]}", "must be a domain such as example.com"),
        ("{allow_domains: ['']}", "is empty"),
        ("{patterns: [{kind: a}]}", "needs `kind` and `regex`"),
        ("{patterns: [{kind: A, regex: a}]}", "kind must be a kind such as"),
        ("{patterns: [{kind: a, regex: a, tier: sure}]}", 'tier: "sure" is not known'),
        ("{words: {a: {}}}", "must be a list, or {file: NAME}"),
        ("{words: {A: [word]}}", "a key of words must be a kind"),
        ("{words: {a: {file: missing.txt}}}", "cannot be read (No such file"),
        ("{words: {a: {file: ''}}}", "file is empty"),
        ("{words: {a: ['..']}}", "a letter or digit among them"),
    ],
)
def test_what_the_section_cannot_hold_is_refused(faults: Callable[..., list[str]], text: str, sentence: str) -> None:
    (fault,) = faults(f"{BASE}scan: {text}")

    assert fault.startswith("3: ")
    assert sentence in fault


def test_a_file_of_words_is_refused_by_its_own_line(load: Callable[..., GatewayFile], tmp_path: Path) -> None:
    (tmp_path / "w.txt").write_text("good\nx\n")

    with pytest.raises(ConfigError, match=r"w\.txt:2: a word must have"):
        load(f"{BASE}scan: {{words: {{a: {{file: w.txt}}}}}}")


def test_a_file_of_words_that_is_no_text_is_refused(load: Callable[..., GatewayFile], tmp_path: Path) -> None:
    (tmp_path / "w.txt").write_bytes(b"\xff\xfe")

    with pytest.raises(ConfigError, match="is not UTF-8"):
        load(f"{BASE}scan: {{words: {{a: {{file: w.txt}}}}}}")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("labels: {emial: public}", ':4: labels names "emial", which is no tier and no kind that anything finds; did you mean "email"?'),
        ("patterns: [{kind: a, regex: 'x(?=y)'}]", ":4: regex is not taken by Hyperscan: Zero-width assertions are not supported."),
        ("patterns: [{kind: a, regex: '^x'}]", r":4: regex cannot use ^ or $"),
    ],
)
def test_what_the_scanner_cannot_take_is_refused_by_line(load: Callable[..., GatewayFile], text: str, sentence: str) -> None:
    file = load(f"{BASE}scan:\n  {text}\n")

    with pytest.raises(ConfigError) as caught:
        check_scan(file)

    assert sentence in str(caught.value)


def test_a_rule_for_a_kind_that_nothing_finds_is_refused_with_the_nearest(load: Callable[..., GatewayFile]) -> None:
    rule = "rules: [{name: r, when: {findings: [email, emial]}, use: a}, {use: a}]"
    assert "rules: [{use: a}]" in BASE

    with pytest.raises(ConfigError, match=r'r: findings names "emial", which is no kind that anything finds; did you mean "email"'):
        check_scan(load(BASE.replace("rules: [{use: a}]", rule)))
    check_scan(load(BASE.replace("rules: [{use: a}]", rule.replace("emial", "project")) + "scan: {words: {project: [Falcon]}}\n"))


def test_the_report_counts_values_and_words(tmp_path: Path) -> None:
    (tmp_path / "customers.txt").write_text("Müller GmbH", encoding="utf-8")
    local = "{model: openai/a, api_base: 'http://127.0.0.1:9', api_key: '', clearance: confidential}"
    (tmp_path / "gateway.yaml").write_text(SCAN.replace("{model: openai/a}", local))
    file = load_gateway_file(tmp_path / "gateway.yaml", {})

    text = report(file, assemble(file, load_catalog()), {})

    for part in ("weak: public, project: confidential", "default       internal", "ticket (likely)", "project (1), customer (1)", "1 values, @help.example"):
        assert part in text
    assert "Falcon" not in text


def test_the_assessor_is_the_one_that_the_file_describes(load: Callable[..., GatewayFile], tmp_path: Path, bare_settings: Settings) -> None:
    (tmp_path / "customers.txt").write_text("Müller GmbH", encoding="utf-8")
    assessor = assessor_of(bare_settings, load(SCAN))

    def label(text: str) -> tuple[Label, tuple[str, ...]]:
        facts = assessor.assess({"messages": [{"role": "user", "content": text}]}, Hints())
        return facts.label, facts.kinds

    assert label("hello") == (Label.INTERNAL, ())
    assert label("write to support@acme.io or a.b@eu.help.example") == (Label.INTERNAL, ())
    assert label("write to jane@acme.io") == (Label.CONFIDENTIAL, ("email",))
    assert label("see PRJ-1234") == (Label.CONFIDENTIAL, ("ticket",))
    assert label("the blue  falcon of MULLER gmbh") == (Label.CONFIDENTIAL, ("customer", "project"))
