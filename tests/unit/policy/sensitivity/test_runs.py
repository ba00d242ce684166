from __future__ import annotations

import base64
import json
import random

import pytest

from app.policy.sensitivity.runs import OPAQUE_CHARS, Run, blob, codes

SAID = "mail jane.roe@acme.io about it"
NOISE = random.Random(7).randbytes(3_000)  # noqa: S311 it stands for a picture


def b64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


@pytest.mark.parametrize(
    "run",
    [
        b64(SAID.encode()),
        base64.urlsafe_b64encode(SAID.encode()).decode().rstrip("="),
        base64.encodebytes((SAID * 5).encode()).decode(),
        base64.encodebytes((SAID * 5).encode()).decode().strip().replace("\n", "\\n"),
        base64.encodebytes((SAID * 5).encode()).decode().strip().replace("\n", "\\r\\n"),
        SAID.encode().hex(),
        SAID.encode().hex().upper(),
        f"0x{SAID.encode().hex()}",
        f"x{SAID.encode().hex()}",  # behind the backslash that PostgreSQL writes
        b64(SAID.encode("utf-16-le")),
        b64(SAID.encode("utf-16-be")),
        b64(f"{SAID} \u00fc".encode("cp1252")),
    ],
)
def test_base64_and_hex_are_read(run: str) -> None:
    read = blob(f"x {run} y", 2, len(run) + 3)

    assert read is not None
    assert read.text is not None
    assert read.text.startswith(SAID)
    assert 2 + len(run.strip()) == read.end


def test_a_run_with_a_character_too_many_is_read() -> None:
    run = b64(SAID.encode()).rstrip("=")

    assert blob(run + "A", 0, 100) == Run(SAID, len(run) + 1)


def test_the_letter_of_an_escaped_line_break_is_no_part_of_a_run() -> None:
    run = b64(SAID.encode())

    assert blob(f"\\n{run}", 1, 100) == Run(SAID, len(run) + 2)


@pytest.mark.parametrize(
    "head", [b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0", b"GIF89a", b"RIFF", b"ID3\x04", b"OggS", b"%PDF-1.4", b"PK\x03\x04", b"\x1f\x8b\x08"]
)
def test_a_small_file_hides_something(head: bytes) -> None:
    run = b64(head + NOISE[:60])

    assert blob(run, 0, len(run)) == Run(None, len(run), hides=True)


@pytest.mark.parametrize("run", [b64(bytes(range(128, 200))), b64(bytes(range(30))), "deadbeef" * 5, "short", b64(b"\x00\xd8\x41\x00" * 10)])
def test_what_is_no_text_is_not_read(run: str) -> None:
    read = blob(run, 0, len(run))

    assert read is None or (read.text, read.hides) == (None, False)


@pytest.mark.parametrize("name", ["a_name_of_more_than_twenty_characters", "a_name_of_more_than_twenty_characters\\n" * 9 + "and_another_of_twenty_one"])
def test_names_around_a_run_do_not_hide_what_it_says(name: str) -> None:
    lines = base64.encodebytes((SAID * 9).encode()).decode().strip()

    before, after = (blob(run, 0, len(run)) for run in (f"{name}\n{lines}", f"{lines}\n{name}"))

    assert before is not None
    assert SAID in str(before.text)
    assert after is not None
    assert SAID in str(after.text)


@pytest.mark.parametrize("head", ["PGP PUBLIC KEY BLOCK-----\nVersion: GnuPG v2\nComment: mine", "CERTIFICATE-----", "RSA PUBLIC KEY-----", "PUBLIC KEY-----"])
def test_a_public_key_hides_nothing(head: str) -> None:
    text = f"-----BEGIN {head}\n\n"

    read = blob(text + b64(NOISE), len(text), 9_000)

    assert read == Run(None, len(text) + len(b64(NOISE)))


def test_what_follows_something_else_than_a_public_key_does() -> None:
    text = "-----BEGIN ENCRYPTED MESSAGE-----\n"

    read = blob(text + b64(NOISE), len(text), 9_000)

    assert read is not None
    assert read.hides


def test_a_segment_of_a_path_is_read() -> None:
    path = f"verify/{b64(SAID.encode())}/now"

    assert blob(path, 0, len(path)) == Run(SAID, len(path))


def test_a_run_ends_where_its_text_does() -> None:
    run = b64(SAID.encode())

    assert blob(run * 2, 0, len(run)) == Run(SAID, len(run))


@pytest.mark.parametrize("run", [b64(NOISE), b64(b"BM\x36\x7e" + b"\0" * 900), base64.encodebytes(NOISE).decode().strip(), NOISE.hex()])
def test_a_long_run_of_bytes_that_are_no_text_is_told(run: str) -> None:
    assert blob(run, 0, len(run)) == Run(None, len(run), hides=True)


@pytest.mark.parametrize("run", [b64(NOISE)[: OPAQUE_CHARS - 1], "some_long_name_" * 200, "CLOSE_NOTIFY_2" * 200, "a/path/of/Words1/" * 200])
def test_a_shorter_run_or_one_of_words_is_not(run: str) -> None:
    assert blob(run, 0, len(run)) == Run(None, len(run))


@pytest.mark.parametrize(
    "row",
    [
        " ".join(f"{ord(char):02x}" for char in SAID),
        ":".join(f"{ord(char):02X}" for char in SAID),
        ", ".join(f"0x{ord(char):02x}" for char in SAID),
        ", ".join(str(ord(char)) for char in SAID),
        " ".join(f"{ord(char):08b}" for char in SAID),
        "".join(f"{ord(char):08b}" for char in SAID),
    ],
)
def test_rows_of_character_codes_are_read(row: str) -> None:
    said = codes(f"see {row} there")

    assert said is not None
    assert SAID in said


@pytest.mark.parametrize("text", ["01 02 03 04 05 06 07 08 09", "199 198 197 199 198 197 199 198", "12:30:45"])
def test_rows_of_other_numbers_say_nothing(text: str) -> None:
    assert codes(text) is None


def test_what_a_run_says_is_not_shown() -> None:
    assert "words" not in repr(Run("words", 5))


TYPED = {str(index): code for index, code in enumerate(SAID.encode())}


@pytest.mark.parametrize("row", [json.dumps(TYPED), json.dumps(TYPED, separators=(",", ":")), json.dumps(TYPED, indent=4), json.dumps(json.dumps(TYPED))])
def test_bytes_under_their_numbers_are_read(row: str) -> None:
    assert codes(f"x {row} y") == SAID


@pytest.mark.parametrize(
    "row",
    [
        json.dumps(list("4111111111111111")),
        json.dumps([float(digit) for digit in "4111111111111111"]),
        json.dumps(list(map(int, "4111111111111111"))),
        json.dumps(list("4111111111111111"), indent=4),
        json.dumps(json.dumps(list("4111111111111111"))),
        str(list("4111111111111111")),
    ],
)
def test_digits_in_a_list_are_read_as_a_number(row: str) -> None:
    assert codes(f"x {row} y") == "4111111111111111"


@pytest.mark.parametrize("row", ["4, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1", "4.5," + "1.5," * 12, "1.4,1,1,1,1,1,1,1,1,1,1,1"])
def test_other_figures_in_a_list_are_none(row: str) -> None:
    assert codes(row) is None
