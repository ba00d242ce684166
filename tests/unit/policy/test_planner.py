from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain import Asked, Capability, Excluded, Label, LaneName, OnConflict, Snapshot
from app.domain_routing import Choice, Condition, Member, Pool, RoutingTable, Rule
from app.errors import ContextExceededError, GatewayError, InvalidRequestError, LabelNotClearedError, ModelNotFoundError, NotAllowedError, UnavailableError
from app.policy import planner
from app.policy.planner import AUTO, decide, make_plan, rules_read
from app.policy.rules import first_match
from tests.unit.policy.table import deployment, facts, table

CHEAP = deployment("mini", context_window=1000)
STRONG = deployment("big", context_window=2000)
LONG = deployment("vast", context_window=100_000)
LOCAL = deployment("llama", Label.CONFIDENTIAL, capabilities=frozenset({Capability.STREAM}))
POOLS = {"cheap": [CHEAP, STRONG], "long": [LONG], "local": [LOCAL]}
CONFIDENTIAL_FIRST = [(Condition(labels=frozenset({Label.CONFIDENTIAL})), "local"), (Condition(), "cheap")]
TABLE = table(POOLS, CONFIDENTIAL_FIRST, fallback="local")


def names(routing: RoutingTable, model: str = "auto", label: Label = Label.PUBLIC, **known: object) -> list[str]:
    return [attempt.deployment.name for attempt in make_plan(routing, facts(label, **known), Asked(model), Snapshot()).attempts]  # type: ignore[arg-type]


def test_a_rule_names_the_pool_and_the_fallback_comes_last() -> None:
    plan = make_plan(TABLE, facts(), Asked("auto"), Snapshot())

    assert (plan.rule, plan.pool) == ("rule-2", "cheap")
    assert [(attempt.deployment.name, attempt.reason) for attempt in plan.attempts] == [
        ("mini", "pool cheap"),
        ("big", "pool cheap"),
        ("llama", "fallback local"),
    ]


def test_without_a_fallback_only_the_pool_is_tried() -> None:
    assert names(table(POOLS)) == ["mini", "big"]


def test_a_rule_may_name_a_deployment() -> None:
    assert names(table(POOLS, [(Condition(), "big")])) == ["big"]


def test_a_rule_may_name_a_deployment_that_is_inactive() -> None:
    assert names(table(POOLS, [(Condition(), "gone")], fallback="local")) == ["llama"]


def test_a_pool_and_a_deployment_can_be_asked_for_by_name() -> None:
    assert names(TABLE, "long") == ["vast", "llama"]
    assert names(TABLE, "big") == ["big", "llama"]
    assert make_plan(TABLE, facts(), Asked("big"), Snapshot()).rule == "model"


def test_a_confidential_request_has_cleared_attempts_only() -> None:
    plan = make_plan(table(POOLS, fallback="local"), facts(Label.CONFIDENTIAL), Asked("auto"), Snapshot())

    assert [attempt.deployment.name for attempt in plan.attempts] == ["llama"]
    assert [entry.deployment for entry in plan.excluded] == ["mini", "big"]
    assert plan.if_context_exceeded == ()


def test_a_named_model_that_is_not_cleared_is_answered_locally() -> None:
    plan = make_plan(TABLE, facts(Label.CONFIDENTIAL), Asked("big"), Snapshot())

    assert (plan.rule, plan.pool) == ("not_cleared", "local")


def test_without_a_pool_local_the_rules_decide_in_its_place() -> None:
    home = deployment("home", Label.CONFIDENTIAL)

    assert names(table({"cheap": [CHEAP], "safe": [home]}, [(Condition(), "safe")]), "mini", Label.CONFIDENTIAL) == ["home"]


