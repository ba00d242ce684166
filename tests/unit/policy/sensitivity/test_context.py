from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from app.domain import Tier
from app.policy.walk import Scalar

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.policy.sensitivity.scanner import Scanner

    Spot = Callable[[str], set[tuple[str, str, str]]]

PROGRAM = """
import json
from pathlib import Path

def load(path):
    rows = json.loads(Path(path).read_text())
    {line}
    return rows
"""


def test_a_name_in_a_program_is_a_hint(spot: Spot) -> None:
    assert spot(PROGRAM.format(line="rows.sort()  # as Mary Johnson does")) == {("person_name", "weak", "Mary Johnson")}


@pytest.mark.parametrize(
    "line",
    [
        "rows.append('Mary Johnson')",
        "rows.append('see: Mary Johnson')",
        'rows.append("as \\"Mary Johnson\\" says")',
        "rows.append(`of ${who} Mary Johnson`)",
        'rows.append("it\'s of Mary Johnson")',
        f"rows = [{'1, ' * 700}]  # as Mary Johnson does",
    ],
)
def test_a_name_in_quotes_in_a_program_is_a_finding(spot: Spot, line: str) -> None:
    assert ("person_name", "likely", "Mary Johnson") in spot(PROGRAM.replace("{line}", line))


def test_a_labelled_name_in_quotes_in_a_program_is_a_finding(spot: Spot) -> None:
    assert spot(PROGRAM.format(line="row.patient = 'Mary Qwopler'")) == {("person_name", "likely", "Mary Qwopler")}


def test_a_name_behind_quotes_that_are_closed_is_a_hint(spot: Spot) -> None:
    assert spot(PROGRAM.format(line="rows.append('it', \"x\")  # as Mary Johnson does")) == {("person_name", "weak", "Mary Johnson")}


@pytest.mark.parametrize("line", [">>> load(path)\n", ">>> rows = load(path)\n", "(r'\\s+', Text),\n", 'r"[a-z]+",\n'])
def test_sessions_and_raw_strings_are_of_programs(spot: Spot, line: str) -> None:
    assert spot(f"# import {{}}\n{line * 3}# as Mary Johnson does") == {("person_name", "weak", "Mary Johnson")}


def test_a_letter_that_is_quoted_three_times_is_no_program(spot: Spot) -> None:
    assert ("person_name", "likely", "Mary Johnson") in spot("# import {}\n" + ">>> That is so.\n" * 3 + "# as Mary Johnson does")


@pytest.mark.parametrize("line", ["rows.append('John Doe')", "rows.append('Mary Qwopler')", "send('mary@example.com')"])
def test_a_filler_and_a_hint_are_nothing_in_a_program(spot: Spot, line: str) -> None:
    assert spot(PROGRAM.format(line=line)) == set()
    assert spot(line) != set()


@pytest.mark.parametrize(
    "line",
    [
        "send('johndoe@gmail.com')",
        "send('max.mustermann@web.de')",
        "send('admin@company.com')",
        "send('user1@domain.com')",
        "send('j.doe@bar.org')",
        "dial('Phone: 555-1234')",
        "dial('call +1234567890')",
        "connect('42.42.42.42', 80)",
    ],
)
def test_what_people_write_for_anybodys_is_nothing_in_a_program_alone(spot: Spot, line: str) -> None:
    assert spot(PROGRAM.format(line=line)) == set()
    assert spot(line) != set()


@pytest.mark.parametrize(
    ("line", "kind", "value"),
    [
        ("send('john.doering@gmail.com')", "email", "john.doering@gmail.com"),
        ("send('mary@test-results.com')", "email", "mary@test-results.com"),
        ("send('mary@test.com')", "email", "mary@test.com"),
        ("send('anna.schmidt@company.com')", "email", "anna.schmidt@company.com"),
        ("send('anna.schmidt@domain.com')", "email", "anna.schmidt@domain.com"),
        ("send('anna.schmidt@bar.org')", "email", "anna.schmidt@bar.org"),
        ("send('admin@clinic.org')", "email", "admin@clinic.org"),
        ("dial('Phone: 555-1234-567')", "phone", "555-1234-567"),
        ("dial('call +12125550187')", "phone", "+12125550187"),
        ("connect('42.42.42.43', 80)", "ip_address", "42.42.42.43"),
        ("connect('2a02:8109:9a80:1c::7', 80)", "ip_address", "2a02:8109:9a80:1c::7"),
    ],
)
def test_what_is_somebodys_is_a_finding_in_a_program(spot: Spot, line: str, kind: str, value: str) -> None:
    assert (kind, "hard", value) in spot(PROGRAM.format(line=line))


