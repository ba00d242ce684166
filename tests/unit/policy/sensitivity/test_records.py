from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    Spot = Callable[[str], set[tuple[str, str, str]]]


@pytest.mark.parametrize(
    ("text", "kind", "tier", "value"),
    [
        ("Date of birth: 12/05/1993", "date_of_birth", "likely", "12/05/1993"),
        ("geboren am 3. Mai 1990", "date_of_birth", "likely", "3. Mai 1990"),
        ("I was born on March 5th, 1988", "date_of_birth", "likely", "March 5th, 1988"),
        ("her passport number is XG9382049", "passport", "likely", "XG9382049"),
        ("Reisepass C01X00T47", "passport", "likely", "C01X00T47"),
        ("driver's license number D245-938-19-203", "driving_licence", "likely", "D245-938-19-203"),
        ("PESEL 44051401358", "national_id", "likely", "44051401358"),
        ("Aadhaar number: 2341-2341-2345", "national_id", "likely", "2341-2341-2345"),
        ("tax ID 94-2841935", "tax_id", "likely", "94-2841935"),
        ("bank account 8721938475", "bank_account", "likely", "8721938475"),
        ("SSN 900-12-3456", "ssn", "likely", "900-12-3456"),
        ("patient ID PHX-839221", "medical_record", "likely", "PHX-839221"),
        ("insurance policy #88291-LK", "insurance", "likely", "88291-LK"),
        ("employee ID 127854", "customer_number", "weak", "127854"),
        ("card XXXX-XXXX-XXXX-9876", "payment_card", "likely", "XXXX-XXXX-XXXX-9876"),
    ],
)
def test_a_number_beside_its_word_is_found(spot: Spot, text: str, kind: str, tier: str, value: str) -> None:
    assert (kind, tier, value) in spot(text)


@pytest.mark.parametrize(
    "text",
    [
        "passport control opens soon",
        "policy of 2019",
        "account for 2024-01-01",
        "account growth of 12345%",
        "patient is 45",
        "RFC 2822",
        "claim 1.2.3.4567",
        "membership renewals",
        "client id 73082700-1f09-405b-80d0-3131bfd6272d",
        "customer id abc12",
    ],
)
def test_other_numbers_are_none(spot: Spot, text: str) -> None:
    assert spot(text) == set()
