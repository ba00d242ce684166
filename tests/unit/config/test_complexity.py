from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from app.config.faults import ConfigError
from app.config.specs import ComplexitySpec, TargetSpec
from app.domain import ComplexityTier, Cuts
from app.policy.complexity import SCALE, Target, score
from app.scaling import scale_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.config.specs import GatewayFile

BASE = "deployments: {a: {model: openai/a}}\nrules: [{use: a}]\n"
WHOLE = BASE + (
    "complexity:\n"
    "  medium: 0.1\n"
    "  complex: 0.5\n"
    "  target_share: 0.3\n"
    "  bounds: [0.2, 0.6]\n"
    "  window: 500\n"
    "  simple_discount: 0.25\n"
    "  weights: {code: 0.6}\n"
    "  words: {technical: [Terraform, blast  radius]}\n"
    "  ignore: [list]\n"
    "  signals:\n"
    "    - {name: legal, weight: 0.5, words: [estoppel], regex: ['art\\. \\d+', '§'], enough: 2}\n"
    "    - {name: tickets, regex: 'prj-\\d{4}'}\n"
).replace(", '§'", ", 'clause \\d'")


def test_nothing_said_is_the_built_in_scale(load: Callable[..., GatewayFile]) -> None:
    assert load(BASE).complexity == ComplexitySpec()
    assert scale_of(load(BASE)) == SCALE
    assert scale_of(load(BASE + "complexity:\n")) == SCALE


def test_every_key_is_read(load: Callable[..., GatewayFile]) -> None:
    spec = load(WHOLE).complexity

    assert (spec.cuts, spec.target, spec.simple_discount) == (Cuts(0.1, 0.5), TargetSpec(0.3, 0.2, 0.6, 500), 0.25)
    assert {named.name: weight for named, weight in spec.weights.items()} == {"code": 0.6}
    assert {named.name: words for named, words in spec.words.items()} == {"technical": ("Terraform", "blast radius")}
    assert spec.ignore == ("list",)
    assert [(each.name, each.weight, each.words, [regex.name for regex in each.regexes], each.enough) for each in spec.signals] == [
        ("legal", 0.5, ("estoppel",), [r"art\. \d+", r"clause \d"], 2),
        ("tickets", 0.4, (), [r"prj-\d{4}"], 1),
    ]


def test_the_scale_is_what_the_file_says(load: Callable[..., GatewayFile]) -> None:
    scale = scale_of(load(WHOLE))

    assert scale.target == Target(0.3, 0.2, 0.6, 500)
    assert (scale.weights["code"], scale.weights["legal"], scale.weights["reasoning"]) == (0.6, 0.5, SCALE.weights["reasoning"])
    found = dict(score(("the blast radius of estoppel under Art. 12, see PRJ-1234",), scale=scale).contributions)
    assert found.keys() >= {"technical", "legal", "tickets"}


def test_a_cut_moves_a_tier(load: Callable[..., GatewayFile]) -> None:
    text = ("Prove it.",)

    assert score(text).tier is ComplexityTier.MEDIUM
    assert score(text, scale=scale_of(load(BASE + "complexity: {complex: 0.1}\n"))).tier is ComplexityTier.COMPLEX


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("{cut: 1}", 'unknown key "cut" in complexity'),
        ("{target-share: 0.3}", 'did you mean "target_share"?'),
        ("{medium: 2}", "medium must be from 0 to 1"),
        ("{complex: high}", "complex must be a number of at least 0"),
        ("{medium: 0.5, complex: 0.4}", "medium (0.5) is above complex (0.4)"),
        ("{target_share: 30}", "target_share must be from 0 to 1"),
        ("{bounds: [0.2, 0.4]}", "write target_share too"),
        ("{window: 500}", "write target_share too"),
        ("{target_share: 0.3, window: 5}", "window must be at least 100"),
        ("{target_share: 0.3, window: 1000000}", "window must be at most 100000"),
        ("{target_share: 0.3, bounds: [0.4, 0.2]}", "bounds must be two scores, the lower first"),
        ("{target_share: 0.3, bounds: [0.4]}", "bounds must be two scores, the lower first"),
        ("{weights: {coding: 0.3}}", 'weights names "coding", which is no signal'),
        ("{weights: {simple: 0.3}}", 'weights names "simple", which is no signal'),
        ("{weights: {code: heavy}}", "the weight of code must be a number"),
        ("{words: {coding: [x]}}", 'words names "coding", which is no signal'),
        ("{words: {code: x}}", "words of code must be a list"),
        ("{ignore: ['  ']}", "ignore"),
        (f"{{ignore: [{'x' * 201}]}}", "must have 1 to 200 characters"),
        ("{signals: [{name: legal}]}", "needs `name`, and `words` or `regex`"),
        ("{signals: [{words: [x]}]}", "needs `name`, and `words` or `regex`"),
        ("{signals: [{name: No good, words: [x]}]}", "name must be a word such as `legal`"),
        ("{signals: [{name: [x], words: [x]}]}", "name must be a word such as `legal`"),
        ("{signals: [{name: code, words: [x]}]}", '"code" is a built-in signal'),
        ("{signals: [{name: a, words: [x]}, {name: a, words: [y]}]}", '"a" stands twice in signals'),
        ("{signals: [{name: a, regex: '(?=x)'}]}", "is not taken by Hyperscan"),
        ("{signals: [{name: a, regex: ['x', [y]]}]}", "regex must be"),
        ("{signals: [{name: a, words: [x], enough: 0}]}", "enough must be at least 1"),
        ("{signals: [{name: a, words: [x], weight: 3}]}", "weight must be from 0 to 1"),
    ],
)
def test_a_fault_is_told_with_its_line(load: Callable[..., GatewayFile], text: str, sentence: str) -> None:
    with pytest.raises(ConfigError) as caught:
        scale_of(load(f"{BASE}complexity: {text}\n"))

    assert any(sentence in str(fault) for fault in caught.value.faults), caught.value.faults
    assert all(fault.line == 3 for fault in caught.value.faults)
