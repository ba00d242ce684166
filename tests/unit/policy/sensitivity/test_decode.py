from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.policy.sensitivity.decode import blob, escapes

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


@pytest.mark.parametrize(
    "run",
    [
        base64.b64encode(SAID.encode()).decode(),
        base64.urlsafe_b64encode(SAID.encode()).decode().rstrip("="),
        base64.encodebytes((SAID * 5).encode()).decode(),
        SAID.encode().hex(),
        SAID.encode().hex().upper(),
    ],
)
def test_base64_and_hex_are_read(run: str) -> None:
    decoded = blob(f"x {run} y", 2, len(run) + 3)

    assert decoded is not None
    assert decoded[0].startswith(SAID)
    assert 2 + len(run.strip()) == decoded[1]


def test_a_run_with_a_character_too_many_is_read() -> None:
    run = base64.b64encode(SAID.encode()).decode().rstrip("=")

    assert blob(run + "A", 0, 100) == (SAID, len(run) + 1)


@pytest.mark.parametrize("run", [base64.b64encode(bytes(range(128, 200))).decode(), base64.b64encode(bytes(range(30))).decode(), "deadbeef" * 5, "short"])
def test_what_is_no_text_is_not_read(run: str) -> None:
    assert blob(run, 0, len(run)) is None


def test_a_segment_of_a_path_is_read() -> None:
    path = f"verify/{base64.b64encode(SAID.encode()).decode()}/now"

    assert blob(path, 0, len(path)) == (SAID, len(path))


def test_a_run_ends_where_its_text_does() -> None:
    run = base64.b64encode(SAID.encode()).decode()

    assert blob(run * 2, 0, len(run)) == (SAID, len(run))