def test_a_text_that_begins_inside_of_fences_is_a_program_there(spot: Spot) -> None:
    code = PROGRAM.format(line="rows.append('John Doe')")

    assert spot(f"{code}```\nThe same for others:\n```python\n{code}```") == set()
    assert spot(f"```\n{code}```\nThe same for John Doe:\n```python\n{code}```") == {("person_name", "likely", "John Doe")}


@pytest.mark.parametrize(
    "text",
    [
        '[\n  {"name": "Mary Johnson", "age": 40},\n  {"name": "John Williams", "age": 41},\n  {"name": "Ann Miller", "age": 42}\n]',
        "INSERT INTO users VALUES (1, 'Mary Johnson');\nINSERT INTO users VALUES (2, 'John Williams');\nINSERT INTO users VALUES (3, 'Ann Miller');",
        "id;name\n1;Mary Johnson\n2;John Williams\n3;Ann Miller\n",
        "name: Mary Johnson\nrole: manager\nwith: Ann Miller\nfor: the board\n",
        "Dear Mary Johnson,\nplease return the form:\nif you can,\nimport duties are due.\n",
    ],
)
def test_records_and_letters_are_no_program(spot: Spot, text: str) -> None:
    assert ("person_name", "likely", "Mary Johnson") in spot(text)


@pytest.mark.parametrize("program", [1, 2])
def test_each_part_of_a_text_is_judged_by_what_stands_around_it(spot: Spot, program: int) -> None:
    code = PROGRAM.format(line="rows.sort()") * 40 * program

    assert ("person_name", "likely", "Mary Johnson") in spot(code + "\nAnd then he said so.\n" * 200 + "Ask Mary Johnson for it.")


FENCED = f"```python\n{PROGRAM.format(line='rows.sort()')}```\n"


@pytest.mark.parametrize(
    "text",
    [
        f"Patient Mary Johnson has diabetes.\n\nFix this beside:\n{FENCED}",
        f"{FENCED}\nThen write to Mary Johnson that it works.",
        f"{FENCED}- Mary Johnson says no\n{FENCED}",
        f"{PROGRAM.format(line='rows.sort()')}\nThen write to Mary Johnson that it works.",
        "Our customer Mary Johnson reports\nTraceback:\n  go()\n  return go(x)\n  raise ValueError\n",
        f"```\nPatient Mary Johnson has diabetes.\n{PROGRAM.format(line='rows.sort()')}```",
        f"{'He said so. ' * 200}And Mary Johnson did.\n{PROGRAM.format(line='rows.sort()')}",
    ],
)
def test_a_name_in_what_is_said_beside_a_program_is_a_finding(spot: Spot, text: str) -> None:
    assert ("person_name", "likely", "Mary Johnson") in spot(text)


def test_a_fence_that_begins_a_second_text_is_one(scanner: Scanner) -> None:
    texts = ["Look at this.", FENCED + "* Mary Johnson, diabetes"]

    found = scanner.scan([Scalar(f"messages[{number}].content", text) for number, text in enumerate(texts)])

    assert [(finding.kind, finding.tier) for finding in found] == [("person_name", Tier.LIKELY)]


def test_an_address_in_what_is_said_beside_a_program_is_a_finding(spot: Spot) -> None:
    assert ("email", "hard", "jane.roe@acme.io") in spot(f"Please ask Jane Roe <jane.roe@acme.io> why.\n{FENCED}")


@pytest.mark.parametrize(("address", "tier"), [("jane.roe@yourcompany.com", "weak"), ("jane.roe@your-domain.org", "weak"), ("jane.roe@yourhealth.org", "hard")])
def test_a_host_that_is_the_readers_own_is_a_filler(spot: Spot, address: str, tier: str) -> None:
    assert spot(f"Mail {address} today.") == {("email", tier, address)}


def test_each_name_of_a_program_is_judged_alike(spot: Spot) -> None:
    text = f"See:\n```\n{PROGRAM.format(line='# as Mary Johnson and')}    # Ann Miller do\n```\n"

    assert spot(text) == {("person_name", "weak", "Mary Johnson"), ("person_name", "weak", "Ann Miller")}


@pytest.mark.parametrize("signs", ["```", "````", "`" * 7])
def test_signs_within_a_line_and_longer_ones_are_no_fence(spot: Spot, signs: str) -> None:
    assert spot(f"# as {signs} says{PROGRAM.format(line='rows.sort()  # as Mary Johnson does')}") == {("person_name", "weak", "Mary Johnson")}
