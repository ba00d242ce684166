"""National identity and tax numbers whose check digits are right, beside a word for them. The rules of each are those of python-stdnum.

Check digits alone prove little (one number in ten or so passes), which is why the word must stand there; with both, a number is a hard finding.
"""

from __future__ import annotations

import re
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING

from app.domain import Tier
from app.policy.sensitivity.pattern import Pattern, caseless

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# Words for a number (folded, so without accents), and the modules of stdnum that know numbers so called.
NUMBERS = {
    r"national (?:id|identity|identification|insurance)|id card|identity card|identification number|personal (?:id|code|number)|citizen": (
        "ee.ik lt.asmens cz.rc ro.cnp bg.egn hr.oib pl.pesel es.dni es.nie it.codicefiscale nl.bsn be.nn se.personnummer no.fodselsnummer dk.cpr fi.hetu "
        "tr.tckimlik za.idnr il.idnr is_.kennitala cn.ric kr.rrn th.pin my.nric in_.aadhaar br.cpf cl.rut mx.curp pt.cc"
    ),
    r"\bpesel": "pl.pesel",
    r"\bnip\b": "pl.nip",
    r"\bdni\b|documento nacional": "es.dni ar.dni pe.cui",
    r"\bnie\b": "es.nie",
    r"\bnif\b": "es.nif pt.nif",
    r"codice fiscale": "it.codicefiscale",
    r"\bnir\b|insee|securite sociale": "fr.nir",
    r"\bspi\b|numero fiscal": "fr.nif pt.nif",
    r"steuer-?(?:id|nummer|identifikation)|\bidnr\b": "de.idnr",
    r"\bbsn\b|burgerservicenummer|sofinummer": "nl.bsn",
    r"rijksregister|registre national|\binsz\b|\bniss\b": "be.nn be.bis be.ssn",
    r"person-?nummer": "se.personnummer no.fodselsnummer",
    r"fodselsnummer": "no.fodselsnummer",
    r"\bcpr\b": "dk.cpr",
    r"henkilotunnus|\bhetu\b": "fi.hetu",
    r"kennitala": "is_.kennitala",
    r"isikukood": "ee.ik",
    r"personas kods": "lv.pvn",
    r"asmens kod": "lt.asmens",
    r"rodne cislo": "cz.rc",
    r"\bcnp\b|cod numeric personal": "ro.cnp",
    r"\begn\b": "bg.egn",
    r"\boib\b": "hr.oib",
    r"\bjmbg\b|\bemso\b": "si.emso",
    r"\bamka\b": "gr.amka",
    r"\bpps\b|\bppsn\b": "ie.pps",
    r"\bahv\b|\bavs\b": "ch.ssn",
    r"\bsvnr\b|sozialversicherung": "at.vnr",
    r"\bnhs\b": "gb.nhs",
    r"\butr\b": "gb.utr",
    r"\bsin\b|social insurance": "ca.sin",
    r"\bcpf\b": "br.cpf",
    r"\bcuit\b|\bcuil\b": "ar.cuit",
    r"\brut\b|\brun\b": "cl.rut",
    r"\bcurp\b": "mx.curp",
    r"\brfc\b": "mx.rfc",
    r"\bcedula\b": "ec.ci uy.rut do.cedula",
    r"aadhaa?r": "in_.aadhaar",
    r"\bpan\b": "in_.pan",
    r"voter id|\bepic\b": "in_.epic",
    r"resident registration|\brrn\b": "kr.rrn",
    r"resident id|shenfenzheng": "cn.ric",
    r"\btc kimlik|kimlik no|\btckn\b": "tr.tckimlik",
    r"teudat zehut": "il.idnr",
    r"\btfn\b|tax file": "au.tfn",
    r"\bird\b": "nz.ird",
    r"\bnric\b|mykad": "my.nric sg.uen",
    r"thai id": "th.pin",
    r"\binn\b": "ru.inn",
    r"\brntrc\b": "ua.rntrc",
    r"\bitin\b": "us.itin",
    r"\batin\b": "us.atin",
    r"\bein\b": "us.ein",
    r"sa id\b|south african id|\bid number": "za.idnr il.idnr",
}
_SEPARATOR = re.compile(r"[ ./-]")
_MIN_DIGITS = 6
_FIRST_USE = ("360426199101010071", "770305-03-5003", "123456789")  # of the forms for which China, Malaysia and the USA have registers


@cache
def checks_of(names: str) -> tuple[Callable[[str], bool], ...]:
    """Return the checks of numbers, by their modules."""
    return tuple(import_module(f"stdnum.{name}").is_valid for name in names.split())


def prepare() -> None:
    """Load the modules and the registers that they read at their first use, so that no request waits for it."""
    for names in NUMBERS.values():
        for valid in checks_of(names):
            for number in _FIRST_USE:
                valid(number)


def _candidates(value: str) -> Iterator[str]:
    """Yield a value and what is left of it without its last parts: words may follow a number."""
    yield value
    for match in reversed(list(_SEPARATOR.finditer(value))):
        yield value[: match.start()]


def _pattern(cue: str, names: str) -> Pattern:
    def check(match: re.Match[str]) -> Tier | None:
        for text in _candidates(match["value"]):
            if sum(map(str.isdigit, text)) >= _MIN_DIGITS and len(set(text)) > 2 and any(valid(text) for valid in checks_of(names)):
                return Tier.HARD
        return None

    return Pattern(
        "national_id",
        rf"(?:{cue})[^\n]{{0,24}}[0-9]{{2}}",
        re.compile(
            rf"{caseless(cue, not_after='[A-Za-z]')}[^\n\d]{{0,24}}?"
            r"(?i:(?<![A-Za-z0-9])(?P<value>(?=[A-Z0-9./-]{0,9}\d)[A-Z0-9](?:[ ./+-]?[A-Z0-9]){5,24})(?![A-Za-z0-9]))"
        ),
        check,
        behind=80,
        ahead=40,
        caseless=True,
    )


PATTERNS = tuple(_pattern(cue, names) for cue, names in NUMBERS.items())
