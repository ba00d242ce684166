from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.domain import ComplexityTier, Finding, Hints, Label, Tier
from app.policy.assess import Assessor
from app.policy.taint import Earlier
from app.policy.vocabulary import Vocabularies

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from app.policy.collect import Join, Scalar
    from app.policy.sensitivity.scanner import Scanner

CARD = "4111 1111 1111 1111"
KEY = "sk-proj-" + "Zq7Rt2Lw9Xk4Vb6N" * 3
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12),
    lambda children: st.lists(children, max_size=4) | st.dictionaries(st.text(max_size=6), children, max_size=4),
)
SOME = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


class FakeScanner:
    def __init__(self, *, findings: tuple[Finding, ...] = (), health: str | None = None, error: Exception | None = None) -> None:
        self.findings = findings
        self.health = health
        self.error = error

    def scan(self, _scalars: Sequence[Scalar], _joins: Sequence[Join]) -> tuple[Finding, ...]:
        if self.error is not None:
            raise self.error
        return self.findings


def said(*contents: Any) -> dict[str, Any]:
    return {"model": "auto", "messages": [{"role": "user", "content": content} for content in contents]}


def assessor(**options: Any) -> Assessor:
    return Assessor(scanner=FakeScanner(), **options)  # type: ignore[arg-type]


def finding(tier: Tier, kind: str = "email") -> Finding:
    return Finding(kind, tier, "messages[0].content", 0, 1)


@pytest.fixture(scope="module")
def real(scanner: Scanner) -> Assessor:
    return Assessor(scanner=scanner)


def test_an_ordinary_request_has_the_default_label() -> None:
    for label in Label:
        facts = assessor(default_label=label).assess(said("hello"), Hints())

        assert (facts.label, facts.label_reason) == (label, "default")


@pytest.mark.parametrize(("tier", "label"), [(Tier.HARD, Label.CONFIDENTIAL), (Tier.LIKELY, Label.CONFIDENTIAL), (Tier.WEAK, Label.INTERNAL)])
def test_a_findings_tier_gives_the_label(tier: Tier, label: Label) -> None:
    facts = Assessor(scanner=FakeScanner(findings=(finding(tier),))).assess(said("x"), Hints())  # type: ignore[arg-type]

    assert (facts.label, facts.label_reason, facts.kinds) == (label, "findings", ("email",))


def test_the_operator_says_what_tiers_and_kinds_mean() -> None:
    scanner = FakeScanner(findings=(finding(Tier.HARD), finding(Tier.WEAK, "person_name")))

    facts = Assessor(scanner=scanner, labels=dict.fromkeys(Tier, Label.PUBLIC), kind_labels={"person_name": Label.INTERNAL}).assess(said("x"), Hints())  # type: ignore[arg-type]

    assert facts.label == Label.INTERNAL


def test_findings_that_mean_no_more_than_the_default_leave_it() -> None:
    scanner: Any = FakeScanner(findings=(finding(Tier.WEAK),))

    facts = Assessor(scanner=scanner, default_label=Label.INTERNAL).assess(said("x"), Hints())

    assert (facts.label, facts.label_reason, facts.kinds) == (Label.INTERNAL, "default", ("email",))


def test_a_hint_raises_the_label() -> None:
    facts = assessor().assess(said("x"), Hints(label=Label.INTERNAL))

    assert (facts.label, facts.label_reason) == (Label.INTERNAL, "hint")


def test_what_cannot_be_scanned_is_confidential_unless_allowed_by_name() -> None:
    body = said([{"type": "image_url", "image_url": {"url": "data:image/png;base64,AA"}}])

    assert assessor().assess(body, Hints()).label_reason == "unscannable"
    assert assessor(allow_unscannable=frozenset({"audio"})).assess(body, Hints()).label == Label.CONFIDENTIAL
    assert assessor(allow_unscannable=frozenset({"image"})).assess(body, Hints()).label == Label.PUBLIC


@pytest.mark.parametrize(("text", "over"), [("abcd" * 4, False), ("abcd" * 5, True), ("äöü" * 3, True)])
def test_text_over_the_scan_limit_is_confidential(text: str, over: bool) -> None:
    facts = assessor(max_scan_bytes=16).assess({"messages": [{"role": "user", "content": text}]}, Hints())

    assert (facts.label_reason == "over_scan_limit") is over


