from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from app.policy.sensitivity.examples import is_published

if TYPE_CHECKING:
    from collections.abc import Callable

# In halves, so that no scanner of repositories takes this file for a leak.
GOOGLE = "AIza" + "SyAnLA7NfeLquW1tJFpx_eQCxoX-oo6YyIs"
STRIPE = "sk_test_" + "4eC39HqLyjWDarjtT1zdp7dc"
AWS = "wJalrXUtnFEMI/" + "K7MDENG/bPxRfiCYEXAMPLEKEY"
AZURITE = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/" + "K1SZFPTOtr/KBHBeksoGMGw=="
CLOUDFLARE = "YQSn-xWAQiiEh9qM58wZNnyQS7FUdoqGIUAbrh7T"


@pytest.mark.parametrize(
    "text",
    [
        f"use {GOOGLE} here",
        f'apiKey: "{GOOGLE}"',
        f"stripe.api_key = '{STRIPE}'",
        f"aws_secret_access_key = {AWS}",
        f"AccountName=devstoreaccount1;AccountKey={AZURITE};",
        f"Authorization: Bearer {CLOUDFLARE}",
        f"cloudflare_api_token = {CLOUDFLARE}",
    ],
)
def test_what_a_vendor_publishes_is_no_credential(spot: Callable[[str], set[tuple[str, str, str]]], text: str) -> None:
    assert spot(text) == set()


@pytest.mark.parametrize("text", [f"use {GOOGLE[:-1]}x here", f"stripe.api_key = '{STRIPE[:-1]}d'"])
def test_one_that_differs_in_a_letter_is(spot: Callable[[str], set[tuple[str, str, str]]], text: str) -> None:
    assert "hard" in {tier for _, tier, _ in spot(text)}


def test_no_word_is_an_example() -> None:
    assert not is_published("example")
    assert not is_published("\x1a\u00fc")
