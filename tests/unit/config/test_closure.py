from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from app.config.closure import closure, closure_faults, reachable
from app.config.gateway_file import load_gateway_file
from app.config.rules import RuleSpec
from app.config.specs import DeploymentSpec, GatewayFile, MemberSpec, Named, PoolSpec
from app.domain import Asked, Capability, Complexity, ComplexityTier, Facts, Label, OnConflict, Snapshot
from app.domain_routing import Choice, Condition, Rule
from app.policy.rules import first_match, get_ready

if TYPE_CHECKING:
    from collections.abc import Callable

NAMES = ("d0", "d1", "d2")
POOLS = ("p0", "local", "long")


@st.composite
def _files(draw: st.DrawFn) -> GatewayFile:
    deployments = {name: DeploymentSpec(name, 1, "openai", name, draw(st.sampled_from(Label))) for name in NAMES}
    members = st.lists(st.sampled_from(NAMES), min_size=1, max_size=3, unique=True)
    pools = {}
    for name in draw(st.lists(st.sampled_from(POOLS), unique=True)):
        pools[name] = PoolSpec(
            name,
            2,
            choose=draw(st.sampled_from(Choice)),
            members=tuple(MemberSpec(member, 2, share=draw(st.sampled_from([None, 0.05]))) for member in draw(members)),
        )
    rules = []
    for place in range(draw(st.integers(0, 4))):
        labels = draw(st.none() | st.frozensets(st.sampled_from(Label), min_size=1))
        tiers = draw(st.none() | st.frozensets(st.sampled_from(ComplexityTier), min_size=1))
        low, score = draw(st.sampled_from([None, 5])), draw(st.sampled_from([None, None, 0.5]))
        tags, keys = draw(st.sampled_from([None, None, frozenset({"draft"})])), draw(st.sampled_from([None, None, frozenset({"ann"})]))
        when = Condition(labels=labels, complexities=tiers, min_tokens=low, min_score=score, tags=tags, keys=keys)
        use = draw(st.sampled_from([*NAMES, *pools, ""]))
        rule = Rule(f"rule-{place}", when, use, None if use else "No.", draw(st.sampled_from([frozenset(), frozenset({Capability.TOOLS})])))
        rules.append(RuleSpec(rule, 10 + place, 10 + place))
    rules.append(RuleSpec(Rule("last", Condition(), draw(st.sampled_from([*NAMES, *pools]))), 20, 20))
    fallback = draw(st.none() | st.sampled_from([*pools])) if pools else None
    return GatewayFile("g", deployments, pools, tuple(rules), Named(fallback, 30) if fallback else None, draw(st.sampled_from(OnConflict)))


def _oracle(file: GatewayFile, label: Label) -> set[str]:
    """Walk every request of a label through the file as the planner would without looking at clearances, named models and `long` apart."""

    def members(name: str) -> set[str]:
        return {member.name for member in file.pools[name].members} if name in file.pools else {name}

    cleared = {name for name in NAMES if file.deployments[name].clearance >= label}
    found = set(cleared)  # by naming them
    rules = [get_ready(spec.rule) for spec in file.rules]
    for tier, tokens, score, tags, key in product(ComplexityTier, (4, 5), (0.0, 0.5), ((), ("draft",)), ("", "ann")):
        facts = Facts(label, "default", (), Complexity(score, tier), tokens)
        match = first_match(rules, facts, Asked("auto", key, frozenset(tags)), Snapshot())
        assert match is not None
        rule = match.rule
        found |= members(rule.use) if rule.reject is None else set()
    if file.fallback is not None:
        found |= members(file.fallback.name)
    if file.on_conflict is OnConflict.REROUTE and "local" in file.pools and cleared != set(NAMES):
        found |= members("local")
    return found


@given(_files())
def test_the_closure_is_what_walking_every_request_finds(file: GatewayFile) -> None:
    expected = {label: _oracle(file, label) for label in Label}

    assert reachable(file) == expected


@given(_files())
def test_a_file_is_refused_exactly_where_some_request_could_reach_what_is_not_cleared(file: GatewayFile) -> None:
    unsafe = any(file.deployments[name].clearance < label for label in Label for name in _oracle(file, label))

    assert bool(closure_faults(file)) == unsafe


