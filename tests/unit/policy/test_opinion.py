from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain import Facts, Finding, Label, Tier
from app.domain_opinion import Spotted
from app.policy.opinion import OVER_LIMIT, REASON, UNAVAILABLE, LeftAlone, findings_of, raised, sheet_of, unread


def body(*texts: str) -> dict[str, Any]:
    return {"model": "auto", "messages": [{"role": "user", "content": text} for text in texts]}


def known(label: Label = Label.PUBLIC) -> Facts:
    return Facts(label, "default", ())


def spotted(text: str, within: str, tier: Tier = Tier.LIKELY) -> Spotted:
    return Spotted("person", tier, within.index(text), within.index(text) + len(text))


def test_every_text_is_on_the_sheet_and_no_word_of_the_schema() -> None:
    sheet = sheet_of({**body("Jane said", "so"), "tools": [{"type": "function", "function": {"name": "call_bob", "description": "Calls Bob."}}], "user": "ann"})

    assert sheet.text.split("\n") == ["Jane said", "so", "call_bob", "Calls Bob.", "ann"]


def test_what_a_provider_sealed_is_not_read() -> None:
    sealed = "A" * 300
    message = {"role": "assistant", "content": [{"type": "thinking", "thinking": "hm", "signature": sealed}]}

    assert sealed not in sheet_of({"model": "auto", "messages": [message]}).text


def test_an_empty_request_is_an_empty_sheet() -> None:
    assert sheet_of({"messages": []}).text == ""


def test_half_a_surrogate_pair_keeps_its_place() -> None:
    assert sheet_of(body("a\ud800b")).text == "a\ufffdb"


@given(st.lists(st.text(st.characters(codec="utf-8"), min_size=1, max_size=20), min_size=1, max_size=6), st.data())
def test_a_finding_is_told_where_it_stands(texts: list[str], data: st.DataObject) -> None:
    sheet = sheet_of(body(*texts))
    place = data.draw(st.integers(0, len(sheet.text) - 1))
    end = data.draw(st.integers(place + 1, len(sheet.text)))

    (found,) = findings_of(sheet, [Spotted("person", Tier.LIKELY, place, end)])

    index = sheet.positions.index(found.position)
    whole = sheet.text[sheet.starts[index] :]
    assert 0 <= found.start <= found.end
    assert whole[found.start] == sheet.text[place] or found.start == found.end


def test_one_that_goes_over_two_texts_ends_with_the_first() -> None:
    sheet = sheet_of(body("I am Jane", "Doe of Rye"))

    assert findings_of(sheet, [spotted("Jane\nDoe", sheet.text)]) == (Finding("person", Tier.LIKELY, "messages[0].content", 5, 9),)


@pytest.mark.parametrize("quote", ["help@acme.io", "acme", "jane@mail.Home.example"])
def test_what_the_operator_leaves_alone_is_no_finding(quote: str) -> None:
    sheet = sheet_of(body("Write to Help@Acme.io or jane@mail.Home.example."))
    left = LeftAlone.of(["help@acme.io"], ["home.example"])

    assert findings_of(sheet, [spotted(quote, sheet.text.replace("Help@Acme", "help@acme"))], left) == ()


@pytest.mark.parametrize("quote", ["help", "x@nothome.example"])
def test_what_only_looks_like_it_is_found(quote: str) -> None:
    sheet = sheet_of(body("This help x@nothome.example is not help@acme.io."))

    assert len(findings_of(sheet, [spotted(quote, sheet.text)], LeftAlone.of(["help@acme.io"], ["home.example"]))) == 1


@pytest.mark.parametrize("text", ["help@acme.io and whoever else", "whoever else, and help@acme.io"])
def test_a_quotation_that_stands_nowhere_is_found_also_where_a_text_begins_with_what_is_left_alone(text: str) -> None:
    sheet = sheet_of(body(text))

    assert len(findings_of(sheet, [Spotted("person", Tier.LIKELY, 0, 0)], LeftAlone.of(["help@acme.io"], []))) == 1


def test_a_value_that_is_left_alone_leaves_what_goes_beyond_it() -> None:
    sheet = sheet_of(body("ann, bob and ann again"))
    left = LeftAlone.of(["ann", "bob"], [])
    spans = [(0, 3), (5, 8), (0, 8), (4, 8), (13, 16), (13, 17), (9, 12)]

    assert [finding.start for finding in findings_of(sheet, [Spotted("person", Tier.LIKELY, *span) for span in spans], left)] == [0, 4, 13, 9]


@given(
    st.lists(st.tuples(st.integers(0, 40), st.integers(1, 9)), max_size=20),
    st.text("ab ", min_size=50, max_size=50),
    st.lists(st.text("ab", min_size=1, max_size=3), min_size=1, max_size=3),
)
def test_what_is_left_alone_lies_within_a_value(places: list[tuple[int, int]], text: str, values: list[str]) -> None:
    left = LeftAlone.of(values, [])
    assert left.values is not None
    spans = [match.span() for match in left.values.finditer(text)]
    found = [Spotted("person", Tier.LIKELY, start, start + size) for start, size in places]

    assert left.holds(text, found) == [any(start <= each.start and each.end <= end for start, end in spans) for each in found]


@pytest.mark.parametrize("quote", ["Jane Doe, jane@home.example", "Jane:jane@home.example", "iban DE89370400440532013000@home.example"])
def test_what_stands_beside_an_address_that_is_left_alone_is_found(quote: str) -> None:
    sheet = sheet_of(body(f"This is {quote}"))

    assert len(findings_of(sheet, [spotted(quote, sheet.text)], LeftAlone.of([], ["home.example"]))) == 1


def test_a_label_rises_by_what_was_found_and_says_so() -> None:
    found = Finding("person", Tier.LIKELY, "user", 0, 1)

    facts = raised(known(), [found], lambda _: Label.CONFIDENTIAL)

    assert (facts.label, facts.label_reason, facts.findings) == (Label.CONFIDENTIAL, REASON, (found,))


@given(st.sampled_from(Label), st.lists(st.sampled_from(Label), max_size=4))
def test_a_label_never_falls(label: Label, means: list[Label]) -> None:
    found = [Finding(f"k{index}", Tier.WEAK, "", index, index) for index in range(len(means))]

    facts = raised(known(label), found, lambda finding: means[finding.start])

    assert facts.label == max([label, *means])
    assert facts.findings == tuple(found)


@pytest.mark.parametrize("reason", [UNAVAILABLE, OVER_LIMIT])
def test_what_could_not_be_read_is_confidential_and_no_hard_finding(reason: str) -> None:
    facts = unread(known(Label.INTERNAL), reason)

    assert (facts.label, facts.label_reason, facts.kinds) == (Label.CONFIDENTIAL, reason, ("second_opinion_unavailable",))
    assert all(finding.tier is not Tier.HARD for finding in facts.findings)
