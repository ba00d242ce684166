from __future__ import annotations

import base64
import hashlib
import random
import re
import time
import urllib.parse
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.domain import Finding, Tier
from app.policy.collect import Join, Scalar, collect
from app.policy.sensitivity import database
from app.policy.sensitivity.database import UnavailableError
from app.policy.sensitivity.pattern import Pattern, hard, weak
from app.policy.sensitivity.scanner import Scanner

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Check = Callable[[re.Match[str]], Tier | None]

MAIL = "jane.roe@acme.io"


def test_a_finding_has_its_position_and_offsets(scanner: Scanner) -> None:
    findings = scanner.scan([Scalar("a", "nothing"), Scalar("b", f"mail {MAIL} now")])

    assert findings == (Finding("email", Tier.HARD, "b", 5, 21),)


def test_nothing_to_scan_is_nothing_found(scanner: Scanner) -> None:
    assert scanner.scan([]) == ()


@pytest.mark.parametrize(
    "text",
    [
        "ｊａｎｅ．ｒｏｅ＠ａｃｍｅ．ｉｏ",
        "jane.r\u200boe@ac\u00adme.io",
        "jаne.roe@аcme.io",
        "jane.roe%40acme.io",
        "jane.roe%2540acme.io",
        "jane.roe\\u0040acme.io",
        "jane.roe&#64;acme.io",
        "jane.roe at acme dot io",
        "jane.roe (at) acme (dot) io",
        "jane.roe(at)acme(dot)io",
        "jane.roe[at]acme.io",
        "jane.roe {at} acme {dot} io",
        "jane.roe (AT) acme dot io",
        base64.b64encode(f"mail to {MAIL}".encode()).decode(),
        base64.b64encode(base64.b64encode(f"mail to {MAIL}".encode())).decode(),
        base64.encodebytes(f"mail to {MAIL} and then go home, it is late and dark outside".encode()).decode(),
        f"mail to {MAIL}".encode().hex(),
        "".join(chr(0xE0000 + ord(char)) for char in MAIL),
        "\u2800".join(MAIL),
        "\U0001d173".join(MAIL),
        "\x08".join(MAIL),
        "".join(f"\\u{{{ord(char):x}}}" for char in MAIL),
        "".join(f"\\U{ord(char):08x}" for char in MAIL),
        "".join(f"\\{ord(char):03o}" for char in MAIL),
        "".join(f"&#{ord(char)}" for char in MAIL),
        " ".join(f"{ord(char):02x}" for char in MAIL),
        ", ".join(str(ord(char)) for char in MAIL),
        "".join(f"={ord(char):02X}" for char in MAIL),
        "jane.roe=40acme.io",
        "jane.roe@ac=\nme.io",
        "jane.roe+AEA-acme.io",
        "q=mail+jane.roe%40acme.io",
        urllib.parse.quote(base64.b64encode(f"mail to {MAIL}".encode()).decode(), safe=""),
        base64.b64encode(urllib.parse.quote(f"mail to {MAIL}", safe="").encode()).decode(),
        "".join(f"%{byte:02X}" for byte in base64.b64encode(f"mail to {MAIL}".encode())),
    ],
)
def test_a_hidden_value_is_found(scanner: Scanner, text: str) -> None:
    (finding,) = scanner.scan([Scalar("p", text)])

    assert (finding.kind, finding.tier, finding.position) == ("email", Tier.HARD, "p")
    assert 0 <= finding.start < finding.end <= len(text)


def test_offsets_are_those_of_the_text_as_it_was(scanner: Scanner) -> None:
    text = f"\u200b\u200bé {MAIL[:5]}\u200b{MAIL[5:]} é"

    (finding,) = scanner.scan([Scalar("p", text)])

    assert text[finding.start : finding.end].replace("\u200b", "") == MAIL


def test_what_is_decoded_is_placed_where_it_stood_encoded(scanner: Scanner) -> None:
    run = base64.b64encode(f"mail to {MAIL}".encode()).decode()

    (finding,) = scanner.scan([Scalar("p", f"é see {run} there")])

    assert (finding.start, finding.end) == (6, 6 + len(run))


def test_what_is_found_as_it_stands_is_not_found_again_decoded(scanner: Scanner) -> None:
    assert len(scanner.scan([Scalar("p", f"{MAIL} %41")])) == 1


def test_what_only_looks_encoded_has_no_other_reading(scanner: Scanner) -> None:
    assert len(scanner.scan([Scalar("a", f"&nosuch; {MAIL} &zzzzzz;"), Scalar("b", "&nosuch;")], [Join((0, 1))])) == 1


