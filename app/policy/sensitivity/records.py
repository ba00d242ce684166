"""Numbers that say whose they are only beside a word: identity documents, tax, bank, medical, insurance and customer numbers, dates of birth."""

from __future__ import annotations

import re

from app.domain import Tier
from app.policy.sensitivity import checks
from app.policy.sensitivity.pattern import Pattern, caseless, likely, unproven

_DAY = (
    r"(?:\d{1,2}[-/. ]\d{1,2}[-/. ]\d{2,4}|\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}(?:st|nd|rd|th|\.)? (?:of |del? )?[A-Za-z]{3,11}\.?,? (?:del? )?\d{4}"
    r"|[A-Za-z]{3,9}\.? \d{1,2}(?:st|nd|rd|th)?,? \d{4})"
)
_BIRTH = (
    r"\bdob\b|d\.o\.b\.?|date of birth|birth ?date|birthday|\bborn\b|geburtsdatum|geboren|geb\.|\bnee? le\b|date de naissance|nacid[oa]|\bnacio\b"
    r"|fecha de nacimiento|nat[oa] il|data di nascita|data urodzenia|urodzon[ya]|\burodz?\.|\bur\. |geboortedatum|data de nascimento|nascid[oa]|nasceu"
)
_FILL = (
    r"(?:[\s:=#?'\"(*\x1a-]|\b(?:is|was|are|of|like|number|numbers|numero|no|n|nr|num|id|ids|identifier|identification|code|card|ending|in|with"
    r"|details|data|under|listed|as|the|for|atin|ein|dl|mrn|pid|nummer|numer|accounts?|records?"
    r"|ist|lautet|hat|die|der|est|le|la|es|el|e|il|jest|to|het|de|da|do|di|del|della|o|a)\b\.?){0,9}"
)
_VALUE = r"(?P<value>\d{2,4}(?: \d{4}){2,6}|[A-Z0-9][A-Z0-9_./*-]{3,30})"
_OWNER_WORDS = "customer client member membership employee staff student subscriber suspect badge payroll registration colegiado"
_OWNERS = "|".join(rf"{word} ?(?:id|number|no|#|code)s?" for word in _OWNER_WORDS.split())
_OWNERS += r"|case file ?(?:id|number|no|#|code)s?"
_KINDS = {
    "ssn": r"ssn|social security|social insurance|sin number",
    "passport": r"passport|reisepass|passeport|pasaporte|passaporto|paszport(?:u|em)?|passaporte|paspoort",
    "driving_licence": (
        r"driver'?s?'? licen[cs]e|driving licen[cs]e|licen[cs]e (?:number|no|id|plate)|\bdl (?:number|no)|fuhrerschein|permis de conduire|numero de permis"
        r"|carnet? de conducir|permiso de conducir|licencia de conducir|patente di guida|numero (?:di |della )?patente|prawo jazdy|prawa jazdy|rijbewijs"
        r"|carta de conducao|\bcnh\b|habilitacao"
    ),
    "national_id": (
        r"national id(?:entity|entification)?|identity card|id card|personal ?ausweis\w*|aadhaa?r|pan card|\bpan\b|pesel|\bdni\b|\bnie\b|\bnif\b"
        r"|\bcpf\b|\bcurp\b|\bbsn\b|codice fiscale"
        r"|\bnhs\b|\bnino\b|voter id|voter card|tribal id|personnummer|henkilotunnus|burgerservicenummer|citizen card|identification number|\bmbi\b"
        r"|medicare|\brrn\b|resident registration"
    ),
    "tax_id": (
        r"tax ?(?:payer)?(?: id(?:entification)?| number| no)|\btin\b|\bitin\b|\bein\b|\bvat\b|steuer-?(?:id|nummer)|\bnip\b|numero fiscal"
        r"|partita iva|\batin\b"
    ),
    "bank_account": (
        r"bank ?accounts?|savings ?accounts?|checking ?accounts?|current ?accounts?|member ?accounts?|account (?:number|no|id|details)"
        r"|acct|a/c|routing|sort code|swift|\bbic\b|\biban\b"
        r"|konto|bankverbindung|bankleitzahl|\bblz\b|numero de (?:cuenta|compte|conta)|numero da conta|cuenta (?:bancaria|corriente|de ahorros?)"
        r"|compte (?:bancaire|courant|epargne|numero|n\b)|conto (?:corrente|bancario)|numero (?:di|del) conto|rekeningnummer|bankrekening"
        r"|numer (?:konta|rachunku)|nr (?:konta|rachunku)|rachun\w{2} bankow\w{1,3}|konta bankowego|conta (?:bancaria|corrente|poupanca)"
        r"|credit card|debit card|card (?:number|no)|\bcvv\b|\bcvc\b|bsb"
    ),
    "medical_record": (
        r"patient(?: id(?:entifier)?| number| no)?|\bmrn\b|medical (?:record|file|id)|health (?:card|record|insurance)|chart (?:number|no)|\bpid\b"
        r"|hospital (?:number|no|id)|patienten|fallnummer|krankenversicher\w{0,6}|versicherten|krankenkassen|dossier (?:medical|patient)"
        r"|numero de dossier(?: medical)?|historia clinica|expediente medico|numero de historia(?: clinica)?|cartella clinica|numero di cartella"
        r"|tessera sanitaria"
        r"|dossiernummer|medisch dossier|numer pacjenta|nr pacjenta|kart[aey] pacjenta|historia choroby|prontuario|processo clinico|numero de utente"
    ),
    "insurance": r"insurance(?: (?:number|no|id|code|policy))?|policy(?: (?:number|no|id|code|policy))?|claim(?: (?:number|no|id|code|policy))?"
    r"|policyholder(?: id)?|versicherungsnummer|poliza|polizza|polisa",
    "customer_number": (
        rf"{_OWNERS}"
        r"|matricul\w* ?(?:id|number|no|#|code)s?|order (?:id|number|no)|invoice (?:id|number|no)|ticket (?:id|number|no)|transaction (?:id|number|no)"
        r"|reference (?:id|number|no)|case (?:id|number|no)|booking (?:id|number|no)|tracking (?:id|number|no)|stored under id|account"
    ),
}
_DATE = re.compile(r"(?:19|20)\d\d[-/.]\d\d?[-/.]\d\d?|\d\d?[-/.]\d\d?[-/.](?:19|20)?\d\d")
_WORD = re.compile(r"[a-z]+(?:[-_./][a-z]+)*\d{0,2}", re.IGNORECASE)
_UUID = re.compile(r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-")
_MIN_DIGITS = 4


def numbered(match: re.Match[str]) -> Tier | None:
    """Check a number beside its word: enough digits, and no date, price, version or word."""
    value = match["value"].rstrip("./-_*")
    count = len(checks.digits(value))
    if count < _MIN_DIGITS or _DATE.fullmatch(value) or _WORD.fullmatch(value) or "//" in value:
        return None
    following = checks.after(match, 2)
    if following[:1] in {"%", "("} or value.count(".") > 1 or (count == _MIN_DIGITS and value.isdigit() and re.match(r"19|20", value)):
        return None
    return Tier.LIKELY


def weakly_numbered(match: re.Match[str]) -> Tier | None:
    """Check a number that says less: of an order, a customer, an account of any kind."""
    return Tier.WEAK if numbered(match) is not None and not _UUID.match(match["value"]) else None


def _pattern(kind: str, words: str) -> Pattern:
    return unproven(
        kind,
        rf"(?:{words})[^\n]{{0,36}}\d",
        re.compile(rf"{caseless(words, not_after='[A-Za-z_]')}(?i:s?(?:'s)?(?:-?(?:nummer|numer|nr))?(?![A-Za-z_]){_FILL}{_VALUE})"),
        weakly_numbered if kind == "customer_number" else numbered,
        behind=90,
        ahead=40,
        caseless=True,
    )


PATTERNS = (
    unproven(
        "date_of_birth",
        rf"(?:{_BIRTH})[^\n]{{0,14}}\d",
        re.compile(rf"{caseless(_BIRTH)}\W{{0,8}}(?i:(?:(?:is|on|am|the|op|el|em|le|il|dnia|dia|a)\W+)?(?P<value>{_DAY}))"),
        likely,
        behind=50,
        ahead=40,
        caseless=True,
    ),
    *(_pattern(kind, words) for kind, words in _KINDS.items()),
    unproven(
        "payment_card",
        r"(?:[X*]{4}[ -]?){2,3}\d{4}",
        re.compile(r"(?<![\w*])(?:[X*]{4}[ -]?){2,3}\d{4}(?!\d)|\b\d{4}[*X]{6,10}\d{4}\b"),
        likely,
        behind=40,
        ahead=10,
        caseless=True,
    ),
)
