from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.policy.sensitivity.fold import OTHER, _Table, fold


@pytest.mark.parametrize(
    ("text", "folded"),
    [
        ("plain ASCII", "plain ASCII"),
        ("a\0b", "ab"),
        ("é\x1a\x1b", "e"),
        ("a\u2800b\U0001d173c", "abc"),
        ("a\x1ab\x7f", "ab"),
        ("é\0", "e"),
        ("４１１１", "4111"),
        ("٤١٢", "412"),
        ("①②", "12"),
        ("𝟏𝟐", "12"),
        ("ｊｏｈｎ＠ａｃｍｅ", "john@acme"),
        ("аcme.сom", "acme.com"),
        ("a\u00a0b\u2003c", "a b c"),
        ("1\u20112\u22123", "1-2-3"),
        ("“a” ‘b’", "\"a\" 'b'"),
        ("a\u2028b", "a\nb"),
        ("Müller Łódź Straße", "Muller Lodz Strase"),
        ("Иван", "Zzan"),
        ("中文", OTHER * 2),
        ("\U000e0041\U000e0062", "Ab"),
        ("\ud800x", f"{OTHER}x"),
        ("j\u200bo\u00adhn", "john"),
        ("e\u0301", "e"),
        ("4\ufe0f\u20e31\ufe0f\u20e3", "41"),
        ("j\u1ab0o\u1dc0h\ufe20n", "john"),
        ("j\x85o\x9fh\u06ddn", "john"),
        ("j\U0001bca0o\U00013430h\ufdd0n\uffff", "john"),
    ],
)
def test_what_looks_alike_folds_alike(text: str, folded: str) -> None:
    assert fold(text).text == folded


@given(st.text())
def test_a_folded_text_is_ascii_without_nul_and_never_longer(text: str) -> None:
    folded = fold(text)

    assert folded.text.isascii()
    assert "\0" not in folded.text
    assert len(folded.text) + len(folded.gaps) == len(text)


@given(st.text(alphabet=st.sampled_from("ab\u200b\u00adé"), max_size=30))
def test_an_offset_finds_its_way_back(text: str) -> None:
    folded = fold(text)

    for offset, char in enumerate(folded.text):
        assert fold(text[folded.original(offset)]).text == char


def test_bytes_are_not_folded() -> None:
    with pytest.raises(UnicodeDecodeError):
        b"\xff".decode("ascii", "sluice_look_alike")


def test_the_table_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.policy.sensitivity.fold._MAX_KEPT", 2)
    table = _Table()

    assert "äöü".translate(table) == "aou"
    assert len(table) == 2


def test_a_folded_text_is_not_shown() -> None:
    assert "words" not in repr(fold("words"))