def test_a_scanner_that_cannot_run_makes_everything_confidential() -> None:
    sick = Assessor(scanner=FakeScanner(health="It is not installed."))  # type: ignore[arg-type]

    facts = sick.assess(said("x"), Hints())

    assert (facts.label, facts.label_reason) == (Label.CONFIDENTIAL, "scanner_unavailable")
    assert sick.health == "Everything is confidential: It is not installed."
    assert assessor().health is None


def test_a_fault_of_the_scanner_is_confidential_told_and_leaves_the_other_facts() -> None:
    told: list[BaseException] = []
    error = RuntimeError("x")

    facts = Assessor(scanner=FakeScanner(error=error), on_fault=told.append).assess(said("x") | {"stream": True}, Hints())  # type: ignore[arg-type]

    assert (facts.label, facts.label_reason) == (Label.CONFIDENTIAL, "scanner_error")
    assert facts.needs
    assert told == [error]


def test_any_other_fault_is_confidential_too() -> None:
    class Broken(dict[str, Any]):
        def items(self) -> Any:
            raise RuntimeError("x")

    facts = assessor().assess(Broken(), Hints(complexity=ComplexityTier.SIMPLE))

    assert (facts.label, facts.label_reason, facts.complexity.tier) == (Label.CONFIDENTIAL, "scanner_error", ComplexityTier.SIMPLE)


@pytest.mark.parametrize(
    ("fields", "limit"),
    [({}, None), ({"max_tokens": 5}, 5), ({"max_tokens": 5, "max_completion_tokens": 7}, 7), ({"max_tokens": True}, None), ({"max_tokens": "5"}, None)],
)
def test_the_answers_limit(fields: dict[str, Any], limit: int | None) -> None:
    assert assessor().assess(said("x") | fields, Hints()).max_output_tokens == limit


def test_a_complexity_hint_sets_the_tier() -> None:
    assert assessor().assess(said("x"), Hints(complexity=ComplexityTier.COMPLEX)).complexity.tier == ComplexityTier.COMPLEX


def test_neither_score_nor_tokens_are_computed_before_they_are_read() -> None:
    facts = assessor().assess(said("Prove it."), Hints())

    assert (facts.known_complexity, facts.known_prompt_tokens) == (None, None)
    assert (facts.complexity, facts.prompt_tokens) == (facts.known_complexity, facts.known_prompt_tokens)


@SOME
@given(st.text(max_size=200), st.lists(st.text(max_size=10), max_size=5))
def test_the_bound_is_never_below_the_tokens(text: str, names: list[str]) -> None:
    tools = [{"type": "function", "function": {"name": name, "parameters": {"type": "object", "properties": {name: {"type": "string"}}}}} for name in names]
    facts = assessor().assess(said(text) | {"tools": tools}, Hints())

    assert facts.prompt_tokens <= facts.tokens_at_most


def test_the_default_scanner_is_made_when_none_is_given(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))

    assert Assessor().health is None


@SOME
@given(st.dictionaries(st.text(max_size=8) | st.sampled_from(["messages", "tools", "metadata", "response_format", "n"]), JSON, max_size=5))
def test_any_body_has_facts(real: Assessor, body: dict[str, Any]) -> None:
    facts = real.assess(body, Hints())

    assert facts.label_reason != "scanner_error"
    assert facts.prompt_tokens >= 3


@SOME
@given(JSON, st.sampled_from(Label))
def test_the_label_is_never_below_the_hint(real: Assessor, value: object, hint: Label) -> None:
    assert real.assess({"messages": [{"role": "user", "content": value}]}, Hints(label=hint)).label >= hint


@SOME
@given(st.lists(st.sampled_from(["hello", CARD, "mail jane.roe@acme.io", "Dear Anna,", "10.1.2.3", "the end"]), min_size=1, max_size=4), st.text(max_size=30))
def test_another_message_never_lowers_the_label(real: Assessor, contents: list[str], more: str) -> None:
    before = real.assess(said(*contents), Hints()).label

    assert real.assess(said(*contents, more), Hints()).label >= before
    assert real.assess(said(more, *contents), Hints()).label >= before


