from __future__ import annotations

import re
from dataclasses import replace

from app.domain import Asked, Complexity, ComplexityTier, Finding, Label, Snapshot, Tier
from app.domain_routing import Choice, Condition, Member, Pool
from app.gateway.explain import explain, to_wire
from app.gateway.explain_text import to_text
from tests.unit.policy.table import deployment, facts, table

CLOUD, LONG, HOME = deployment("cloud"), deployment("vast"), deployment("home", Label.CONFIDENTIAL)
TABLE = table({"cheap": [CLOUD], "long": [LONG], "local": [HOME]}, [(Condition(min_tokens=99), "long"), (Condition(), "cheap")], fallback="local")


def test_a_plan_is_told_line_by_line() -> None:
    known = facts(findings=(Finding("email", Tier.WEAK, "user", 0, 9),))
    text = to_text(to_wire(explain(TABLE, known, {"model": "auto"}, Asked("auto"), Snapshot())), colour=False)

    assert "email              weak    user [0:9]" in text
    assert "no: 10 tokens at most are fewer than 99" in text
    assert "1. cloud" in text
    assert "if the prompt is too long: vast" in text
    assert "\x1b" not in text


def test_what_is_left_out_is_told_with_its_reason() -> None:
    text = to_text(to_wire(explain(TABLE, facts(Label.CONFIDENTIAL), {"model": "auto"}, Asked("auto"), Snapshot())), colour=True)

    assert "not cloud: cleared for internal, the request is confidential" in text
    assert "\x1b[" in text


def test_signals_that_count_are_told_and_others_not() -> None:
    explained = to_wire(explain(TABLE, facts(), {"model": "cheap"}, Asked("cheap"), Snapshot()))
    explained["complexity"]["contributions"] = dict(Complexity(0.3, ComplexityTier.SIMPLE, (("length", 0.3), ("code", 0.0))).contributions)

    text = to_text(explained, colour=False)

    assert "length             +0.300" in text
    assert "code" not in text


def test_a_refusal_is_told() -> None:
    assert "refused      model_not_found" in to_text(to_wire(explain(TABLE, facts(), {"model": "nothing"}, Asked("nothing"), Snapshot())), colour=False)


def test_a_second_opinion_that_was_not_asked_is_told() -> None:
    explained = to_wire(explain(TABLE, facts(), {"model": "cheap"}, Asked("cheap"), Snapshot())) | {"second_opinion": "not asked here"}

    assert "second opinion  not asked here" in to_text(explained, colour=False)


def test_the_cuts_are_told_with_the_score() -> None:
    explained = to_wire(explain(TABLE, facts(score=0.2), {"model": "auto"}, Asked("auto"), Snapshot()))

    assert "(0.200; medium from 0.070, complex from 0.420)" in to_text(explained, colour=False)


def test_how_a_pool_chose_is_told_and_what_is_planned_is_not_told_twice() -> None:
    arms = Pool("cheap", (Member(CLOUD, arm="old"), Member(LONG, arm="new")), Choice.WEIGHTED, sticky=True, experiment="tone")
    routing = replace(TABLE, pools={**TABLE.pools, "cheap": arms})

    text = to_text(to_wire(explain(routing, facts(), {"model": "auto"}, Asked("auto"), Snapshot(conversation=0.25))), colour=False)

    assert re.search(r"chosen by weighted, experiment tone, sticky, drawn 0\.\d{4}, arm tone/(old|new)", text)
    assert "if the prompt is too long" not in text
