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
        "Chapter 3, 10000 words",
        "In 1990 1990 US bonds",
        "address: https://a.test/1",
    ],
)
def test_what_only_looks_like_one_is_not(spot: Spot, text: str) -> None:
    assert "address" not in {kind for kind, _, _ in spot(text)}


BY_LANGUAGE = """
en Please deliver it to 27 Willow Lane, Bristol BS1 4DJ.
en Our office: 4820 Maple Avenue, Apt 12, Austin, TX 78701
en She moved to 9 Kingsbury Close last week
en Unit 5, 88 Harbour Parade, Sydney NSW 2000
de Sie wohnt in der Lindenstraße 14, 50674 Köln.
de Bitte an Am Markt 3, 28195 Bremen senden
de Anschrift: Gartenweg 7b, 80331 München
de Rosenheimer Platz 2, 81669 München
de Wilhelm-Busch-Str. 22
fr Elle habite au 18 rue des Lilas, 69003 Lyon.
fr Livrer au 5 bis, avenue Victor Hugo, 75116 Paris
fr Adresse : 221 boulevard Voltaire, 75011 Paris
fr 12 place de la République, Lille
es Vive en la calle Mayor 23, 28013 Madrid.
es Avenida de la Constitución, 12, 3º B, Sevilla
es C/ Serrano 45, 2º izq.
es Plaza de España 8, Zaragoza
it Abita in via Roma 15, 20121 Milano.
it Viale dei Giardini 102, Torino
it Piazza San Marco 3
it Corso Vittorio Emanuele II, 45 - Torino
nl Hij woont op Prinsengracht 263, 1016 GV Amsterdam.
nl Dorpsstraat 12a, 3511 AB Utrecht
nl Adres: Laan van Meerdervoort 84
pl Mieszka przy ul. Długiej 14 m. 3, 00-238 Warszawa.
pl ulica Piękna 7, Kraków
pl al. Jerozolimskie 100
pl os. Piastów 12/4
pt Mora na Rua das Flores, 45, 4050-262 Porto.
pt Avenida da Liberdade 110, Lisboa
pt Travessa do Carmo n.º 8
pt Praça da República, 15
"""


@pytest.mark.parametrize("row", BY_LANGUAGE.strip().splitlines())
def test_an_address_is_found_in_the_larger_languages(spot: Spot, row: str) -> None:
    assert "address" in {kind for kind, _, _ in spot(row[3:])}