def _faults(load: Callable[..., GatewayFile], text: str) -> list[str]:
    head = "deployments:\n  cloud: {model: openai/a}\n  mine: {model: openai/b, clearance: confidential}\npools:\n  cheap: [cloud]\n  local: [mine]\n"
    return [f"{fault.line}: {fault.sentence}" for fault in closure_faults(load(head + text))]


def test_confidential_first_and_the_rest_anywhere_is_sound(load: Callable[..., GatewayFile]) -> None:
    assert _faults(load, "rules: [{when: {label: confidential}, use: local}, {use: cheap}]\nfallback: local") == []


def test_a_rule_before_the_confidential_one_is_a_path(load: Callable[..., GatewayFile]) -> None:
    rules = "rules:\n  - {when: {complexity: complex}, use: cheap}\n  - {when: {label: confidential}, use: local}\n  - {use: cheap}"

    (fault,) = _faults(load, rules)

    assert fault.startswith("8: a confidential request can reach cloud (cleared for internal) by the rule rule-1 (complexity: complex) and the pool cheap; ")
    assert fault.endswith("write `- {when: {label: confidential}, use: local}` before it")


def test_a_rule_before_it_that_leaves_confidential_out_is_none(load: Callable[..., GatewayFile]) -> None:
    rules = "rules:\n  - {when: {complexity: complex, label: [public, internal]}, use: cheap}\n  - {when: {label: confidential}, use: local}\n  - {use: cheap}"

    assert _faults(load, rules) == []


def test_a_confidential_rule_with_another_condition_leaves_a_path(load: Callable[..., GatewayFile]) -> None:
    rules = "rules:\n  - {when: {label: confidential, max_tokens: 9}, use: local}\n  - {use: cheap}"

    assert [fault.partition(":")[0] for fault in _faults(load, rules)] == ["9"]


def test_confidential_rules_that_together_take_everything_leave_none(load: Callable[..., GatewayFile]) -> None:
    rules = "rules:\n  - {when: {label: confidential, max_tokens: 9}, use: local}\n  - {when: {label: confidential}, use: mine}\n  - {use: cheap}"

    assert _faults(load, rules) == []


def test_a_fallback_that_is_not_cleared_is_a_path(load: Callable[..., GatewayFile]) -> None:
    (fault,) = _faults(load, "rules: [{when: {label: confidential}, use: local}, {use: cheap}]\nfallback: cheap")

    assert fault.startswith("8: a confidential request can reach cloud (cleared for internal) by the fallback to the pool cheap; ")
    assert fault.endswith("let fallback name a pool whose deployments are all cleared for confidential, or leave it out")


def test_a_local_pool_that_is_not_cleared_is_a_path_of_rerouting_alone(load: Callable[..., GatewayFile]) -> None:
    text = (
        "deployments:\n  cloud: {model: openai/a}\n  mine: {model: openai/b, clearance: confidential}\n"
        "pools: {local: [mine, cloud]}\nrules: [{when: {label: confidential}, use: mine}, {use: cloud}]\n"
    )

    assert "naming a model that is not cleared" in str(closure_faults(load(text)))
    assert closure_faults(load(text + "on_conflict: reject")) == []


def test_a_file_without_anything_cleared_is_told_what_to_add(load: Callable[..., GatewayFile]) -> None:
    (fault,) = closure_faults(load("deployments: {gpt: {model: openai/gpt-4o}}\nrules: [{use: gpt}]"))

    assert "no pool or deployment is cleared for confidential: add a local one to deployments" in fault.sentence
    assert "`- {when: {label: confidential}, use: llama}` as the first rule" in fault.sentence


def test_internal_requests_are_held_to_clearances_too(load: Callable[..., GatewayFile]) -> None:
    text = "deployments:\n  open: {model: openai/a, clearance: public}\n  mine: {model: openai/b, clearance: confidential}\nrules:\n"

    (fault,) = closure_faults(load(text + "  - {when: {label: confidential}, use: mine}\n  - {use: open}"))

    assert "an internal request can reach open (cleared for public)" in fault.sentence
    assert "`- {when: {label: [internal, confidential]}, use: mine}`" in fault.sentence


def test_the_pool_long_is_entered_by_what_is_cleared_alone() -> None:
    file = load_gateway_file(Path(__file__).parents[3] / "config" / "gateway.yaml", {})

    assert reachable(file)[Label.CONFIDENTIAL] == {"llama"}
    assert closure_faults(file) == []
    assert any("being too long" in route.words for route in closure(file)[Label.INTERNAL])
