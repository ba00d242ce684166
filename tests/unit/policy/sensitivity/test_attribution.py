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
        "-- Author: Jane Roe <jane.roe@acme.io>\n-- All rows.\n" + PROGRAM,
        "// @author Jane Roe <jane.roe@acme.io>\n" + PROGRAM,
        "#!/bin/sh\n# Load what there is.\n#\n# Author: Jane Roe <jane.roe@acme.io>\n",
        "# Copyright (c) 2005 Jane Roe <jane.roe@acme.io>",
        '__author__ = "Jane Roe <jane.roe@acme.io>"',
        '__email__ = "jane.roe@acme.io"',
        '__authors__ = (\n    "Jane Roe <jane.roe@acme.io>",\n)',
        '[project]\nname = "load"\nauthors = [\n  { name = "Jane Roe", email = "jane.roe@acme.io" }\n]',
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
        PROGRAM.format(line="# rows as Jane Roe <jane.roe@acme.io> keeps them"),
        PROGRAM.format(line="send('Jane Roe <jane.roe@acme.io>')"),
        "# Load what there is.\n# Author: Jane Roe <jane.roe@acme.io>\n",
        "Copyright 2024 Acme Clinic. Patient file: Jane Roe (jane.roe@acme.io)",
        "__author__ = 'me'; patient = 'Jane Roe <jane.roe@acme.io>'",
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
        "author: Mary Johnson\nversion: 1.0.0\n",
        "title: my illness\nauthor: Mary Johnson\nversion: 1.0.0\ndescription: what she has",
        "# Complaint\n\n> Author: Mary Johnson\n> Version: 1.0.0",
        "author: me, of the patient Mary Johnson\nversion: 1.0.0\nhooks: []",
        "author: Mary Johnson\nhooks: []",
        "author: Mary Johnson has HIV\nversion: 1.0.0\nhooks: []",
        "She is the author={Mary Johnson} of it.",
    ],
)
def test_who_wrote_a_quoted_letter_or_stands_in_a_list_is_a_finding(spot: Spot, line: str) -> None:
    assert ("person_name", "likely", "Mary Johnson") in spot(line)


@pytest.mark.parametrize("sign", ["#", "##", "--", ";", "%", "//", "/*", " *", "/*\n *"])
@pytest.mark.parametrize("credit", ["Author: Mary Johnson", "@author Mary Johnson", "Complaint posted by Mary Johnson", "Written by Mary Johnson"])
def test_a_comment_without_a_program_around_it_credits_nobody(spot: Spot, sign: str, credit: str) -> None:
    assert ("person_name", "likely", "Mary Johnson") in spot(f"{sign} {credit}\n{sign} and what she says")


@pytest.mark.parametrize(
    "text",
    [
        "Copyright 2024 Acme Clinic. Patient file: Mary Johnson has HIV",
        "Copyright 2024 Acme Clinic; Mary Johnson has HIV",
        "Copyright 2024 Acme Clinic - Mary Johnson has HIV",
        "Copyright 2024 Acme Clinic Patient Mary Johnson",
        "Copyright 2024 Acme Clinic" + ", Acme" * 30 + ", Mary Johnson",
        "__author__ = 'me'; patient: Mary Johnson has HIV",
        "Copyright 2024 Mary Johnson has HIV",
        "Copyright 2024 Acme Clinic, Mary Johnson, HIV since 2020, lives alone",
        "__author__ = 'me', 'Mary Johnson'  # who has HIV",
        "__author__ = (\n    'me',\n    'of the patient Mary Johnson',\n)",
        '[project]\nname = "load"\nauthors = [\n  { name = "me", note = "Mary Johnson" }\n]',
        "@misc{me2024, author={me of the patient Mary Johnson}}",
        "@misc{me2024, author={Ann Miller}}\n\nMary Johnson has HIV.",
        f"# Notes written by the nurse about the patient Mary Johnson\n{PROGRAM}",
        f"# Notes Written By The Nurse About The Patient Mary Johnson\n{PROGRAM}",
        f"# The author says that he saw there: Mary Johnson\n{PROGRAM}",
        f"# Author: me. Mary Johnson has HIV.\n{PROGRAM}",
        f"# Author: Ann Miller. Patient: Mary Johnson\n{PROGRAM}",
        "#!/bin/sh\necho\n# Author: Mary Johnson\n",
    ],
)
def test_a_credit_covers_nothing_behind_what_is_no_name(spot: Spot, text: str) -> None:
    assert {tier for kind, tier, value in spot(text) if kind == "person_name" and "Mary Johnson" in value} & {"likely", "weak"}


@pytest.mark.parametrize(
    "names",
    [
        "Mary Johnson",
        "Ann B. Miller, Mary Johnson",
        "Ann van Miller and Mary Johnson",
        "Ann Miller <a.miller@acme.io>, Mary Johnson",
        "Ann Miller (a.miller@acme.io) & Dr. Mary Johnson",
        "GvR, Mary Johnson",
        "IBM, Mary Johnson",
    ],
)
@pytest.mark.parametrize(
    "credit", ["# Author: {}", "# Authors: {}", "# @author {}", "# Copyright (c) 2001-2005, 2007 {}", "# Ported to C by {}", "# created 2024/01/31, {}"]
)
def test_a_credit_covers_each_of_its_names(spot: Spot, credit: str, names: str) -> None:
    assert {value for kind, _, value in spot(f"{credit.format(names)}\n{PROGRAM}") if kind == "person_name"} == set()


@pytest.mark.parametrize(
    "text",
    [
        "/*\n * Written by Mary Johnson\n */\n" + PROGRAM,
        "/*\nWritten by Mary Johnson\n*/\n" + PROGRAM,
        "/**\n * @author Mary Johnson\n */\n" + PROGRAM,
        "#!/bin/sh\n# Author: Mary Johnson\n",
        " * Written by Mary Johnson\n */\n" + PROGRAM,
        f"```python\n# Author: Mary Johnson\n{PROGRAM}```",
        "Copyright (c) 2005 Mary Johnson\nPermission is granted.",
        "Copyright 1999 -- 2011 Mary Johnson and Ann Miller. All rights reserved.",
        "Copyright \u00a9 2011-present, Mary Johnson.\nAnn has it.",
        '__author__ = "Mary Johnson and individual contributors"',
        "# Plugin\n\n> Author: Mary Johnson\n> Version: 0.1.0",
        'version: "1.0.0"\nauthor: "Mary Johnson"\nhooks: []',
        "dependencies: []\nauthors: Mary Johnson\nversion: 1.0.0",
        "@misc{johnson2024, title={Loading}, author={Mary Johnson and Ann Miller and\n  John Williams}}",
        "class Loader:\n" + '    """\n    Loads rows.\n\n    Contributed by Mary Johnson.\n    """\n' + PROGRAM,
        '#!/usr/bin/python\n"""\nOriginal by Mary Johnson\n"""\n' + PROGRAM,
        f'"""Load.\n\n{PROGRAM * 8}\nWritten by Mary Johnson.\n"""\n{PROGRAM}',
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
        'sql = """report\n    written by Mary Johnson"""',
        'def load():\n    """Load."""\n    say("written by Mary Johnson")',
    ],
)
def test_a_name_that_is_a_value_of_a_program_is_no_attribution(spot: Spot, line: str) -> None:
    assert {kind for kind, _, _ in spot(PROGRAM.format(line=line) + PROGRAM)} == {"person_name"}
