from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    Spot = Callable[[str], set[tuple[str, str, str]]]


@pytest.mark.parametrize(
    ("text", "tier"),
    [
        ("He lives at 123 Elm Street now", "likely"),
        ("1600 N Lake Shore Dr, Chicago", "likely"),
        ("P.O. Box 4471", "likely"),
        ("Springfield, IL 62704", "likely"),
        ("near SW1A 1AA", "weak"),
        ("Hauptstraße 12a, Köln", "likely"),
        ("Berliner Allee 7", "likely"),
        ("Keizersgracht 321", "likely"),
        ("12 bis, rue de la Paix", "likely"),
        ("Calle de Alcalá 45", "likely"),
        ("Via Garibaldi 12", "likely"),
        ("ul. Marszałkowska 10", "likely"),
        ("Rua Augusta 1508", "likely"),
        ("my address is Flat 4, Rosewood", "likely"),
    ],
)
def test_an_address_is_found(spot: Spot, text: str, tier: str) -> None:
    assert ("address", tier) in {(kind, sure) for kind, sure, _ in spot(text)}


@pytest.mark.parametrize(
    "text",
    [
        "3 Blind Mice",
        "the address is 0x7ffe12345678",
        "email address: none",
        "5 steps to Drive",
        "via port 8080",
        "on Wall Street",
        "address: https://a.test/1",
    ],
)
def test_what_only_looks_like_one_is_not(spot: Spot, text: str) -> None:
    assert "address" not in {kind for kind, _, _ in spot(text)}
