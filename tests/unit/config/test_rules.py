from __future__ import annotations

from datetime import UTC
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import pytest

from app.config.rules import describe
from app.domain import Capability, ComplexityTier, Label
from app.domain_routing import Condition, Hours

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.config.specs import GatewayFile

HEAD = "deployments: {a: {model: openai/a}}\nrules:\n"


def _first(load: Callable[..., GatewayFile], rule: str) -> Condition:
    return load(f"{HEAD}  - {rule}\n  - {{use: a}}").rules[0].rule.when


@pytest.mark.parametrize(
    ("when", "condition"),
    [
        ("{label: confidential}", Condition(labels=frozenset({Label.CONFIDENTIAL}))),
        ("{label: [public, internal]}", Condition(labels=frozenset({Label.PUBLIC, Label.INTERNAL}))),
        ("{complexity: complex}", Condition(complexities=frozenset({ComplexityTier.COMPLEX}))),
        ("{min_tokens: 10, max_tokens: 20}", Condition(min_tokens=10, max_tokens=20)),
        ("{min_tokens: 20, max_tokens: 20}", Condition(min_tokens=20, max_tokens=20)),
        ("{needs: [tools, images]}", Condition(needs=frozenset({Capability.TOOLS, Capability.IMAGES}))),
        ("{findings: [email, iban]}", Condition(findings=frozenset({"email", "iban"}))),
        ("{model: gpt-*}", Condition(model="gpt-*")),
        ("{min_score: 0.25, max_score: 1}", Condition(min_score=0.25, max_score=1.0)),
        ("{key: [batch, ci.nightly]}", Condition(keys=frozenset({"batch", "ci.nightly"}))),
        ("{tag: draft}", Condition(tags=frozenset({"draft"}))),
        ("{hint: [Complex, internal]}", Condition(hints=frozenset({"complex", "internal"}))),
        ("{hours: '22:00-06:00', days: [fri, sat], zone: Europe/Berlin}", Condition(hours=Hours(ZoneInfo("Europe/Berlin"), frozenset({4, 5}), 1320, 360))),
    ],
)
def test_each_condition_of_the_grammar_is_read(load: Callable[..., GatewayFile], when: str, condition: Condition) -> None:
    assert _first(load, f"{{when: {when}, use: a}}") == condition


def test_a_rule_is_named_after_its_place_or_as_it_says(load: Callable[..., GatewayFile]) -> None:
    file = load(f"{HEAD}  - {{name: odd, when: {{label: public}}, use: a}}\n  - {{use: a}}")

    assert [(spec.rule.name, spec.rule.use, spec.line) for spec in file.rules] == [("odd", "a", 3), ("rule-2", "a", 4)]


@pytest.mark.parametrize(
    ("rule", "sentence"),
    [
        ("{when: {labels: public}, use: a}", 'unknown key "labels" in when; did you mean "label"?'),
        ("{when: {label: secret}, use: a}", 'label: "secret" is not known; expected public, internal or confidential'),
        ("{when: {complexity: hard}, use: a}", 'complexity: "hard" is not known; expected complex, medium or simple'),
        ("{when: {needs: toolz}, use: a}", 'needs: "toolz" is not known; did you mean "tools"?'),
        ("{when: {label: []}, use: a}", "label is an empty list; write at least one, or leave the key out"),
        ("{when: {min_tokens: -1}, use: a}", "min_tokens must be at least 0"),
        ("{when: {min_score: 0.9, max_score: 0.5}, use: a}", "min_score is above max_score, so that the rule never matches; write at most 0.5"),
        ("{when: {min_score: 30}, use: a}", "min_score must be a score from 0 to 1"),
        ("{when: {tag: 'two words'}, use: a}", "tag must be 1 to 64 of A-Z, a-z, 0-9, `.`, `_`, `-`, and start with a letter or digit"),
        ("{when: {hint: complx}, use: a}", 'hint: "complx" is not known; did you mean "complex"?'),
        ("{when: {keys: a}, use: a}", 'unknown key "keys" in when; did you mean "key"?'),
        ("{when: {label: public}, use: a, reject: no}", "a rule that rejects uses nothing; leave out `reject` or `use`"),
        ("{when: {label: public}, reject: no, require: tools}", "a rule that rejects uses nothing; leave out `reject` or `require`"),
        ("{when: {label: public}, reject: ''}", "reject is empty; write a value, or leave the key out"),
        ("{when: {label: public}, use: a, require: image}", 'require: "image" is not known; did you mean "images"?'),
        ("{when: {min_tokens: 9, max_tokens: 8}, use: a}", "min_tokens is above max_tokens, so that the rule never matches; write at most 8"),
        ("{when: {label: public}}", "a rule needs `use`: the name of a pool or deployment, or `reject`: a sentence for the caller"),
        ("{use: a, if: x}", 'unknown key "if" in a rule; expected name, reject, require, use or when'),
        ("{when: public, use: a}", "when must be a mapping of keys to values"),
        ("{name: rule-2, when: {label: public}, use: a}", 'the name "rule-2" is taken by the rule of line 3; write another'),
        ('{when: {model: "${UNSET}"}, use: a}', "UNSET is not set"),
    ],
)
def test_what_the_grammar_does_not_have_is_refused(faults: Callable[..., list[str]], rule: str, sentence: str) -> None:
    found = faults(f"{HEAD}  - {rule}\n  - {{use: a}}")

    assert [fault.partition(": ")[2] for fault in found] == [sentence]


def test_rules_must_be_there(faults: Callable[..., list[str]]) -> None:
    assert faults("deployments: {a: {model: openai/a}}") == ["1: rules is missing; write at least `rules: [{use: POOL}]`"]
    assert faults("deployments: {a: {model: openai/a}}\nrules: []") == ["2: rules is empty; write at least `- {use: POOL}`"]


def test_a_condition_is_described_as_the_file_spells_it() -> None:
    condition = Condition(labels=frozenset({Label.INTERNAL, Label.PUBLIC}), min_tokens=5, needs=frozenset({Capability.TOOLS}))

    assert describe(condition) == "label: [internal, public], min_tokens: 5, needs: tools"
    assert describe(Condition()) == "always"
    assert describe(Condition(min_score=0.5, hours=Hours(UTC, frozenset({0}), 0, 60))) == "min_score: 0.5, hours: 00:00-01:00, days: [mon], zone: UTC"


def test_a_rule_may_reject_with_a_sentence_or_require_what_a_deployment_can(load: Callable[..., GatewayFile]) -> None:
    file = load(f"{HEAD}  - {{when: {{findings: iban}}, reject: No account numbers here.}}\n  - {{use: a, require: [tools, images]}}")

    assert [(spec.rule.use, spec.rule.reject, spec.rule.require) for spec in file.rules] == [
        ("", "No account numbers here.", frozenset()),
        ("a", None, {Capability.TOOLS, Capability.IMAGES}),
    ]
