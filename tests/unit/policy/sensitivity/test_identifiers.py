from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from stdnum import iban, luhn

if TYPE_CHECKING:
    from collections.abc import Callable

    Spot = Callable[[str], set[tuple[str, str, str]]]

SOME = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.mark.parametrize(
    ("text", "kind", "tier", "value"),
    [
        ("write to jane.roe+x@mail.acme.co.uk.", "email", "hard", "jane.roe+x@mail.acme.co.uk"),
        ("'o'neil@acme.io'", "email", "hard", "o'neil@acme.io"),
        ("jane@example.com", "email", "weak", "jane@example.com"),
        ("admin@acme.io", "email", "hard", "admin@acme.io"),
        ("noreply@acme.io", "email", "weak", "noreply@acme.io"),
        ("card 4111 1111 1111 1111, thanks", "payment_card", "hard", "4111 1111 1111 1111"),
        ("paid with 4111111111111111.0 then", "payment_card", "hard", "4111111111111111"),
        ("4111111111111111.00", "payment_card", "hard", "4111111111111111"),
        ("jane.roe(at)acme(dot)io", "email", "hard", "jane.roe(at)acme(dot)io"),
        ("jane.roe[at]mail.acme.io.", "email", "hard", "jane.roe[at]mail.acme.io"),
        ("jane.roe(at)example.com", "email", "weak", "jane.roe(at)example.com"),
        ("5500-0055-5555-5559", "payment_card", "hard", "5500-0055-5555-5559"),
        ("3714 496353 98431", "payment_card", "hard", "3714 496353 98431"),
        ("my visa is 4111 1111 1111 1112", "payment_card", "likely", "4111 1111 1111 1112"),
        ("6304000000000000000 is it", "payment_card", "likely", "6304000000000000000"),
        ("pay to DE89 3704 0044 0532 0130 00 today", "iban", "hard", "DE89 3704 0044 0532 0130 00"),
        ("GB82WEST12345698765432", "iban", "hard", "GB82WEST12345698765432"),
        ("ssn 536-22-1234", "ssn", "hard", "536-22-1234"),
        ("card: 4111.1111.1111.1111", "payment_card", "hard", "4111.1111.1111.1111"),
        ("5500\t0055\t5555\t5559\t12/27", "payment_card", "likely", "5500\t0055\t5555\t5559"),
        ("3714\n496353\n98431", "payment_card", "likely", "3714\n496353\n98431"),
        ("4111 | 1111 | 1111 | 1111", "payment_card", "likely", "4111 | 1111 | 1111 | 1111"),
        ("see 4111 11111111 1111 now", "payment_card", "hard", "4111 11111111 1111"),
        ("see 41111111 1111 1111 now", "payment_card", "hard", "41111111 1111 1111"),
        ("see 4111-1111-11111111 now", "payment_card", "hard", "4111-1111-11111111"),
        ("to DE89  3704  0044  0532  0130  00 today", "iban", "hard", "DE89  3704  0044  0532  0130  00"),
        ("ssn: 536.22.1234", "ssn", "hard", "536.22.1234"),
        ("from 84.17.32.9 today", "ip_address", "hard", "84.17.32.9"),
        ("on 10.20.30.40", "ip_address", "weak", "10.20.30.40"),
        ("2a00:1450:4001:81b::200e", "ip_address", "hard", "2a00:1450:4001:81b::200e"),
        ("3c:22:fb:9a:10:7e", "mac_address", "likely", "3c:22:fb:9a:10:7e"),
        ("on port 3C22.fb9a.107e of it", "mac_address", "likely", "3C22.fb9a.107e"),
        ("his number is 936-70-1234", "ssn", "likely", "936-70-1234"),
        ("6294 5765 2037 4715 849", "payment_card", "likely", "6294 5765 2037 4715"),
        ("0x52908400098527886E0F7030069857D2E4169EE7", "wallet", "likely", "0x52908400098527886E0F7030069857D2E4169EE7"),
        ("1BoatSLRHtKNngkdXEeobR76b53LETtpyT", "wallet", "hard", "1BoatSLRHtKNngkdXEeobR76b53LETtpyT"),
        ("+49 30 901820", "phone", "hard", "+49 30 901820"),
        ("+1 (212) 555-0187", "phone", "hard", "+1 (212) 555-0187"),
        ("0049 30 901820", "phone", "likely", "0049 30 901820"),
        ("(212) 555-0187", "phone", "hard", "(212) 555-0187"),
        ("(212)555-0187", "phone", "hard", "(212)555-0187"),
        ("212-555-0187", "phone", "hard", "212-555-0187"),
        ("06 98 76 54 32", "phone", "likely", "06 98 76 54 32"),
        ("call me: 5550187", "phone", "hard", "5550187"),
        ("+49 1111 1111111", "phone", "likely", "+49 1111 1111111"),
    ],
)
def test_an_identifier_is_found(spot: Spot, text: str, kind: str, tier: str, value: str) -> None:
    assert (kind, tier, value) in spot(text)


