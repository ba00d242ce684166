"""Postal addresses, by their grammar: English, German, Dutch, Nordic, French, Spanish, Italian, Portuguese and Polish."""

from __future__ import annotations

import re

from app.domain import Tier
from app.policy.sensitivity import checks
from app.policy.sensitivity.pattern import caseless, likely, unproven

_STREET = (
    r"(?:Street|St|Avenue|Ave|Road|Rd|Boulevard|Blvd|Lane|Ln|Drive|Dr|Court|Ct|Circle|Cir|Way|Place|Pl|Terrace|Ter|Square|Sq|Highway|Hwy"
    r"|Parkway|Pkwy|Crescent|Close|Trail|Trl|Alley"
    r"|Mews|Grove|Gardens|Plaza|Loop|Turnpike|Walk|Row|Heights|Ridge|Quay|Parade)"
)
_STATES = r"(?:A[KLRZ]|C[AOT]|D[CE]|FL|GA|HI|I[ADLN]|K[SY]|LA|M[ADEINOST]|N[CDEHJMVY]|O[HKR]|PA|RI|S[CD]|T[NX]|UT|V[AT]|W[AIVY]|ON|QC|BC|AB|NSW|VIC|QLD|TAS)"
_GERMANIC = r"(?:stras{1,2}e|str\.|weg|platz|gasse|allee|damm|ufer|straat|laan|plein|gracht|gatan|vagen|vej|gade|gata|veien|katu)"
_ROMANCE = r"(?:[Cc]alle|C/|Avda\.?|Avenida|Paseo|Ronda|Rua|Carrer|Camino|[Vv]ia|Viale|Piazza|Corso|Largo|Travessa|Praca|ul\.|ulica|al\.|aleja|os\.|Plaza|pl\.)"
_FRENCH = r"(?:rue|avenue|boulevard|bd|impasse|allee|chemin|quai|place|cours|route)"
_LIVING = (
    r"i live (?:at|on)|my (?:home |postal |mailing )?address(?: is|:)|home address(?: is|:)|mailing address(?: is|:)|shipping address(?: is|:)"
    r"|billing address(?: is|:)|residential address(?: is|:)"
    r"|delivery address(?: is|:)|postal address(?: is|:)|street address(?: is|:)|\baddress:"
    r"|wohnhaft|ich wohne in|anschrift:|adresse:|domicilio:|direccion:|indirizzo:|adres:|endereco:|morada:"
)


def postcode(match: re.Match[str]) -> Tier | None:
    """Check a British postcode: on its own it is a hint."""
    return Tier.WEAK if checks.digits(match[0]) else None


def lived_at(match: re.Match[str]) -> Tier | None:
    """Check what stands after a word for an address: one has a number in it."""
    return Tier.LIKELY if re.search(r"\d", match["value"]) and not re.search(r"0x|://|@", match["value"]) else None


PATTERNS = (
    unproven(
        "address",
        rf"\b\d{{1,6}}[A-Za-z]?,? (?:[A-Z0-9][\w.'-]{{0,20}} ){{1,4}}{_STREET}\b",
        re.compile(rf"(?<![\w.,$/-])\d{{1,6}}[A-Za-z]?,? (?:[A-Z0-9][\w.'-]{{0,20}} ){{1,4}}{_STREET}(?![\w-])"),
        likely,
        behind=120,
        ahead=20,
    ),
    unproven("address", r"\bp\.? ?o\.? ?box \d", re.compile(r"(?i)\bp\.? ?o\.? ?box \d{1,6}\b"), likely, behind=20, ahead=20, caseless=True),
    unproven(
        "address",
        rf" {_STATES},? \d{{5}}",
        re.compile(rf"[A-Z][A-Za-z.]{{1,20}}(?: [A-Z][a-z]{{1,20}}){{0,2}},? {_STATES},? \d{{5}}(?:-\d{{4}})?\b"),
        likely,
        behind=80,
        ahead=20,
    ),
    unproven(
        "address",
        r"\b[A-Z]{1,2}\d[A-Z\d]? \d[ABD-HJLNP-UW-Z]{2}\b",
        re.compile(r"(?<![\w-])[A-PR-UWYZ][A-HK-Y]?\d[A-Z\d]? \d[ABD-HJLNP-UW-Z]{2}(?![\w-])"),
        postcode,
        behind=20,
        ahead=10,
    ),
    unproven(
        "address",
        r"\d [a-z]?, (?:[A-Z]{1,2}-)?\d{4,5} [A-Z][a-z]{2}|\d[a-z]?, (?:[A-Z]{1,2}-)?\d{4,5} [A-Z][a-z]{2}",
        re.compile(r"(?:[A-Z][\w.-]{1,24} ){1,3}\d{1,4} ?[a-z]?, (?:[A-Z]{1,2}-)?\d{4,5} [A-Z][a-z]{2,24}"),
        likely,
        behind=100,
        ahead=24,
    ),
    unproven(
        "address",
        r"\d[a-z]?,? \d{4} [A-Z]{2}\b",
        re.compile(r"[A-Z][\w.-]{3,24} \d{1,4}[a-z]?,? [1-9]\d{3} [A-Z]{2}(?![\w-])"),
        likely,
        behind=50,
        ahead=10,
    ),
    unproven(
        "address",
        rf"{_GERMANIC} \d",
        re.compile(
            rf"\b[A-Z][\w-]{{1,30}}{_GERMANIC} \d{{1,4}} ?[a-z]?\b|\b[A-Z][a-z]{{2,20}}[ -](?:Stras{{1,2}}e|Str\.|Weg|Platz|Allee|Ring) \d{{1,4}} ?[a-z]?\b"
        ),
        likely,
        behind=60,
        ahead=20,
        caseless=True,
    ),
    unproven(
        "address",
        rf"\d ?(?:bis|ter)?,? {_FRENCH} ",
        re.compile(rf"\b\d{{1,4}}(?: ?(?:bis|ter))?,? {_FRENCH} (?:de la |de l'|de |du |des |d'|la |le |l')?[A-Z][\w'-]{{1,30}}"),
        likely,
        behind=60,
        ahead=60,
    ),
    unproven(
        "address",
        rf"\b{_ROMANCE} [A-Za-z][^\n]{{1,60}}\d",
        re.compile(
            rf"(?<![\w/]){_ROMANCE} (?:(?:de la|de los|de las|del|della|delle|dei|dos|das|da|do|de|di|la"
            rf"|el) )?[A-Z][\w'.-]{{1,24}}(?: [A-Za-z][\w'.-]{{0,24}}){{0,4}},? (?:n[.o]{{0,2}} ?)?\d{{1,4}}(?![\d.%])"
        ),
        likely,
        behind=120,
        ahead=20,
    ),
    unproven(
        "address",
        rf"(?:{_LIVING})[^\n]{{0,40}}\d",
        re.compile(rf"{caseless(_LIVING)}\W{{0,4}}(?P<value>[A-Za-z0-9][\w ,.'/#-]{{6,80}})"),
        lived_at,
        behind=100,
        ahead=80,
        caseless=True,
    ),
)
