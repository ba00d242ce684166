from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.policy.sensitivity.decode import escapes, form, quoted, utf7

SAID = "mail jane.roe@acme.io about it"


@pytest.mark.parametrize(
    "text",
    [
        "mail jane.roe%40acme.io about it",
        "mail jane.roe\\u0040acme.io about it",
        "mail jane.roe\\x40acme.io about it",
        "mail jane.roe&#64;acme.io about it",
        "mail jane.roe&#x40;acme.io about it",
        "mail jane.roe&commat;acme.io about it",
        "mail&#32;jane.roe%40acme.io\\u0020about it",
        r"mail jane.roe\u{40}acme.io about it",
        r"mail jane.roe\x{40}acme.io about it",
        r"mail jane.roe\U00000040acme.io about it",
        r"mail jane.roe\100acme.io about it",
        "mail jane.roe&#64acme.io about it",
        r"mail jane\.roe\@acme\.io about it",
        r"mail\ jane.roe@acme.io\ about it",
        "mail jane.roe&#x40;acme.io about&#32it",
    ],
)
def test_escapes_are_taken_off(text: str) -> None:
    assert escapes(text) == SAID


def test_short_escapes_are_taken_off_with_the_others() -> None:
    assert escapes(r"\u0041\n\t\r\"\'\/\\") == "A\n\t\r\"'/\\"


@pytest.mark.parametrize("text", ["100 % sure", "a & b", "C:\\dir", "plain"])
def test_a_text_without_escapes_has_no_other_reading(text: str) -> None:
    assert escapes(text) is None


@given(st.text(max_size=60))
def test_a_text_never_grows(text: str) -> None:
    assert len(escapes(text) or "") <= len(text)


def test_a_number_beyond_unicode_is_left_as_it_is() -> None:
    assert escapes(r"\u{110000} \U00110000 \u{40}") == r"\u{110000} \U00110000 @"


@pytest.mark.parametrize(
    "text", ["mail jane.roe=40acme.io about it", "mail jane.roe@ac=\nme.io about it", "".join(f"={ord(char):02X}" for char in "mail jane.roe@acme.io about it")]
)
def test_mail_encoding_is_taken_off(text: str) -> None:
    assert quoted(text) == SAID


def test_a_letter_of_several_bytes_is_read_in_mail_encoding() -> None:
    assert quoted("Z=C3=BCrich =FF") == "Z\u00fcrich \ufffd"


def test_a_plus_sign_in_a_form_is_a_space() -> None:
    assert form("q=mail+jane.roe%40acme.io+about+it") == f"q={SAID}"


@pytest.mark.parametrize("text", ["mail jane.roe+AEA-acme.io about it", "+AG0AYQBpAGw jane.roe@acme.io about it"])
def test_utf7_is_read(text: str) -> None:
    assert utf7(text) == SAID


def test_what_is_not_so_encoded_has_no_other_reading() -> None:
    assert quoted("a = b") is None
    assert utf7("a + b") is None