@st.composite
def planted(draw: st.DrawFn) -> dict[str, Any]:
    """Give a body that holds the card number somewhere: as a value, as a key, in a text, in JSON within a string."""
    spot = draw(st.sampled_from([CARD, {CARD: 1}, {"x": f"so {CARD} it is"}, [1, CARD], f'{{"card": "{CARD}"}}', 4111111111111111]))
    for _ in range(draw(st.integers(0, 4))):
        spot = draw(
            st.sampled_from([lambda inner: [inner], lambda inner: {"k": inner}, lambda inner: {"content": inner}, lambda inner: ["other", inner, None]])
        )(spot)
    place = draw(st.sampled_from(["message", "content", "tool_calls", "metadata", "tools", "unknown"]))
    message: dict[str, Any] = {"role": "user", "content": "hello"}
    body: dict[str, Any] = {"messages": [message]}
    if place in {"content", "tool_calls"}:
        message[place] = spot
    elif place == "message":
        message["extra"] = spot
    else:
        body[place] = spot
    return body


@SOME
@given(planted())
def test_a_card_number_is_found_wherever_it_stands(real: Assessor, body: dict[str, Any]) -> None:
    facts = real.assess(body, Hints())

    assert facts.label == Label.CONFIDENTIAL
    assert "payment_card" in facts.kinds


@pytest.mark.parametrize("cut", range(1, len(CARD)))
@pytest.mark.parametrize("roles", [("user", "user"), ("user", "assistant")])
def test_a_value_cut_over_two_messages_is_found(real: Assessor, cut: int, roles: tuple[str, str]) -> None:
    filler = "Some words that come before the number and make the text long. " * 10
    body = {"messages": [{"role": roles[0], "content": filler + CARD[:cut]}, {"role": roles[1], "content": CARD[cut:] + " " + filler}]}

    assert real.assess(body, Hints()).kinds == ("payment_card",)


def test_a_value_cut_over_two_parts_is_found(real: Assessor) -> None:
    parts = [{"type": "text", "text": "4111 1111 "}, {"type": "text", "text": "1111 1111"}]

    assert real.assess(said(parts), Hints()).findings == (Finding("payment_card", Tier.HARD, "messages[0].content[0].text", 0, 10),)


def test_facts_never_show_what_was_found(real: Assessor) -> None:
    facts = real.assess(said(f"{CARD} jane.roe@acme.io"), Hints())

    assert facts.kinds == ("email", "payment_card")
    assert "4111" not in repr(facts)
    assert "jane" not in repr(facts)


EMAIL_TEXT = "Write to henrietta.quackenbush@corvid-logistics.net about Mr Müller, please."


@pytest.mark.parametrize(
    "change",
    [
        {"future": 4111111111111111.0},
        {"tools": [{"type": "function", "function": {"name": "f", "parameters": {"default": 4.111111111111111e15}}}]},
        {"input": [15339, 1917, 0, 99999]},
        {"prediction": {"type": "content", "content": [15339, 1917, 0, 99999]}},
        {"user": base64.b64encode(EMAIL_TEXT.encode("latin-1")).decode()},
        {"user": base64.b64encode(EMAIL_TEXT.encode("utf-16-le")).decode()},
        {"user": base64.b64encode(b"nothing to see here " * 60_000 + EMAIL_TEXT.encode()).decode()},
        {"user": "\0".join("henrietta.quackenbush@corvid-logistics.net")},
        {
            "messages": [
                {"role": "user", "content": "Charge 4111 1111"},
                {"role": "assistant", "content": None, "tool_calls": [{"id": "1", "type": "function", "function": {"name": "f", "arguments": '{"a": "b"}'}}]},
                {"role": "tool", "tool_call_id": "1", "content": " 1111 1111"},
            ]
        },
        {"future": [[]] * 200_001},
        {"messages": [{"role": "user", "content": "a"}] * 100_001},
    ],
    ids=["float", "float in a schema", "tokens", "nested tokens", "latin-1", "utf-16", "long base64", "nul", "over turns", "values", "messages"],
)
def test_what_hides_is_confidential(change: dict[str, Any]) -> None:
    body = {"model": "auto", "messages": [{"role": "user", "content": "hello"}]} | change

    assert Assessor().assess(body, Hints()).label is Label.CONFIDENTIAL