def test_bytes_that_are_no_text_are_found_as_such(scanner: Scanner) -> None:
    run = base64.b64encode(random.Random(3).randbytes(900)).decode()  # noqa: S311 it stands for a picture

    assert scanner.scan([Scalar("p", f"see {run} there")]) == (Finding("binary", Tier.LIKELY, "p", 4, 4 + len(run)),)


def test_what_stands_encoded_in_one_of_two_texts_is_found_in_it_alone(scanner: Scanner) -> None:
    run = base64.b64encode(f"please write to {MAIL} today".encode()).decode()

    findings = scanner.scan([Scalar("a", f"read {run} and"), Scalar("b", "say it")], [Join((0, 1))])

    assert [(finding.kind, finding.position) for finding in findings] == [("email", "a")]


def test_an_encoded_value_that_is_cut_is_found(scanner: Scanner) -> None:
    run = base64.b64encode(f"please write to {MAIL} today".encode()).decode()
    cut = [Scalar("a", f"see {run[:30]}"), Scalar("b", f"{run[30:]} there")]

    assert [(finding.kind, finding.position) for finding in scanner.scan(cut, [Join((0, 1))])] == [("email", "a")]


def test_a_hint_does_not_hide_what_is_encoded_beside_it(scanner: Scanner) -> None:
    findings = scanner.scan([Scalar("p", "noreply@acme.io and jane.roe%40acme.io")])

    assert Tier.HARD in {finding.tier for finding in findings if finding.kind == "email"}


def test_many_hints_do_not_hide_what_follows_them(scanner: Scanner) -> None:
    findings = scanner.scan([Scalar("p", "noreply@acme.io " * 200 + MAIL)])

    assert Tier.HARD in {finding.tier for finding in findings}


def test_a_long_stretch_of_hits_is_looked_at_in_pieces(tmp_path: Path) -> None:
    looked: list[tuple[int, int]] = []

    def note(match: re.Match[str]) -> Tier | None:
        looked.append(match.span())
        return None

    pattern = Pattern("x", "b", re.compile("ab+a"), note, behind=50, ahead=50)
    text = "b" * 16_380 + "abbbbba" + "b" * 20_000 + "abba"

    Scanner((pattern,), cache=tmp_path).scan([Scalar("p", text)])

    assert sorted(set(looked)) == [(16_380, 16_387), (36_387, 36_391)]


def test_an_escape_in_a_join_is_read_once(scanner: Scanner) -> None:
    findings = scanner.scan([Scalar("a", "jane.roe%40acme.io"), Scalar("b", " then")], [Join((0, 1))])

    assert [finding.position for finding in findings] == ["a"]


def test_encodings_are_taken_off_to_a_depth_and_no_further(scanner: Scanner) -> None:
    text = MAIL
    for _ in range(3):
        text = base64.b64encode(f"this is {text}".encode()).decode()
    deeper = base64.b64encode(f"this is {text}".encode()).decode()

    assert scanner.scan([Scalar("p", text)])
    assert not scanner.scan([Scalar("p", deeper)])


def test_a_secret_is_told_by_its_key(scanner: Scanner) -> None:
    collected = collect({"metadata": {"db_password": "Tr0ub4dor&3"}})

    assert scanner.scan(collected.scalars, collected.joins) == (Finding("secret", Tier.HARD, "metadata.{0}", 0, 11),)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (r"4111\ 1111\ 1111\ 1111", "payment_card"),
        (r"jane\_roe\@acme\.io", "email"),
        (str([float(digit) for digit in "4111111111111111"]), "payment_card"),
        (str({str(index): code for index, code in enumerate(b"jane.roe@acme.io")}), "email"),
    ],
)
def test_what_is_written_for_markdown_or_as_a_list_is_found(scanner: Scanner, text: str, kind: str) -> None:
    assert [(finding.kind, finding.tier) for finding in scanner.scan([Scalar("p", text)])] == [(kind, Tier.HARD)]


def test_a_value_that_is_cut_is_found_and_a_name_that_is_not_one_is_not(scanner: Scanner) -> None:
    cut = [Scalar("a", "see jane.roe@ac"), Scalar("b", "me.io")]
    chance = [Scalar("a", "thanks to Sarah "), Scalar("b", "Johnson Street is closed")]

    assert [finding.position for finding in scanner.scan(cut, [Join((0, 1))])] == ["a"]
    assert scanner.scan(chance, [Join((0, 1))]) == ()