def test_a_named_model_that_is_not_cleared_is_refused_where_the_operator_says_so() -> None:
    with pytest.raises(LabelNotClearedError) as caught:
        make_plan(table(POOLS, fallback="local", on_conflict=OnConflict.REJECT), facts(Label.CONFIDENTIAL), Asked("big"), Snapshot())

    assert (caught.value.status, caught.value.code, caught.value.param) == (403, "label_not_cleared", "model")


def test_an_unknown_model_is_not_found() -> None:
    with pytest.raises(ModelNotFoundError) as caught:
        make_plan(TABLE, facts(), Asked("gpt-9"), Snapshot())

    assert (caught.value.status, caught.value.code) == (404, "model_not_found")


def test_a_confidential_request_is_not_told_the_name_that_it_asked_for() -> None:
    with pytest.raises(ModelNotFoundError) as caught:
        make_plan(TABLE, facts(Label.CONFIDENTIAL), Asked("gpt-4111 1111 1111 1111"), Snapshot())

    assert "4111" not in caught.value.message


def test_an_inactive_model_is_not_found_and_says_why() -> None:
    with pytest.raises(ModelNotFoundError, match="OPENAI_API_KEY is not set"):
        make_plan(table(POOLS, inactive={"gpt-4o": "OPENAI_API_KEY is not set"}), facts(), Asked("gpt-4o"), Snapshot())


def test_a_deployment_without_the_capability_is_passed_over() -> None:
    assert names(TABLE, needs=frozenset({Capability.TOOLS})) == ["mini", "big"]


def test_a_named_model_without_the_capability_is_refused_by_name() -> None:
    with pytest.raises(InvalidRequestError, match="'llama' has no support for 'tools'") as caught:
        make_plan(TABLE, facts(needs=frozenset({Capability.TOOLS})), Asked("llama"), Snapshot())

    assert (caught.value.param, caught.value.code) == ("tools", "unsupported_parameter")


