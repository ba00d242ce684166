from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from app.config.specs import MemberSpec
from app.domain_routing import Choice

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.config.specs import GatewayFile, PoolSpec

HEAD = "deployments: {a: {model: openai/a}, b: {model: openai/b}, c: {model: openai/c}}\nrules: [{use: a}]\npools:\n"


def _pool(load: Callable[..., GatewayFile], text: str) -> PoolSpec:
    return load(f"{HEAD}  p: {text}").pools["p"]


def test_a_list_is_a_pool_that_is_tried_in_order(load: Callable[..., GatewayFile]) -> None:
    pool = _pool(load, "[b, a]")

    assert [member.name for member in pool.members] == ["b", "a"]
    assert (pool.choose, pool.sticky, pool.experiment) == (Choice.ORDERED, False, "")


@pytest.mark.parametrize("choose", Choice)
def test_a_pool_says_how_it_chooses(load: Callable[..., GatewayFile], choose: Choice) -> None:
    assert _pool(load, f"{{members: [a, b], choose: {choose}}}").choose is choose


def test_weights_make_a_pool_weighted(load: Callable[..., GatewayFile]) -> None:
    pool = _pool(load, "{members: [a, {use: b, weight: 3}], sticky: true}")

    assert pool.members == (MemberSpec("a", 4), MemberSpec("b", 4, 3.0))
    assert (pool.choose, pool.sticky) == (Choice.WEIGHTED, True)


@pytest.mark.parametrize(("text", "share"), [("5%", 0.05), ("0.05", 0.05), ("12.5 %", 0.125)])
def test_a_canary_has_a_share(load: Callable[..., GatewayFile], text: str, share: float) -> None:
    assert _pool(load, f"{{members: [a, {{use: b, share: {text}}}]}}").members[1].share == pytest.approx(share)


def test_an_experiment_has_arms_and_keeps_a_conversation_in_its_own(load: Callable[..., GatewayFile]) -> None:
    pool = _pool(load, "{experiment: tone, members: [{use: a, arm: old, share: 90%}, {use: b, arm: new, share: 10%}]}")

    assert [member.arm for member in pool.members] == ["old", "new"]
    assert (pool.experiment, pool.sticky, pool.choose) == ("tone", True, Choice.WEIGHTED)
    assert not _pool(load, "{experiment: tone, sticky: false, members: [{use: a, arm: old}, {use: b, arm: new}]}").sticky


@pytest.mark.parametrize(
    ("pool", "sentence"),
    [
        ("{choose: weighted}", "the pool p needs `members`: the deployments in it, such as `members: [gpt-4o-mini]`"),
        ("[]", "the pool p is empty; name at least one deployment, or leave the pool out"),
        ("{members: []}", "the pool p is empty; name at least one deployment, or leave the pool out"),
        ("[a, a]", '"a" stands twice in the pool p; leave one out'),
        ("{members: [a, {use: a, share: 1%}]}", '"a" stands twice in the pool p; leave one out'),
        ("{members: [a], chose: weighted}", 'unknown key "chose" in the pool p; did you mean "choose"?'),
        ("{members: [a], choose: cheap}", 'choose: "cheap" is not known; did you mean "cheapest"?'),
        ("{members: [a, {weight: 2}]}", "a member of the pool p needs `use`: the name of a deployment"),
        ("{members: [a, {use: b, wait: 2}]}", 'unknown key "wait" in a member of the pool p; did you mean "weight"?'),
        ("{members: [a, {use: b, weight: -1}]}", "weight must be a number of at least 0"),
        ("{members: [a, {use: b, share: 0%}]}", "share must be more than 0% and at most 100%, such as 5%"),
        ("{members: [a, {use: b, share: some}]}", "share must be more than 0% and at most 100%, such as 5%"),
        ("{members: [a, {use: b, share: [1]}]}", "share must be one value, not a list"),
        (
            "{members: [a, {use: b, share: 1%, weight: 2}]}",
            "a member of the pool p has both weight and share; write `share` for a part of all requests, or `weight` to divide the rest",
        ),
        (
            "{members: [a, {use: b, share: 60%}, {use: c, share: 40%}]}",
            "the shares of the pool p leave nothing to its other members; write less, or give each a share",
        ),
        ("{members: [{use: b, share: 60%}, {use: c, share: 30%}]}", "the shares of the pool p come to 0.9; write 100% in all, or leave one out"),
        (
            "{choose: fastest, members: [a, {use: b, weight: 2}]}",
            "weight has no effect where the pool p chooses fastest; write `choose: weighted`, or leave it out",
        ),
        ("{members: [{use: a, weight: 0}, {use: b, weight: 0}]}", "every weight of the pool p is 0; give one member more"),
        ("{members: [a, b], sticky: true}", "sticky has no effect where the pool p is tried in order; leave it out, or write `choose`"),
        ("{members: [a, {use: b, arm: x}]}", "arm has no effect in the pool p, which has no `experiment`; name the experiment, or leave it out"),
        ("{experiment: e, members: [{use: a, arm: x}, {use: c, arm: y}, b]}", "b needs `arm`: its side of the experiment e"),
        ("{experiment: e, members: [{use: a, arm: x}, {use: b, arm: x}]}", "the experiment e has one arm; write at least two"),
        (
            "{experiment: e, choose: fastest, members: [{use: a, arm: x}, {use: b, arm: y}]}",
            "an experiment draws its arms by weight or share; leave `choose` out",
        ),
    ],
)
def test_a_pool_that_contradicts_itself_is_refused(faults: Callable[..., list[str]], pool: str, sentence: str) -> None:
    assert [fault.partition(": ")[2] for fault in faults(f"{HEAD}  p: {pool}")] == [sentence]


def test_a_canary_makes_a_pool_in_order_sticky(load: Callable[..., GatewayFile]) -> None:
    assert _pool(load, "{sticky: true, members: [a, {use: b, share: 5%}]}").sticky


def test_names_of_pools_are_held_apart(faults: Callable[..., list[str]]) -> None:
    found = faults(f"{HEAD}  c: [b]\n  auto: [a]\n  '!': [a]")

    assert [fault.partition(": ")[2].split(",")[0] for fault in found] == [
        '"c" is the deployment of line 1; give the pool another name',
        '"auto" cannot be a name',
        "a pool's name must be 1 to 128 of A-Z",
    ]
