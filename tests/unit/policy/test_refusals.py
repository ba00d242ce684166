from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pytest

from app.domain import Capability, Deployment, Facts, Finding, Label, LaneName, Tier
from app.domain_routing import Condition, Rule
from app.errors import ContextExceededError, NotAllowedError, UnavailableError
from app.policy.refusals import is_too_long, not_found, nothing_left, refuse_lacking, refuse_rule, tell_length
from tests.unit.policy.table import deployment, facts, table

SMALL, BIG = deployment("small", context_window=100), deployment("big", context_window=200)
EMPTY = table({"cheap": []}, [(Condition(), "cheap")])


@dataclass
class Counted:
    """Facts that say how exact a count is, and how often it was asked for."""

    tokens: int
    tokens_at_most: int
    max_output_tokens: int | None
    exact: bool
    label: Label = Label.PUBLIC
    needs: frozenset[Capability] = frozenset()
    counts: int = 0

    def tokens_for(self, _: Deployment) -> tuple[int, bool]:
        self.counts += 1
        return self.tokens, self.exact


def counted(tokens: int, at_most: int = 10_000, answer: int | None = None, *, exact: bool = True) -> Any:
    return Counted(tokens, at_most, answer, exact)


@pytest.mark.parametrize(
    ("known", "too_long"),
    [
        (counted(100), False),
        (counted(101), True),
        (counted(61, answer=40), True),
        (counted(60, answer=40), False),
        (counted(101, exact=False), False),  # an estimate leans upwards
        (counted(200, exact=False), False),
        (counted(201, exact=False), True),
        (counted(121, answer=40, exact=False), True),
        (counted(1, answer=101), True),
    ],
)
def test_what_surely_does_not_fit_is_too_long(known: Facts, *, too_long: bool) -> None:
    assert is_too_long(SMALL, known) is too_long


def test_a_text_of_fewer_bytes_than_the_window_is_not_counted() -> None:
    known = counted(1, at_most=60, answer=40)

    assert not is_too_long(SMALL, known)
    assert known.counts == 0


def test_an_unknown_window_takes_everything() -> None:
    assert not is_too_long(deployment("a"), counted(10**9))


def test_the_length_is_told_with_the_answer_that_was_asked_for() -> None:
    assert tell_length(SMALL, counted(150)) == "150 tokens do not fit its window of 100"
    assert tell_length(SMALL, counted(90, answer=20, exact=False)) == "about 90 tokens and 20 of answer do not fit its window of 100"


def test_a_prompt_that_fits_nowhere_is_refused_in_openais_words() -> None:
    found = nothing_left(EMPTY, counted(300), "auto", [SMALL, BIG], frozenset())

    assert isinstance(found, ContextExceededError)
    assert found.message == (
        "This model's maximum context length is 200 tokens. However, your messages resulted in 300 tokens. Please reduce the length of the messages."
    )
    assert (found.status, found.code, found.param) == (400, "context_length_exceeded", "messages")


def test_an_answer_that_does_not_fit_beside_the_prompt_is_told_apart() -> None:
    found = nothing_left(EMPTY, counted(100, answer=150, exact=False), "auto", [SMALL, BIG], frozenset())

    assert found.message == (
        "This model's maximum context length is 200 tokens. However, you requested about 250 tokens (100 in the messages, 150 in the completion). "
        "Please reduce the length of the messages or completion."
    )


def test_of_the_inactive_those_are_named_that_could_serve_the_request() -> None:
    idle = {"cloud": "KEY is not set", "local": "URL is not set"}
    small = table({"cheap": [SMALL]}, inactive=idle, inactive_clearances={"cloud": Label.INTERNAL, "local": Label.CONFIDENTIAL})
    email = Finding("email", Tier.HARD, "messages[0].content", 0, 9)

    found = nothing_left(small, facts(Label.CONFIDENTIAL, label_reason="findings", findings=(email,)), "auto", [SMALL], frozenset())
    hinted = nothing_left(small, facts(Label.CONFIDENTIAL, label_reason="hint"), "auto", [SMALL], frozenset())

    assert found.message == "No active deployment is cleared for a confidential request (findings: email). Inactive: local: URL is not set."
    assert "confidential request (hint). Inactive: local" in hinted.message


@pytest.mark.parametrize(("model", "named"), [("openai/small", "small"), ("openrouter/openai/cheap", "cheap"), ("openai/other", "auto"), ("other", "auto")])
def test_a_name_with_its_provider_before_it_is_told_the_name_alone(model: str, named: str) -> None:
    found = not_found(table({"cheap": [SMALL]}), facts(), model)

    assert found.message == f"The model '{model}' does not exist: ask for `{named}`, or a name that GET /v1/models lists."


def test_what_the_demo_model_lacks_is_told_with_what_to_set() -> None:
    demo = deployment("demo", Label.CONFIDENTIAL, capabilities=frozenset({Capability.STREAM}))
    demo = replace(demo, lane=LaneName.DEMO)

    found = nothing_left(EMPTY, facts(needs=frozenset({Capability.TOOLS})), "auto", [demo], frozenset())

    assert found.message.endswith("Only the built-in demo model is active: set OPENAI_API_KEY, ANTHROPIC_API_KEY or OLLAMA_BASE_URL in .env and restart.")


def test_what_a_rule_requires_and_nothing_has_is_the_operators_fault() -> None:
    plain = deployment("plain", capabilities=frozenset({Capability.STREAM}))

    found = nothing_left(EMPTY, facts(), "auto", [plain], frozenset({Capability.TOOLS, Capability.N}))

    assert isinstance(found, UnavailableError)
    assert found.message == "No active deployment that may serve this public request has what its rule requires (n, tools)."


def test_a_rule_that_rejects_answers_with_the_operators_sentence() -> None:
    found = refuse_rule(Rule("a", Condition(), reject="Ask the help desk."))

    assert isinstance(found, NotAllowedError)
    assert (found.status, found.code, found.message, found.rule) == (403, "request_rejected", "Ask the help desk.", "a")


def test_a_named_pool_lacks_what_none_of_its_cleared_members_has() -> None:
    plain = deployment("plain", Label.CONFIDENTIAL, capabilities=frozenset({Capability.STREAM}))
    known = facts(Label.CONFIDENTIAL, needs=frozenset({Capability.TOOLS}))

    assert refuse_lacking([plain, SMALL], known, "p") is not None
    assert refuse_lacking([plain, deployment("able", Label.CONFIDENTIAL)], known, "p") is None
    assert refuse_lacking([], known, "p") is None