@pytest.mark.parametrize(("need", "param"), [(Capability.IMAGES, "messages"), (Capability.JSON_SCHEMA, "response_format"), (Capability.N, "n")])
def test_a_capability_that_nothing_has_is_named_by_its_parameter(need: Capability, param: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        make_plan(table({"local": [LOCAL]}), facts(needs=frozenset({need})), Asked("auto"), Snapshot())

    assert caught.value.param == param


def test_a_prompt_that_surely_does_not_fit_goes_to_the_larger_ones_and_to_long() -> None:
    assert names(TABLE, prompt_tokens=2001) == ["big", "vast", "llama"]


def test_a_prompt_that_fits_nothing_else_goes_to_long() -> None:
    assert names(table({"cheap": [CHEAP], "long": [LONG]}), prompt_tokens=50_000) == ["vast"]


def test_a_prompt_that_fits_nothing_is_refused_in_openais_words() -> None:
    with pytest.raises(ContextExceededError, match="maximum context length is 2000 tokens") as caught:
        make_plan(table({"cheap": [CHEAP, STRONG]}), facts(prompt_tokens=50_000), Asked("auto"), Snapshot())

    assert (caught.value.status, caught.value.code) == (400, "context_length_exceeded")


def test_long_stands_by_for_a_context_that_a_provider_finds_exceeded() -> None:
    assert [attempt.deployment.name for attempt in make_plan(TABLE, facts(), Asked("auto"), Snapshot()).if_context_exceeded] == ["vast"]


def test_nothing_cleared_says_what_is_inactive() -> None:
    routing = table({"cheap": [CHEAP]}, inactive={"llama": "OLLAMA_BASE_URL is not set"})

    with pytest.raises(UnavailableError, match="llama: OLLAMA_BASE_URL is not set") as caught:
        make_plan(routing, facts(Label.CONFIDENTIAL), Asked("auto"), Snapshot())

    assert caught.value.status == 503
    assert caught.value.headers == {"x-should-retry": "false"}  # a setting is missing: SDKs need not wait for it


def test_an_empty_pool_says_that_nothing_is_active() -> None:
    with pytest.raises(UnavailableError, match=r"No deployment is active for this request\.$"):
        make_plan(table({"cheap": [], "long": [LONG]}), facts(), Asked("auto"), Snapshot())


def test_no_matching_rule_is_our_fault() -> None:
    with pytest.raises(UnavailableError) as caught:
        make_plan(table(POOLS, [(Condition(min_tokens=99), "cheap")]), facts(), Asked("auto"), Snapshot())

    assert caught.value.code == "no_rule"


LABELS = st.sampled_from(Label)
DEPLOYMENTS = st.builds(deployment, st.sampled_from("abcdef"), LABELS, capabilities=st.frozensets(st.sampled_from(Capability)))


@given(
    st.dictionaries(st.sampled_from(["cheap", "long", "local", "x"]), st.lists(DEPLOYMENTS, max_size=4), min_size=1),
    LABELS,
    st.sampled_from(["auto", "cheap", "local", "a", "b"]),
    st.booleans(),
)
def test_no_plan_holds_a_deployment_below_the_label(pools: dict[str, list[object]], label: Label, model: str, fall_back: bool) -> None:
    routing = table(pools, fallback=next(iter(pools)) if fall_back else None)  # type: ignore[arg-type]
    try:
        plan = make_plan(routing, facts(label), Asked(model), Snapshot())
    except GatewayError:
        return

    assert plan.attempts
    assert all(attempt.deployment.clearance >= label for attempt in plan.attempts + plan.if_context_exceeded)


IMAGE = {"model": "auto", "messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}]}]}


@pytest.mark.parametrize(("body", "code"), [(IMAGE, "remote_url_not_allowed"), ({"model": "auto", "messages": [], "future": 1}, "field_not_cleared")])
def test_what_a_confidential_request_may_not_carry_is_refused(body: dict[str, object], code: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        decide(TABLE, facts(Label.CONFIDENTIAL), body, Asked("auto"), Snapshot())

    assert caught.value.code == code
    assert decide(TABLE, facts(Label.INTERNAL), body, Asked("auto"), Snapshot()).attempts


@pytest.mark.parametrize(("label", "code"), [(Label.CONFIDENTIAL, "remote_url_not_allowed"), (Label.INTERNAL, "unsupported_parameter")])
def test_an_address_is_refused_as_one_also_where_nobody_could_see_the_picture(label: Label, code: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        decide(table({"local": [LOCAL]}), facts(label, needs=frozenset({Capability.IMAGES})), IMAGE, Asked("auto"), Snapshot())

    assert caught.value.code == code


def test_a_translated_request_drops_unknown_fields_by_itself() -> None:
    ollama = dataclasses.replace(LOCAL, lane=LaneName.TRANSLATE)

    assert decide(table({"local": [ollama]}), facts(Label.CONFIDENTIAL), {"model": "auto", "messages": [], "future": 1}, Asked("auto"), Snapshot()).attempts


def test_what_stands_by_for_a_long_prompt_is_held_to_the_same_fields() -> None:
    ollama = dataclasses.replace(LOCAL, lane=LaneName.TRANSLATE)
    relay = deployment("vllm", Label.CONFIDENTIAL)

    with pytest.raises(InvalidRequestError):
        decide(
            table({"local": [ollama], "long": [relay]}), facts(Label.CONFIDENTIAL), {"model": "auto", "messages": [], "future": 1}, Asked("auto"), Snapshot()
        )


def test_a_rule_can_give_another_name_a_pool() -> None:
    routing = table(POOLS, [(Condition(model="gpt-*"), "long"), (Condition(), "cheap")])

    assert names(routing, "gpt-9-turbo") == ["vast"]
    with pytest.raises(ModelNotFoundError):
        make_plan(routing, facts(), Asked("claude-9"), Snapshot())


def test_an_inactive_name_is_no_alias() -> None:
    with pytest.raises(ModelNotFoundError, match="is not set"):
        make_plan(table(POOLS, [(Condition(model="gpt-*"), "long")], inactive={"gpt-4o": "KEY is not set"}), facts(), Asked("gpt-4o"), Snapshot())


@pytest.mark.parametrize("routing", [table({"cheap": [CHEAP]}), table({"local": [LOCAL]})])
def test_who_sends_media_is_told_why_it_is_confidential(routing: RoutingTable) -> None:
    with pytest.raises(GatewayError, match="cannot be scanned"):
        make_plan(routing, facts(Label.CONFIDENTIAL, label_reason="unscannable", needs=frozenset({Capability.IMAGES})), Asked("auto"), Snapshot())


def test_a_caller_who_forbids_fallback_is_served_by_the_first_or_by_nobody() -> None:
    plan = decide(TABLE, facts(), {"model": "auto", "messages": []}, Asked("auto", no_fallback=True), Snapshot())

    assert [attempt.deployment.name for attempt in plan.attempts] == ["mini"]
    assert plan.if_context_exceeded == ()


@pytest.mark.parametrize("model", ["auto", "cheap"])
def test_a_caller_who_forbids_fallback_gets_the_first_of_a_pool_that_does_not_rest(model: str) -> None:
    plan = decide(TABLE, facts(), {"model": model, "messages": []}, Asked(model, no_fallback=True), Snapshot(resting={"mini": 5.0}))

    assert [attempt.deployment.name for attempt in plan.attempts] == ["big"]


def test_a_named_model_that_rests_is_all_that_is_left_without_fallback() -> None:
    plan = decide(TABLE, facts(), {"model": "mini", "messages": []}, Asked("mini", no_fallback=True), Snapshot(resting={"mini": 5.0}))

    assert [(attempt.deployment.name, attempt.reason) for attempt in plan.attempts] == [
        ("mini", "mini, named by the caller: rests for 5 s, and nothing else is left")
    ]
    assert (plan.excluded, plan.if_context_exceeded) == ((), ())


def test_a_named_model_is_alone_only_where_its_caller_says_so() -> None:
    for alone, served in [(False, ["mini", "llama"]), (True, ["mini"]), (False, ["mini", "llama"])]:
        plan = make_plan(TABLE, facts(), Asked("mini", no_fallback=alone), Snapshot())

        assert [attempt.deployment.name for attempt in plan.attempts] == served


def test_a_named_model_that_is_not_cleared_is_refused_without_fallback() -> None:
    with pytest.raises(LabelNotClearedError, match="X-No-Fallback") as caught:
        make_plan(TABLE, facts(Label.CONFIDENTIAL), Asked("big", no_fallback=True), Snapshot())

    assert (caught.value.status, caught.value.code) == (403, "label_not_cleared")
    assert make_plan(TABLE, facts(Label.CONFIDENTIAL), Asked("cheap", no_fallback=True), Snapshot()).rule == "not_cleared"


def test_a_prompt_too_long_for_a_named_model_goes_to_no_other_without_fallback() -> None:
    with pytest.raises(ContextExceededError, match="1000"):
        make_plan(TABLE, facts(prompt_tokens=50_000), Asked("mini", no_fallback=True), Snapshot())


@pytest.mark.parametrize(
    ("body", "needs", "param"),
    [
        ({"modalities": ["text", "audio"]}, {Capability.AUDIO}, "modalities"),
        ({"modalities": ["text"]}, {Capability.AUDIO}, "messages"),
        ({}, {Capability.AUDIO}, "messages"),
        ({"modalities": ["text", "audio"]}, {Capability.IMAGES}, "messages"),
        ({"modalities": ["text", "audio"]}, {Capability.TOOLS}, "tools"),
    ],
)
@pytest.mark.parametrize("model", ["auto", "llama"])
def test_a_spoken_answer_that_nothing_gives_is_refused_by_the_field_that_asks_for_it(
    body: dict[str, object], needs: set[Capability], param: str, model: str
) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        decide(table({"local": [LOCAL]}), facts(needs=frozenset(needs)), {"messages": []} | body, Asked(model), Snapshot())

    assert caught.value.param == param


def test_a_refusal_names_the_model_unless_the_request_is_confidential() -> None:
    for label, told in [(Label.PUBLIC, "public request (model 'auto') supports 'n'"), (Label.CONFIDENTIAL, "confidential request supports 'n'")]:
        with pytest.raises(InvalidRequestError) as caught:
            make_plan(table({"local": [LOCAL]}), facts(label, needs=frozenset({Capability.N})), Asked("auto"), Snapshot())

        assert told in caught.value.message


TAGGED = Condition(tags=frozenset({"x"}))


def test_a_rule_that_rejects_answers_403_with_its_sentence() -> None:
    with pytest.raises(NotAllowedError, match="No") as caught:
        make_plan(table(POOLS, [(TAGGED, ""), (Condition(), "cheap")]), facts(), Asked("auto", tags=frozenset({"x"})), Snapshot())

    assert (caught.value.status, caught.value.code) == (403, "request_rejected")


@pytest.mark.parametrize("model", ["big", "long", "gpt-9", "unknown"])
def test_naming_a_model_does_not_pass_a_rule_that_rejects(model: str) -> None:
    routing = table(POOLS, [(TAGGED, ""), (Condition(model="gpt-*"), "cheap"), (Condition(), "cheap")])

    with pytest.raises(NotAllowedError):
        make_plan(routing, facts(), Asked(model, tags=frozenset({"x"})), Snapshot())


def test_a_rule_that_uses_a_pool_before_the_one_that_rejects_lets_a_named_model_through() -> None:
    routing = table(POOLS, [(Condition(keys=frozenset({"boss"})), "cheap"), (Condition(), ""), (Condition(), "cheap")])

    assert make_plan(routing, facts(), Asked("big", "boss"), Snapshot()).rule == "model"
    with pytest.raises(NotAllowedError):
        make_plan(routing, facts(), Asked("big", "ann"), Snapshot())


def test_what_a_rule_requires_holds_for_its_fallback_too() -> None:
    able = deployment("able", Label.CONFIDENTIAL)
    routing = table({"cheap": [LOCAL, able], "rest": [LOCAL, CHEAP]}, fallback="rest")
    routing = dataclasses.replace(routing, rules=(dataclasses.replace(routing.rules[0], require=frozenset({Capability.TOOLS})),))

    plan = make_plan(routing, facts(), Asked("auto"), Snapshot())

    assert [attempt.deployment.name for attempt in plan.attempts] == ["able", "mini"]
    assert plan.excluded == (Excluded("llama", "has no tools, which the rule requires"),)


def test_what_rests_is_left_out_and_says_for_how_long() -> None:
    plan = make_plan(TABLE, facts(), Asked("auto"), Snapshot(resting={"mini": 11.2, "vast": 1.0}))

    assert [attempt.deployment.name for attempt in plan.attempts] == ["big", "llama"]
    assert plan.excluded == (Excluded("mini", "rests for 12 s"),)


def test_a_long_that_rests_stands_by_where_no_other_long_does() -> None:
    beside = table({"cheap": [CHEAP], "long": [LONG, deployment("wide", context_window=200_000)], "local": [LOCAL]}, CONFIDENTIAL_FIRST)
    resting = Snapshot(resting={"vast": 1.2})

    alone, other = make_plan(TABLE, facts(), Asked("auto"), resting), make_plan(beside, facts(), Asked("auto"), resting)

    assert [(attempt.deployment.name, attempt.reason) for attempt in alone.if_context_exceeded] == [
        ("vast", "pool long: rests for 2 s, and nothing else is left")
    ]
    assert [attempt.deployment.name for attempt in other.if_context_exceeded] == ["wide"]
    assert "vast" not in [attempt.deployment.name for attempt in alone.attempts]


def test_where_all_rests_the_soonest_stands_first() -> None:
    plan = make_plan(TABLE, facts(), Asked("auto"), Snapshot(resting={"mini": 9.0, "big": 0.2, "llama": 5.0}))

    assert [(attempt.deployment.name, attempt.reason) for attempt in plan.attempts] == [
        ("big", "pool cheap: rests for 1 s, and nothing else is left"),
        ("llama", "fallback local: rests for 5 s, and nothing else is left"),
        ("mini", "pool cheap: rests for 9 s, and nothing else is left"),
    ]
    assert plan.excluded == ()


def test_what_rests_and_is_not_cleared_is_no_way_out() -> None:
    plan = make_plan(table(POOLS, fallback="local"), facts(Label.CONFIDENTIAL), Asked("auto"), Snapshot(resting={"mini": 1.0, "llama": 2.0}))

    assert [attempt.deployment.name for attempt in plan.attempts] == ["llama"]


def test_a_plan_says_how_its_pool_chose() -> None:
    arms = Pool("p", (Member(CHEAP, share=0.5, arm="old"), Member(STRONG, share=0.5, arm="new")), Choice.WEIGHTED, True, "tone", hedge=True)
    routing = dataclasses.replace(table({"p": [CHEAP, STRONG]}), pools={"p": arms})

    plan = make_plan(routing, facts(), Asked("auto"), Snapshot(conversation=0.25))

    assert (plan.choice, plan.drawn, plan.hedge) == ("weighted, canary, experiment tone, sticky", 0.25, True)
    assert plan.arm == {"mini": "tone/old", "big": "tone/new"}[plan.attempts[0].deployment.name]
    assert plan.attempts[0].reason.startswith("pool p: arm ")


def test_a_pool_that_chooses_draws_among_those_that_may_serve_alone() -> None:
    of = Pool("p", (Member(CHEAP), Member(LOCAL)), Choice.WEIGHTED)
    routing = dataclasses.replace(table({"p": [CHEAP, LOCAL]}), pools={"p": of})

    for draw in range(50):
        assert names(routing, label=Label.CONFIDENTIAL) == ["llama"]
        plan = make_plan(routing, facts(Label.CONFIDENTIAL), Asked("auto"), Snapshot(draw=draw / 50))
        assert [attempt.deployment.name for attempt in plan.attempts] == ["llama"]


def test_a_plan_that_follows_from_the_table_is_made_once() -> None:
    routing = table(POOLS, CONFIDENTIAL_FIRST, fallback="local")
    first = make_plan(routing, facts(), Asked("auto"), Snapshot())

    assert make_plan(routing, facts(), Asked("auto"), Snapshot()) is first
    assert make_plan(routing, facts(Label.INTERNAL), Asked("auto"), Snapshot()) is not first
    assert make_plan(routing, facts(prompt_tokens=2001), Asked("auto"), Snapshot()).attempts[0].deployment.name == "big"
    assert make_plan(routing, facts(), Asked("auto"), Snapshot(resting={"mini": 1.0})).attempts[0].deployment.name == "big"
    assert make_plan(routing, facts(), Asked("auto"), Snapshot()) is first


def test_a_plan_that_is_kept_is_not_that_of_a_rule_that_requires_more() -> None:
    able = deployment("able", capabilities=frozenset(Capability))
    plain = deployment("plain", capabilities=frozenset({Capability.STREAM}))
    known = {each.name: each for each in (plain, able)}
    pools = {"p": Pool("p", (Member(plain), Member(able)))}
    routing = RoutingTable(known, {}, pools, (Rule("model", Condition(), "p", require=frozenset({Capability.TOOLS})),))

    assert names(routing, "p") == ["plain", "able"]
    assert names(routing) == ["able"]
    assert names(routing, "p") == ["plain", "able"]


def test_plans_that_are_kept_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planner, "_MAX_KEPT", 4)
    routing = table(POOLS, CONFIDENTIAL_FIRST, fallback="local")

    for need in (Capability.TOOLS, Capability.N, Capability.IMAGES, Capability.LOGPROBS, Capability.AUDIO):
        make_plan(routing, facts(needs=frozenset({need})), Asked("auto"), Snapshot())

    assert len(routing.memo) <= 4


@st.composite
def _routings(draw: st.DrawFn) -> RoutingTable:
    known = {name: deployment(name, draw(LABELS), context_window=draw(st.sampled_from([None, 50, 500]))) for name in "abcdef"}
    pools = {}
    for name in draw(st.lists(st.sampled_from(["cheap", "long", "local", "x"]), unique=True, min_size=1)):
        members = [Member(known[each], draw(st.integers(0, 3)), draw(st.sampled_from([None, None, 0.1]))) for each in draw(st.sets(st.sampled_from("abcdef")))]
        pools[name] = Pool(name, tuple(members), draw(st.sampled_from(Choice)), draw(st.booleans()))
    rules = tuple(
        Rule(f"r{place}", Condition(), draw(st.sampled_from([*pools, *known])), require=draw(st.sampled_from([frozenset(), frozenset({Capability.N})])))
        for place in (1,)
    )
    return RoutingTable(known, {}, pools, rules, draw(st.none() | st.sampled_from(list(pools))), draw(st.sampled_from(OnConflict)))


SECONDS = st.floats(0.1, 60)


@given(
    _routings(),
    LABELS,
    st.sampled_from(["auto", "cheap", "local", "a", "b"]),
    st.integers(1, 2000),
    st.builds(
        Snapshot,
        resting=st.dictionaries(st.sampled_from("abcdef"), SECONDS),
        first_token_s=st.dictionaries(st.sampled_from("abcdef"), SECONDS),
        draw=st.floats(0, 1, exclude_max=True),
        stays_with=st.sampled_from(["", *"abcdef"]),
    ),
)
def test_whatever_a_pool_chooses_and_whoever_rests_no_plan_goes_below_the_label(
    routing: RoutingTable, label: Label, model: str, tokens: int, snapshot: Snapshot
) -> None:
    known = facts(label, prompt_tokens=tokens)
    for _ in range(2):  # the second time from what was kept
        try:
            plan = make_plan(routing, known, Asked(model), snapshot)
        except GatewayError:
            return

        planned = plan.attempts + plan.if_context_exceeded
        assert plan.attempts
        assert all(attempt.deployment.clearance >= label for attempt in planned)
        assert len({attempt.deployment.name for attempt in plan.attempts}) == len(plan.attempts)
        able = {attempt.deployment.name for attempt in plan.attempts} - snapshot.resting.keys()
        assert not able or not snapshot.resting.keys() & {attempt.deployment.name for attempt in plan.attempts}
        assert all(tokens <= 2 * (attempt.deployment.context_window or tokens) for attempt in planned)


@given(st.sampled_from(Label), st.sampled_from([None, Label.PUBLIC, Label.INTERNAL, Label.CONFIDENTIAL]), st.booleans())
def test_the_rules_that_are_read_for_auto_are_those_that_decide(label: Label, asked_for: Label | None, tokens: bool) -> None:
    labels = None if asked_for is None else frozenset({asked_for})
    routing = table({"cheap": [deployment("a", Label.CONFIDENTIAL)]}, [(Condition(labels=labels, min_tokens=5 if tokens else 50), "a"), (Condition(), "cheap")])

    matching = first_match(rules_read(routing, AUTO), facts(label), Asked(AUTO), Snapshot())

    assert matching is not None
    assert make_plan(routing, facts(label), Asked(AUTO), Snapshot()).rule == matching.rule.name
