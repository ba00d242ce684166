from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from app.config.faults import ConfigError
from app.config.gateway_file import load_gateway_file, read_gateway_file
from app.domain import OnConflict

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.config.specs import GatewayFile

GOOD = """\
deployments:
  a: {model: openai/a}
  b: {model: openai/b}
pools:
  cheap: [a, b]
  local: [b]
rules:
  - {when: {label: confidential}, use: local}
  - {use: cheap}
fallback: local
"""


def test_a_file_is_read_into_frozen_values(load: Callable[..., GatewayFile]) -> None:
    file = load(GOOD + "on_conflict: reject\n")

    assert [member.name for member in file.pools["cheap"].members] == ["a", "b"]
    assert [spec.rule.use for spec in file.rules] == ["local", "cheap"]
    assert file.fallback is not None
    assert (file.fallback.name, file.on_conflict) == ("local", OnConflict.REJECT)
    assert file.is_whole


def test_pools_and_everything_after_the_rules_can_be_left_out(load: Callable[..., GatewayFile]) -> None:
    file = load("deployments: {a: {model: openai/a}}\nrules: [{use: a}]\n")

    assert (file.pools, file.fallback, file.on_conflict) == ({}, None, OnConflict.REROUTE)


def test_a_file_that_is_not_there_is_refused_with_what_to_set(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="set GATEWAY_CONFIG to where it is"):
        load_gateway_file(tmp_path / "none.yaml", {})
    with pytest.raises(ConfigError, match="set GATEWAY_CONFIG to where it is"):
        load_gateway_file(tmp_path, {})


def test_a_list_is_no_configuration(faults: Callable[..., list[str]]) -> None:
    assert faults("- a") == ["1: gateway.yaml must be a mapping with deployments and rules"]


def test_an_empty_mapping_says_what_is_missing(faults: Callable[..., list[str]]) -> None:
    assert [fault.split()[1] for fault in faults("{}")] == ["deployments", "rules"]


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("pools:", "pols:", '4: unknown key "pols" in gateway.yaml; did you mean "pools"?'),
        ("[a, b]", "[a, bb]", '5: the pool cheap names an unknown deployment "bb"; did you mean "b"?'),
        ("[a, b]", "[a, local]", '5: "local" is a pool; a pool lists deployments'),
        ("use: cheap", "use: cheep", '9: use names an unknown pool or deployment "cheep"; did you mean "cheap"?'),
        ("fallback: local", "fallback: locl", '10: fallback names an unknown pool "locl"; did you mean "local"?'),
        ("fallback: local", "fallback: b", '10: fallback names an unknown pool "b"; write a pool that holds it'),
        ("fallback: local", "on_conflict: maybe", '10: on_conflict: "maybe" is not known; expected reject or reroute'),
        ("fallback: local", "search: {embedder: built}", '10: embedder names an unknown deployment "built"; did you mean "builtin"?'),
    ],
)
def test_a_wrong_name_is_refused_with_the_nearest(faults: Callable[..., list[str]], old: str, new: str, sentence: str) -> None:
    assert sentence in faults(GOOD.replace(old, new, 1))


@pytest.mark.parametrize(
    ("rules", "sentence"),
    [
        (
            "[{use: a}, {when: {label: public}, use: a}]",
            "rule-2 never matches: rule-1 in line 2 (always) takes every request that it would; move it up, or leave it out",
        ),
        ("[{when: {label: public}, use: a}, {when: {label: public}, use: a}, {use: a}]", "rule-2 never matches: rule-1 in line 2 (label: public)"),
        ("[{when: {min_tokens: 5}, use: a}, {when: {min_tokens: 9, label: public}, use: a}, {use: a}]", "rule-2 never matches: rule-1 in line 2"),
        (
            "[{when: {complexity: simple}, use: a}, {when: {complexity: [medium, complex]}, use: a}, {use: a}]",
            "rule-3 never matches: the rules before it together take every request that it would",
        ),
        (
            "[{when: {hint: complex, complexity: simple}, use: a}, {use: a}]",
            "rule-1 never matches: its conditions contradict each other (a hint of a label raises the label to it, a hint",
        ),
        ("[{when: {hint: internal, label: public}, use: a}, {use: a}]", "rule-1 never matches: its conditions contradict each other"),
        (
            "[{when: {min_score: 0.5}, use: a}, {when: {min_score: 0.7, tag: x}, reject: no}, {use: a}]",
            "rule-2 never matches: rule-1 in line 2 (min_score: 0.5)",
        ),
        (
            "[{when: {days: [sat, sun], zone: UTC}, use: a}, {when: {days: sun, hours: '01:00-02:00', zone: UTC}, use: a}, {use: a}]",
            "rule-2 never matches: rule-1 in line 2 (days: [sat, sun], zone: UTC) takes every request that it would",
        ),
        ("[{when: {key: [ci, ann]}, reject: no}, {when: {key: ann}, use: a}, {use: a}]", "rule-2 never matches: rule-1 in line 2 (key: [ann, ci])"),
        ("[{when: {label: public}, use: a}]", "some requests match no rule; write a last rule without `when`, such as `- {use: a}`"),
    ],
)
def test_rules_that_never_match_and_requests_that_match_none_are_refused(faults: Callable[..., list[str]], rules: str, sentence: str) -> None:
    found = faults(f"deployments: {{a: {{model: openai/a}}}}\nrules: {rules}")

    assert [fault for fault in found if sentence in fault]
    assert len(found) == 1