@pytest.mark.parametrize("second", [', "b": "1111 1111", "c": "9"}', '}|{"b": "1111 1111", "c": "9"}'])
def test_a_value_that_is_cut_over_what_functions_are_given_is_found(scanner: Scanner, second: str) -> None:
    texts = f'{{"a": "4111 1111"{second}'.split("|")
    calls = [{"id": "c", "type": "function", "function": {"name": "f", "arguments": text}} for text in texts]
    collected = collect({"messages": [{"role": "assistant", "content": None, "tool_calls": calls}]})
    position = "messages[0].tool_calls[0].function.arguments"

    assert scanner.scan(collected.scalars, collected.joins) == (Finding("payment_card", Tier.HARD, position, 7, 16),)


def test_ids_that_many_calls_are_given_hide_nothing(scanner: Scanner) -> None:
    ids = [hashlib.sha256(bytes([number])).hexdigest()[:32] for number in range(80)]
    calls = [{"id": "c", "type": "function", "function": {"name": "f", "arguments": f'{{"key_of_it": "{key}"}}'}} for key in ids]
    collected = collect({"messages": [{"role": "assistant", "content": None, "tool_calls": calls}]})

    assert scanner.scan(collected.scalars, collected.joins) == ()


def test_a_name_is_found_where_a_word_of_it_is_cut(scanner: Scanner) -> None:
    cut = [Scalar("a", "thanks to Sarah John"), Scalar("b", "son, who called")]

    assert [finding.kind for finding in scanner.scan(cut, [Join((0, 1))])] == ["person_name"]


def test_a_number_is_found_where_its_word_stands_in_another_text(scanner: Scanner) -> None:
    cut = [Scalar("a", "What is your patient ID?"), Scalar("b", " PHX-839221")]

    assert [finding.kind for finding in scanner.scan(cut, [Join((0, 1))])] == ["medical_record"]


def test_a_match_does_not_reach_over_what_a_join_leaves_out(scanner: Scanner) -> None:
    scalars = [Scalar("a", "x" * 180 + " password: '1a$" + "b" * 600 + "' end"), Scalar("b", "y")]

    assert all(finding.position == "a" and finding.start > 190 for finding in scanner.scan(scalars, [Join((0, 1))]))


def test_a_nul_in_a_text_separates_nothing(scanner: Scanner) -> None:
    findings = scanner.scan([Scalar("a", "x\0y"), Scalar("b", MAIL)])

    assert [finding.position for finding in findings] == ["b"]


def test_the_surer_of_two_findings_of_one_place_stays(tmp_path: Path) -> None:
    sure, unsure = (Pattern("x", "abc", re.compile("abc"), check) for check in (hard, weak))

    for patterns in ((sure, unsure), (unsure, sure)):
        assert [finding.tier for finding in Scanner(patterns, cache=tmp_path).scan([Scalar("p", "abc")])] == [Tier.HARD]


@pytest.mark.parametrize(("tiers", "kept"), [((hard, hard), (0, 6)), ((weak, hard), (2, 4)), ((hard, weak), (0, 6)), ((weak, weak), (0, 6))])
def test_of_overlapping_findings_the_surest_stays_else_the_longest(tmp_path: Path, tiers: tuple[Check, Check], kept: tuple[int, int]) -> None:
    outer, inner = tiers
    patterns = (Pattern("x", "abcdef", re.compile("abcdef"), outer), Pattern("x", "cd", re.compile("cd"), inner), Pattern("y", "ab", re.compile("ab"), weak))

    found = [finding for finding in Scanner(patterns, cache=tmp_path).scan([Scalar("p", "abcdef")]) if finding.kind == "x"]

    assert [(finding.start, finding.end) for finding in found] == [kept]


def test_what_the_check_refuses_is_not_found(tmp_path: Path) -> None:
    pattern = Pattern("x", "abc", re.compile("abc"), lambda _: None)

    assert Scanner((pattern,), cache=tmp_path).scan([Scalar("p", "abc")]) == ()


def test_findings_of_one_kind_are_bounded(scanner: Scanner) -> None:
    assert len(scanner.scan([Scalar("p", "a.b@acme.io " * 1_000)])) == 64


def test_a_scanner_that_cannot_run_says_why_and_scans_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "hyperscan", None)
    scanner = Scanner()

    assert scanner.health == "The package hyperscan cannot be imported; install requirements.txt."
    with pytest.raises(UnavailableError):
        scanner.scan([Scalar("p", "x")])


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.text(max_size=40), max_size=4))
def test_any_texts_can_be_scanned(scanner: Scanner, texts: list[str]) -> None:
    scalars = [Scalar(str(index), text) for index, text in enumerate(texts)]

    for finding in scanner.scan(scalars, [Join(tuple(range(len(texts))))] if len(texts) > 1 else []):
        assert 0 <= finding.start < finding.end <= len(texts[int(finding.position)])


