"""Numbers that say whose they are only beside a word: identity documents, tax, bank, medical, insurance and customer numbers, dates of birth."""

from __future__ import annotations

import re

from app.domain import Tier
from app.policy.sensitivity import checks
from app.policy.sensitivity.pattern import Pattern, likely

_DAY = (
    r"(?:\d{1,2}[-/. ]\d{1,2}[-/. ]\d{2,4}|\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}(?:st|nd|rd|th|\.)? (?:of )?[A-Za-z]{3,9}\.?,? \d{4}"
    r"|[A-Za-z]{3,9}\.? \d{1,2}(?:st|nd|rd|th)?,? \d{4})"
)
_BIRTH = (
    r"(?:\bdob\b|d\.o\.b\.?|date of birth|birth ?date|birthday|\bborn\b|geburtsdatum|geboren|geb\.|\bnee? le\b|date de naissance|nacid[oa] el"
    r"|fecha de nacimiento|nat[oa] il"
    r"|data di nascita|data urodzenia|urodzon[ya]|geboortedatum|data de nascimento|nascid[oa])"
)
_FILL = (
    r"(?:[\s:=#?'\"(*-]|\b(?:is|was|are|of|like|number|numbers|numero|no|nr|num|id|ids|identifier|identification|code|card|ending|in|with"
    r"|details|data|under|listed|as|the|for|atin|ein"
    r"|dl|mrn|pid|nummer|numer|accounts?|records?)\b\.?){0,7}"
)
_VALUE = r"(?P<value>[A-Z0-9][A-Z0-9_./*-]{3,30})"
_KINDS = {
    "ssn": r"ssn|social security|social insurance|sin number",
    "passport": r"passport|reisepass|passeport|pasaporte|passaporto|paszport|passaporte|paspoort",
    "driving_licence": (
        r"driv(?:er|ing)'?s?'? licen[cs]e|licen[cs]e (?:number|no|id|plate)|fuhrerschein|permis de conduire|patente di guida|prawo jazdy|rijbewijs"
        r"|carta de conducao"
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
        r"(?:bank|savings|checking|current|member) ?accounts?|account (?:number|no|id|details)|acct|a/c|routing|sort code|swift|\bbic\b|\biban\b"
        r"|kontonummer|konto|numero de cuenta"
        r"|compte|conto corrente|credit card|debit card|card (?:number|no)|\bcvv\b|\bcvc\b|bsb"
    ),
    "medical_record": (
        r"patient(?: id(?:entifier)?| number| no)?|\bmrn\b|medical (?:record|file|id)|health (?:card|record|insurance)|chart (?:number|no)|\bpid\b"
    ),
    "insurance": r"(?:insurance|policy|claim)(?: (?:number|no|id|code|policy))?|policyholder(?: id)?|versicherungsnummer|poliza|polizza|polisa",
    "customer_number": (
        r"(?:customer|client|member(?:ship)?|employee|staff|student|subscriber|suspect|badge|payroll|registration|case file|matricul\w*"
        r"|colegiado) ?(?:id|number|no|#|code)s?"
        r"|(?:order|invoice|ticket|transaction|reference|case|booking|tracking) (?:id|number|no)|stored under id|account"
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
    return Pattern(
        kind,
        rf"(?:{words})[^\n]{{0,36}}\d",
        re.compile(rf"(?i)(?<![A-Za-z_])(?:{words})s?(?:'s)?(?![A-Za-z_]){_FILL}{_VALUE}"),
        weakly_numbered if kind == "customer_number" else numbered,
        behind=90,
        ahead=40,
        caseless=True,
    )


PATTERNS = (
    Pattern(
        "date_of_birth",
        rf"{_BIRTH}[^\n]{{0,14}}\d",
        re.compile(rf"(?i){_BIRTH}\W{{0,8}}(?:is\W+|on\W+|am\W+|the\W+)?(?P<value>{_DAY})"),
        likely,
        behind=50,
        ahead=40,
        caseless=True,
    ),
    *(_pattern(kind, words) for kind, words in _KINDS.items()),
    Pattern(
        "payment_card",
        r"(?:[X*]{4}[ -]?){2,3}\d{4}",
        re.compile(r"(?<![\w*])(?:[X*]{4}[ -]?){2,3}\d{4}(?!\d)|\b\d{4}[*X]{6,10}\d{4}\b"),
        likely,
        behind=40,
        ahead=10,
        caseless=True,
    ),
)
