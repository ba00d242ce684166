from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.unit.policy.sensitivity.test_context import PROGRAM

if TYPE_CHECKING:
    from collections.abc import Callable

    Spot = Callable[[str], set[tuple[str, str, str]]]


@pytest.mark.parametrize(
    "line",
    [
        '"""Load.\n\nWritten by Jane Roe (jane.roe@acme.io).\n"""\n' + PROGRAM,
        "'''Originally written by Jane Roe (jane.roe@acme.io).'''\n" + PROGRAM,
        "# Author: Jane Roe <jane.roe@acme.io>\n" + PROGRAM,
        "# Load what there is.\n# Author: Jane Roe <jane.roe@acme.io>\n",
        "-- Author: Jane Roe <jane.roe@acme.io>\n-- All rows.\n",
        "// @author Jane Roe <jane.roe@acme.io>",
        "# Copyright (c) 2005 Jane Roe <jane.roe@acme.io>",
        '__author__ = "Jane Roe <jane.roe@acme.io>"',
        '__email__ = "jane.roe@acme.io"',
        '__authors__ = (\n    "Jane Roe <jane.roe@acme.io>",\n)',
        '[project]\nname = "load"\nauthors = [\n  { name = "Jane Roe", email = "jane.roe@acme.io" }\n]',
        PROGRAM.format(line="# rows as Jane Roe <jane.roe@acme.io> keeps them"),
    ],
)
def test_an_authors_address_is_a_hint(spot: Spot, line: str) -> None:
    assert {(kind, tier) for kind, tier, _ in spot(line) if kind == "email"} == {("email", "weak")}


@pytest.mark.parametrize(
    "line",
    [
        "Mail it to Jane Roe <jane.roe@acme.io> and say hello.",
        "Ask the author of the letter: jane.roe@acme.io",
        "She gave up her copyright, said Jane Roe <jane.roe@acme.io> to me.",
        "Written by Jane Roe <jane.roe@acme.io> to her bank.",
        "# Author: Jane Roe <jane.roe@acme.io>\n\nDear bank,",
        'authors = [\n  { name = "Jane Roe", email = "jane.roe@acme.io" }\n]',
        PROGRAM.format(line='send("jane.roe@acme.io")'),
        PROGRAM.format(line="# jane.roe@acme.io complained"),
    ],
)
def test_any_other_address_is_a_finding(spot: Spot, line: str) -> None:
    assert ("email", "hard", "jane.roe@acme.io") in spot(line)


@pytest.mark.parametrize("key", ["author", "authors", "maintainer"])
def test_the_author_of_a_record_is_no_attribution(spot: Spot, key: str) -> None:
    record = f'{{"{key}": {{"name": "Mary Johnson", "email": "mary.johnson@acme.io"}}, "text": "My test was positive."}}'

    assert {("person_name", "likely", "Mary Johnson"), ("email", "hard", "mary.johnson@acme.io")} <= spot(record)


@pytest.mark.parametrize(
    "line",
    [
        "> A letter written by Mary Johnson about her illness",
        "* Complaint written by Mary Johnson",
        "On Monday:\n> Posted by Mary Johnson:",
        "# Report provided by Mary Johnson\n\nShe fell ill.",
        "Copyright is what Mary Johnson asks for.",
        "Look at src/* and\nread the report provided by Mary Johnson.",
        '"""\nWritten by Mary Johnson, who is ill.\n"""\nMake it shorter.',
        f"The complaint:\n# written by Mary Johnson\n{'see above ' * 60}",
        f"{'and so on ' * 60}# Author: Mary Johnson",
        f"# Author: Mary Johnson\n\n```python\n{PROGRAM}```",
        "> Author: Mary Johnson\n> Subject: my illness",
        "author: Mary Johnson\nversion: 2\n",
        "She is the author={Mary Johnson} of it.",
    ],
)
def test_who_wrote_a_quoted_letter_or_stands_in_a_list_is_a_finding(spot: Spot, line: str) -> None:
    assert ("person_name", "likely", "Mary Johnson") in spot(line)


@pytest.mark.parametrize(
    "text",
    [
        "/*\n * Written by Mary Johnson\n */",
        "/*\nWritten by Mary Johnson\n*/",
        "/**\n * @author Mary Johnson\n */",
        " * Written by Mary Johnson\n */\n" + PROGRAM,
        f"```python\n# Author: Mary Johnson\n{PROGRAM}```",
        "Copyright (c) 2005 Mary Johnson\nPermission is granted.",
        "# Plugin\n\n> Author: Mary Johnson\n> Version: 0.1.0",
        'version: "1.0.0"\nauthor: "Mary Johnson"\nhooks: []',
        "@misc{johnson2024, title={Loading}, author={Mary Johnson and Ann Miller and\n  John Williams}}",
        "class Loader:\n" + '    """\n    Loads rows.\n\n    Contributed by Mary Johnson.\n    """\n' + PROGRAM,
        '#!/usr/bin/python\n"""\nOriginal by Mary Johnson\n"""\n' + PROGRAM,
    ],
)
def test_who_wrote_a_program_is_none(spot: Spot, text: str) -> None:
    assert spot(text) == set()


@pytest.mark.parametrize(
    "line",
    [
        'log("Report provided by Mary Johnson")',
        "rows.append({ author: 'Mary Johnson' })",
        "row = {'author': 'Mary Johnson', 'copyright': '2005'}",
        'author = "Mary Johnson"',
        'maintainers = ["Mary Johnson"]',
        'note = "Copyright (c) 2005 Mary Johnson"',
        '    "Copyright (c) 2005 Mary Johnson",',
        'sql = """\n    report written by \'Mary Johnson\'"""',
        'def load():\n    """Load."""\n    say("written by Mary Johnson")',
    ],
)
def test_a_name_that_is_a_value_of_a_program_is_no_attribution(spot: Spot, line: str) -> None:
    assert {kind for kind, _, _ in spot(PROGRAM.format(line=line) + PROGRAM)} == {"person_name"}