HOSTILE = {
    "newlines": "\n",
    "digits": "1234567890",
    "spaced": "1 ",
    "dashed": "1-",
    "words": "first ",
    "brackets": "[",
    "objects": '{"a":',
    "dots": "1.",
    "colons": "a:",
    "at": "a@",
    "hosts": "a@b.",
    "titles": "Aa Bb ",
    "base64": "QUJD",
    "lines": "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVo=\n",
    "percent": "%41",
    "entities": "&amp;",
    "escapes": "\\u0041",
    "passwords": 'password="',
    "urls": "http://a:",
    "jwt": "eyJaaaaaaaaaa.",
    "keys": "-----BEGIN ",
    "masks": "XXXX-",
    "spaces": " ",
    "ibans": "DE89 ",
    "wide": "１２",
    "unseen": "1\u200b",
    "emoji": "😀",
    "names": "my name is ",
    "streets": "1 Ab Cd ",
    "calls": "call 1",
    "accounts": "account ",
    "long names": "a_long_name_of_a_thing\n",
    "escaped lines": "a_long_name_of_a_thing\\n",
    "braced": "\\u{40}",
    "octal": "\\101",
    "quoted": "=41",
    "soft breaks": "a=\n",
    "forms": "a=b+",
    "shifted": "+AGE-",
    "hex codes": "41 ",
    "persons": "John Aabb ",
    "persons in programs": "import a\nJohn Aabb\n",
    "bylines": "Ab Cd <a@b.co> ",
    "versions": "9.8.7.6 ",
    "defaults": "password=${A:-b1c2d3} ",
    "bits": "01000001 ",
    "digits in a list": '"4", ',
    "typed arrays": '"1": 65, ',
    "markdown": "a\\_",
    "fences": "```\n",
}


@pytest.mark.parametrize("unit", HOSTILE.values(), ids=HOSTILE)
def test_time_is_linear_in_hostile_text(scanner: Scanner, unit: str) -> None:
    def cost(size: int) -> float:
        """Return the CPU time of this thread: what else the machine does is not in it."""
        scalars = [Scalar("p", (unit * size)[:size])]
        start = time.thread_time()
        scanner.scan(scalars)
        return time.thread_time() - start

    cost(1_000)
    ratios = (cost(40_000) / (cost(10_000) + 0.0025) for _ in range(8))  # a quiet moment is enough: what is quadratic is so in every one

    assert any(ratio < 8 for ratio in ratios)  # quadratic would be 16


def test_a_wrapped_run_is_read_as_one(spot: Callable[[str], set[tuple[str, str, str]]]) -> None:
    wrapped = base64.encodebytes(b"Please write to the lady in question, whose address is henrietta.quackenbush@corvid-logistics.net").decode().strip()

    assert spot(f"see\n{wrapped}\nthere") == {("email", "hard", wrapped)}


def test_every_character_is_looked_at_once_by_a_pattern(tmp_path: Path) -> None:
    looked: list[int] = []

    def count(match: re.Match[str]) -> Tier | None:
        looked.append(match.start())
        return None

    pattern = Pattern("x", "a", re.compile("a"), count, behind=50, ahead=50)

    Scanner((pattern,), cache=tmp_path).scan([Scalar("p", "a" * 1_000 + " " * 300 + "a"), Scalar("q", "a")])

    assert len(looked) == 1_002


def test_an_ordinary_text_is_public(spot: Callable[[str], set[tuple[str, str, str]]]) -> None:
    for text in (
        "Write a function that returns the n-th prime, with tests, in Python 3.12.1.",
        "Natalia sold 48 clips in April, and half as many in May. How many did she sell altogether?",
        "Explain the Krebs cycle to a child of 10 in 3 paragraphs, then list 5 questions.",
        "Visual Studio Code shows 'Module not found' after I ran pip install -r requirements.txt. What now?",
        "from app.config import settings\npassword = settings.db_password\ntoken = get_token(request)\n",
        "SELECT id, name FROM users WHERE created_at > '2024-01-01' ORDER BY 1 LIMIT 100;",
        "In 1912 the Titanic left Southampton; 1,503 of 2,208 people died. Summarise why.",
    ):
        assert spot(text) == set()