@pytest.mark.parametrize(
    "text",
    [
        "main@app.py",
        "git@github.com:acme/x",
        "x@users.noreply.github.com",
        "react@18.2.0",
        "4111111111111111.05",
        "4111111111111111.000001",
        "parse(at).strip",
        "x = items[at] other.py",
        "<at>John</at>",
        "me(at)home",
        "4111 1111 1111 1112",
        "0000 0000 0000 0000",
        "4111 111111 1111 11",
        "9411 1111 1111 1111",
        "0.4111111111111111",
        "DE89 3704 0044 0532 0130 01",
        "XX89 3704 0044 0532 0130 00",
        "000-22-1234",
        "666-22-1234",
        "936-22-1234",
        "936-70-0000",
        "3c22.fb9a.107e.2b",
        "1922.1068.1072",
        "face.cafe.babe",
        "6294 5765 2037 4715 848",
        "536-00-1234",
        "536-22-1234A",
        "536-22-0000",
        "127.0.0.1 and 0.0.0.0",
        "8.8.8.8",
        "192.168.0.1",
        "255.255.255.0",
        "version 84.17.32.9",
        "999.1.2.3",
        "10:20:30",
        "::1",
        "fe80::1",
        "::ffff:256.0.0.1",
        "::c0a8:1",
        "noreply@example.com",
        "admins@yourcompany.com",
        "group1@yourcompany.com",
        "admin@shop.test",
        "00:00:00:00:00:00",
        "0x0000000000000000000000000000000000000000",
        "1BoatSLRHtKNngkdXEeobR76b53LETtpyU",
        "1zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz",
        "+12",
        "+999 1234 5678 90",
        "0099 1234 5678 90",
        "112-555-0187",
        "212 555 0187 33",
        "7 212 555 0187",
        "00 11 22",
        "0011 22 33",
        "01 02 2024",
        "01-02-2024-03",
        "call 2024-01-01 00",
        "call 1111111",
    ],
)
def test_what_only_looks_like_one_is_not(spot: Spot, text: str) -> None:
    assert spot(text) == set()


@SOME
@given(st.sampled_from(["4", "51", "37", "6011"]), st.text("0123456789", min_size=14, max_size=14), st.sampled_from(["", " ", "-"]))
def test_every_valid_card_number_is_found(spot: Spot, issuer: str, rest: str, between: str) -> None:
    size = 14 if issuer == "37" else 15
    number = (issuer + rest)[:size]
    number += luhn.calc_check_digit(number)
    groups = [number[:4], number[4:10], number[10:]] if issuer == "37" else [number[at : at + 4] for at in range(0, 16, 4)]

    assert "payment_card" in {kind for kind, _, _ in spot(f"It is {between.join(groups)} .")}


@SOME
@given(st.text("0123456789", min_size=18, max_size=18))
def test_every_valid_iban_is_found(spot: Spot, account: str) -> None:
    number = "DE" + iban.calc_check_digits(f"DE00{account}") + account

    assert ("iban", "hard", number) in spot(f"to {number} please")


@pytest.mark.parametrize("text", ["From: abc@xyz.com", "USER=${USER:-admin@example.com}", "the-app@a-project.iam.gserviceaccount.com"])
def test_fillers_and_machines_have_no_address(spot: Callable[[str], set[tuple[str, str, str]]], text: str) -> None:
    assert spot(text) == set()


@pytest.mark.parametrize(
    "text",
    [
        "4111.1111.1111.1112",
        "1111.1111.1111.1111",
        "9111.1111.1111.1111",
        "5000\n4111\n1111\n1111\n1111",
        "4111\n1111\n1111\n1111\n5000",
        "4111.1111/1111.1111",
        "DE88  3704  0044  0532  0130  00",
        "536.22.1234",
        "ssn 666.22.1234",
    ],
)
def test_figures_that_stand_apart_are_figures(spot: Spot, text: str) -> None:
    assert {kind for kind, _, _ in spot(text)} & {"payment_card", "iban", "ssn"} == set()