def test_a_rule_below_the_default_label_is_refused(faults: Callable[..., list[str]]) -> None:
    rules = "[{when: {label: public}, use: a}, {use: a}]"

    found = faults(f"deployments: {{a: {{model: openai/a, clearance: confidential}}}}\nrules: {rules}\nscan: {{default: internal}}")

    assert found == ["2: rule-1 never matches: `scan: {default: internal}` makes every request internal at least; leave it out"]


def test_where_the_default_label_leaves_a_rule_nothing_it_is_blamed(faults: Callable[..., list[str]]) -> None:
    rules = "[{when: {label: confidential}, use: a}, {when: {label: internal}, use: a}, {use: a}]"

    found = faults(
        f"deployments: {{a: {{model: openai/a, api_base: 'http://10.0.0.1/v1', clearance: confidential}}}}\nrules: {rules}\nscan: {{default: internal}}"
    )

    told = "the rules before it together take every request that it would, for `scan: {default: internal}` makes every request internal at least"
    assert found == [f"2: rule-3 never matches: {told}; move it up, or leave it out"]


def test_rules_that_cover_everything_need_no_last_one(load: Callable[..., GatewayFile]) -> None:
    rules = "[{when: {max_tokens: 9}, use: a}, {when: {min_tokens: 10}, use: a}]"

    assert len(load(f"deployments: {{a: {{model: openai/a}}}}\nrules: {rules}").rules) == 2


def test_every_fault_is_told_at_once(faults: Callable[..., list[str]]) -> None:
    text = GOOD.replace("openai/a", "a").replace("[b]", "[c]").replace("fallback: local", "fallback: x\nscan: {allow: [y]}\nodd: 1")

    assert [int(fault.partition(":")[0]) for fault in faults(text)] == [2, 6, 10, 11, 12]


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ("  cheap:", "  -cheap:", 5),  # the rule and the fallback that mean it are not to blame
        ("  local:", "  b:", 6),
        ("pools:", "pols:", 4),
        ("openai/b", "b", 3),
    ],
)
def test_of_one_bad_name_the_first_cause_alone_is_told(faults: Callable[..., list[str]], old: str, new: str, line: int) -> None:
    text = GOOD.replace(old, new, 1).replace("local", "b") if new == "  b:" else GOOD.replace(old, new, 1)

    assert [int(fault.partition(":")[0]) for fault in faults(text)] == [line]


def test_what_can_be_read_of_a_wrong_file_is_kept_for_further_checks(tmp_path: Path) -> None:
    path = tmp_path / "gateway.yaml"
    path.write_text(GOOD.replace("label: confidential", "label: secret"))

    file, found = read_gateway_file(path, {})

    assert file is not None
    assert not file.is_whole
    assert len(found) == 1


def test_a_file_does_not_show_what_its_variables_hold(load: Callable[..., GatewayFile]) -> None:
    file = load(GOOD.replace("openai/a", 'openai/a, api_key: "${KEY}"'), KEY="hush")

    assert file.deployments["a"].api_key == "hush"
    assert "hush" not in repr(file)


def test_the_file_that_comes_with_the_gateway_is_sound() -> None:
    file = load_gateway_file(Path(__file__).parents[3] / "config" / "gateway.yaml", {})

    assert set(file.pools) == {"cheap", "balanced", "strong", "long", "local"}
    assert file.warnings == ()