@pytest.mark.parametrize(
    "change",
    [
        {"tools": [{"type": "function", "function": {"name": "f", "parameters": {"enum": [200, 404, 500, 503, 100000]}}}]},
        {"stop_token_ids": [128001, 128008, 128009, 128010]},
        {"temperature": 1.0, "seed": 12345678},
        {"user": base64.b64encode(bytes(range(256)) * 2).decode()},
    ],
)
def test_figures_and_hashes_stay_public(change: dict[str, Any]) -> None:
    body = {"model": "auto", "messages": [{"role": "user", "content": "hello"}]} | change

    assert Assessor().assess(body, Hints()).label is Label.PUBLIC


@pytest.mark.parametrize(
    "part",
    [
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}, "note": "A" * 300 + "/" + KEY},
        {"type": "image_url", "image_url": {"url": "data:image/svg+xml;base64," + base64.b64encode(f"<svg>{EMAIL_TEXT} {KEY}</svg>".encode()).decode()}},
    ],
)
def test_with_images_allowed_what_is_no_image_is_still_scanned(part: dict[str, Any]) -> None:
    body = {"model": "auto", "messages": [{"role": "user", "content": [part]}]}

    assert Assessor(allow_unscannable=frozenset({"image"})).assess(body, Hints()).label is Label.CONFIDENTIAL


@pytest.mark.parametrize("parts", [("the patient is Sarah Jo", "hnson, aged 40"), ("she lives at 12 Rosewood ", "Street in town")])
def test_a_name_or_address_over_parts_of_one_message_is_found(real: Assessor, parts: tuple[str, str]) -> None:
    facts = real.assess(said([{"type": "text", "text": part} for part in parts]), Hints())

    assert facts.label is Label.CONFIDENTIAL


def test_more_places_than_can_be_looked_at_are_confidential() -> None:
    facts = Assessor().assess(said("=" * 1_000_000), Hints())

    assert (facts.label, facts.label_reason) == (Label.CONFIDENTIAL, "over_scan_limit")


def test_what_carries_on_a_confidential_conversation_is_confidential() -> None:
    facts = Assessor().assess(said("Go on."), Hints(Label.INTERNAL), Earlier(confidential=True))

    assert (facts.label, facts.label_reason) == (Label.CONFIDENTIAL, "conversation")


SEALED = {"model": "auto", "messages": [{"role": "assistant", "content": "a", "encrypted_content": "EqQBCgIYAhIM/c2lnbmF0dXJl+Q=="}]}


@pytest.mark.parametrize(
    ("earlier", "allowed", "label"),
    [
        (Earlier(), (), Label.CONFIDENTIAL),
        (Earlier(), ("image",), Label.CONFIDENTIAL),
        (Earlier(), ("blob",), Label.PUBLIC),
        (Earlier(issuers={"EqQBCgIYAhIM/c2lnbmF0dXJl+Q==": frozenset({"cloud"})}), (), Label.PUBLIC),
        (Earlier(issuers={"another": frozenset({"cloud"})}), (), Label.CONFIDENTIAL),
    ],
)
def test_a_blob_that_nobody_is_known_to_have_issued_is_confidential(earlier: Earlier, allowed: tuple[str, ...], label: Label) -> None:
    facts = Assessor(allow_unscannable=frozenset(allowed)).assess(SEALED, Hints(), earlier)

    assert facts.label is label
    assert facts.label_reason == ("unscannable" if label is Label.CONFIDENTIAL else "default")


def test_a_known_blob_is_not_scanned_and_what_stands_beside_it_is(real: Assessor) -> None:
    body = {"model": "auto", "messages": [{"role": "assistant", "content": "a", "signature": KEY, "thinking": "b"}]}
    known = Earlier(issuers={KEY: frozenset({"cloud"})})

    assert real.assess(body, Hints(), known).label is Label.PUBLIC
    assert real.assess(body, Hints()).label_reason == "findings"
    body["messages"] = [{"role": "assistant", "content": CARD, "signature": KEY}]
    assert real.assess(body, Hints(), known).label_reason == "findings"


def test_tokens_that_can_only_be_estimated_are_told(tmp_path: Path) -> None:
    assert Assessor().counting is None
    assert Assessor(vocabularies=Vocabularies(tmp_path)).counting == "Tokens are estimated: LiteLLM's package lacks o200k_base and cl100k_base."
