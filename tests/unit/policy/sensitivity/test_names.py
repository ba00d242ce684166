from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from app.policy.sensitivity import names

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Spot = Callable[[str], set[tuple[str, str, str]]]


@pytest.mark.parametrize(
    ("text", "tier", "value"),
    [
        ("ask Sarah Johnson about it", "likely", "Sarah Johnson"),
        ("ask Sarah J. Johnson about it", "likely", "Sarah J. Johnson"),
        ("Jürgen Müller was there", "likely", "Jürgen Müller"),
        ("Rajiv Kumar's contact details", "likely", "Rajiv Kumar's"),
        ("led by Mark Thompson of sales", "likely", "Mark Thompson"),
        ("I met Peter Quellwasser", "weak", "Peter Quellwasser"),
        ("Dr. Emily Stone will see you", "likely", "Emily Stone"),
        ("Mrs. Johnson called", "weak", "Johnson"),
        ("Patient: Sarah Qwertz", "likely", "Sarah Qwertz"),
        ("Patient: Sarah", "weak", "Sarah"),
        ("Patient: Xqz Johnson", "weak", "Xqz Johnson"),
        ("my name is Xqzab Wvuts", "likely", "Xqzab Wvuts"),
        ("me llamo Sofia", "weak", "Sofia"),
        ("Hi Emily, thanks!", "weak", "Emily"),
        ("the report was written by Sarah Johnson", "likely", "Sarah Johnson"),
        ("Author: Sarah Johnson", "likely", "Sarah Johnson"),
        ('author: "Sarah Johnson"', "likely", "Sarah Johnson"),
        ("# Author: Sarah Johnson", "likely", "Sarah Johnson"),
        ("Written by Sarah Johnson", "likely", "Sarah Johnson"),
        ("Name: Sarah", "weak", "Sarah"),
        ("  - name: Sarah Johnson", "likely", "Sarah Johnson"),
        ('user = User(name="Sarah Johnson")', "likely", "Sarah Johnson"),
        ("[10:15 AM] Rachel: Are you there?", "weak", "Rachel"),
    ],
)
def test_a_name_is_found(spot: Spot, text: str, tier: str, value: str) -> None:
    assert ("person_name", tier, value) in spot(text)


@pytest.mark.parametrize(
    "text",
    [
        "Visual Studio Code",
        "New York City",
        "Madison Avenue",
        "Sarah The",
        "Victoria Falls",
        "Peter Xyz",
        "Peter Emily",
        "Mr. The",
        "Dr. Xqzab",
        "Patient: The Person",
        "Patient: Xqzab",
        "my name is The",
        "my name is Xqzab",
        "Hi Will, are you there?",
        "Dear Customer,",
        "[INFO] Listener: started",
        "# Copyright (c) 2011 Sarah Johnson, all rights reserved",
        "Copyright 2011 by Sarah Johnson",
        '__author__ = "Sarah Johnson"',
        'language(name="Ruby")',
        "  - name: Grant",
    ],
)
def test_other_capitals_are_no_name(spot: Spot, text: str) -> None:
    assert spot(text) == set()


def test_without_the_package_the_lists_are_short_and_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(names, "find_spec", lambda _: None)

    given, surnames, _ = names.lists.__wrapped__()

    assert "rajiv" in given
    assert "sharma" in surnames


def test_a_list_of_names_is_read_whatever_its_shape() -> None:
    def read(value: object) -> Iterator[str]:
        return names._plain(value)

    assert list(read({"female": ["Anna", "Zoë"], "male": ["Al", "Иван", "中文"]})) == ["anna", "zoe"]
    assert list(read(None)) == []
