from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from app.policy.sensitivity.national import NUMBERS, checks_of

if TYPE_CHECKING:
    from collections.abc import Callable

    Spot = Callable[[str], set[tuple[str, str, str]]]

VALID = {
    "PESEL: ": "44051401359",
    "My DNI is ": "54362315-K",
    "codice fiscale ": "RCCMNL83S18D969H",
    "BSN ": "111222333",
    "Steuer-ID: ": "36 574 261 809",
    "rodn\u00e9 \u010d\u00edslo ": "710319/2745",
    "CPF ": "390.533.447-05",
    "aadhaar card number ": "234123412346",
    "NHS number ": "943 476 5870",
    "personnummer ": "880320-0016",
    "f\u00f8dselsnummer ": "151086 95088",
    "CPR ": "211062-5629",
    "henkil\u00f6tunnus ": "131052-308T",
    "isikukood ": "36805280109",
    "asmens kodas ": "33309240064",
    "CNP ": "1630615123457",
    "EGN ": "752316 926 3",
    "OIB ": "33392005961",
    "AMKA ": "01013099997",
    "PPS ": "6433435F",
    "AHV ": "7569217076985",
    "SVNR ": "1237 010180",
    "SIN ": "123-456-782",
    "RUT ": "76086428-5",
    "CURP ": "BOXW310820HNERXN09",
    "T.C. kimlik no ": "17291716060",
    "South African ID ": "7503305044089",
    "TFN ": "123 456 782",
    "resident registration ": "971013-9019902",
    "kennitala ": "450401-3150",
}


@pytest.mark.parametrize(("cue", "number"), VALID.items())
def test_a_number_with_its_check_digits_is_found_beside_its_word(spot: Spot, cue: str, number: str) -> None:
    assert ("national_id", "hard", number) in {(kind, tier, text[: len(number)]) for kind, tier, text in spot(f"{cue}{number}, and so on")}


@pytest.mark.parametrize("text", ["PESEL: 44051401358", "see 44051401359 there", "the id number 12345678 in the log", "run 123456 times", "OIB 11111111111"])
def test_check_digits_and_the_word_are_both_asked_for(spot: Spot, text: str) -> None:
    assert not [tier for kind, tier, _ in spot(text) if kind == "national_id" and tier == "hard"]


def test_words_that_follow_belong_to_no_number(spot: Spot) -> None:
    assert [tier for kind, tier, _ in spot("PESEL 44051401359 is mine 12") if kind == "national_id"] == ["hard"]


def test_at_least_twenty_countries_are_known() -> None:
    countries = {name[:2] for names in NUMBERS.values() for name in names.split()}

    assert len(countries) >= 20
    assert all(checks_of(names) for names in NUMBERS.values())
