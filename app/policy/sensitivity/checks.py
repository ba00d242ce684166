"""Whether what looks like an identifier is one: check digits, number plans, and what stands before it."""

from __future__ import annotations

import ipaddress
import math
import re
from collections import Counter

import phonenumbers
from stdnum import iban, luhn

from app.domain import Tier

_BREAK = "\0"
_SEQUENTIAL = 0.6  # of all characters
_MIN_INTERLEAVED = 16  # a shorter one may be a password
_CARD_RANGES = re.compile(r"4|5[0-8]|2[2-7]|3[04-9]|6|1800|2131|81|220|9792")  # ISO/IEC 7812 issuers of payment cards
# In fours and otherwise; in fours, one space of which was lost where the number was cut in two; and without groups.
GROUPED_CARD = (
    r"(?:\d{4}([ -])\d{4}\1\d{4}\1\d{1,7}|\d{4}([ -])\d{6}\2\d{4,5}|\d{4}([ -])\d{4}\3\d{5}"
    r"|\d{4}([ -])(?:\d{8}\4\d{4}|\d{4}\4\d{8})|\d{8}([ -])\d{4}\5\d{4}|\d{13,19})"
)
_LAST_THREE = re.compile(r"([ -])(\d{3})(?!\d)")  # what follows the four groups of a card with 19 digits
_GROUPED_CARD = re.compile(GROUPED_CARD)
_CARD_CUE = re.compile(r"(?i)\b(?:card|visa|master|amex|credit|debit|maestro|jcb|discover|diners|kart|carte|tarjeta|carta)\w*[^\n]{0,40}$")
_TAXPAYER = re.compile(r"5\d|6[0-5]|7\d|8[0-8]|9[0-24-9]")  # groups of the numbers that the IRS gives those who have no social security number
_SSN_CUE = re.compile(r"(?i)\bssn\b|social security")
_VERSION_CUE = re.compile(r"(?i)(?:\bv|\bversion|\bver|\brelease|\bbuild|\bsection|\bupgrade|\brev|chapter|==|>=|<=|~=|@|(?<!:/)/)[ .:=]*$")
_REGIONS = ("GB", "DE", "FR", "IT", "ES", "NL", "AU", "IN", "JP", "PL", "SE", "BE", "CH", "AT", "BR", "PT", "MX", "IE", "NZ", "ZA")
_DATE = re.compile(r"(?:19|20)\d\d[-/. ]\d\d?[-/. ]\d\d?.*|\d\d?[-/. ]\d\d?[-/. ](?:19|20)\d\d.*", re.DOTALL)
# Country and length of each IBAN (ISO 13616 registry).
_IBANS = """
AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BI27 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DJ27 DK18 DO28 EE20 EG29 ES24 FI18 FK18 FO18 FR27 GB22 GE22 GI23
GL18 GR27 GT28 HN28 HR21 HU28 IE22 IL23 IQ23 IS26 IT27 JO30 KW30 KZ20 LB28 LC32 LI21 LT20 LU20 LV21 LY25 MC27 MD24 ME22 MK19 MN20 MR27 MT31 MU30 NI28
NL18 NO15 OM23 PK24 PL28 PS29 PT25 QA29 RO24 RS22 RU33 SA24 SC31 SD18 SE24 SI19 SK24 SM27 SO23 ST25 SV28 TL23 TN24 TR26 UA29 VA22 VG24 XK20 YE30
"""
_IBAN_CHARS = {entry[:2]: int(entry[2:]) for entry in _IBANS.split()}
_SEPARATORS = re.compile(r"[\s._/|-]")
_ADDRESS_CUE = re.compile(r"(?i)(?:\bip|ipv4|addr|host|server|client|peer|\bfrom|\bto\b|\bsrc|\bdst|\bdns|\bping|gateway|proxy|route|login|://)[^\n]{0,16}$")
_LOCAL_DIGITS = 7  # of a number in North America without its area code
_NOBODYS_EXCHANGE = "555"
_VERSION_DIGITS = 5  # in four parts; one address in ten thousand has so few
_DIGIT_BEFORE = re.compile(r"\d $")
_DIGIT_AFTER = re.compile(r" \d")
_NOT_DIGIT = re.compile(r"\D")
_NOT_DIGITS = re.compile(r"\D+")
_IPV4_END = 1 << 32
_RESOLVERS = frozenset({"8.8.8.8", "8.8.4.4", "1.1.1.1", "1.0.0.1", "9.9.9.9", "208.67.222.222", "208.67.220.220", "1.2.3.4", "5.6.7.8"})


def before(match: re.Match[str], chars: int) -> str:
    """Return what stands before a match in the same text, `chars` code points at most."""
    start = match.start()
    return match.string[max(0, start - chars) : start].rpartition(_BREAK)[2]


def before_value(match: re.Match[str], chars: int) -> str:
    """Return what stands before the value of a match in the same text, `chars` code points at most."""
    start = match.start("value" if "value" in match.re.groupindex else 0)
    return match.string[max(0, start - chars) : start].rpartition(_BREAK)[2]


def after(match: re.Match[str], chars: int) -> str:
    """Return what stands after a match in the same text, `chars` code points at most."""
    end = match.end()
    return match.string[end : end + chars].partition(_BREAK)[0]


def digits(text: str) -> str:
    """Return the digits of a text alone."""
    return _NOT_DIGIT.sub("", text)


def entropy(text: str) -> float:
    """Return Shannon's entropy in bits for each character."""
    size = len(text)
    return -sum(count / size * math.log2(count / size) for count in Counter(text).values())


def is_sequential(text: str) -> bool:
    """Say whether most of a text counts up, as in abcdefgh, 123456 and a1b2c3d4: a filler that nobody drew by chance."""
    return _counts_up(text) or (len(text) >= _MIN_INTERLEAVED and _counts_up(text[::2]) and _counts_up(text[1::2]))


def _counts_up(text: str) -> bool:
    steps = sum(1 for left, middle, right in zip(text, text[1:], text[2:], strict=False) if ord(right) - ord(middle) == 1 == ord(middle) - ord(left))
    return steps >= _SEQUENTIAL * len(text)


def card(match: re.Match[str]) -> Tier | None:
    """Check a payment card number: issuer, grouping, check digit. Beside a word for a card, a mistyped one counts too."""
    raw = match[0]
    number = digits(raw)
    if len(set(number)) < 2 or not _CARD_RANGES.match(number):
        return None
    last = _LAST_THREE.match(after(match, 4)) if raw.count(match[1] or "\n") == 3 else None
    if last is not None and match[1] == last[1] and luhn.is_valid(number + last[2]):
        return Tier.LIKELY
    cued = _CARD_CUE.search(before(match, 60)) is not None
    grouped = _GROUPED_CARD.fullmatch(raw) is not None
    if luhn.is_valid(number) and (cued or grouped):
        return Tier.HARD if cued or len(number) <= 16 else Tier.LIKELY
    return Tier.LIKELY if cued and grouped else None


def card_apart(match: re.Match[str]) -> Tier | None:
    """Check a payment card number whose groups stand apart, in lines or cells: issuer and check digit."""
    number = digits(match[0])
    if len(set(number)) < 2 or not _CARD_RANGES.match(number) or not luhn.is_valid(number):
        return None
    return Tier.HARD if _CARD_CUE.search(before(match, 60)) else Tier.LIKELY


def bank_account(match: re.Match[str]) -> Tier | None:
    """Check an IBAN (ISO 13616): country, length, check digits. What follows it may look like more of it."""
    text = _SEPARATORS.sub("", match[0]).upper()
    size = _IBAN_CHARS.get(text[:2])
    return Tier.HARD if size is not None and len(text) >= size and iban.is_valid(text[:size], check_country=False) else None


def social_security(match: re.Match[str]) -> Tier | None:
    """Check a US social security number: areas, groups and serials that the administration never issues are none."""
    area, group, serial = match["area"], match["group"], match["serial"]
    if area[0] == "9":
        return Tier.LIKELY if _TAXPAYER.match(group) and serial != "0000" else None
    if area in {"000", "666"} or group == "00" or serial == "0000":
        return None
    return Tier.HARD if match["sep"] == "-" or _SSN_CUE.search(before(match, 40)) else Tier.LIKELY


def social_security_apart(match: re.Match[str]) -> Tier | None:
    """Check a US social security number whose parts stand apart, in lines or cells: only a word for one tells it from other figures."""
    is_issued = match["area"] not in {"000", "666"} and match["area"][0] != "9" and match["group"] != "00" and match["serial"] != "0000"
    return Tier.HARD if is_issued and _SSN_CUE.search(before(match, 40)) else None


def ip_address(match: re.Match[str]) -> Tier | None:
    """Check an IP address. Private ones say little, and those that everybody writes (loopback, masks, public resolvers) nothing."""
    text = match[0].partition("%")[0].partition("/")[0]
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    if text in _RESOLVERS or address.is_loopback or address.is_unspecified or address.is_multicast or address.is_link_local or text.startswith("255."):
        return None
    if address.version == 4 and _is_no_address(match, text):
        return None
    if address.version == 6 and int(address) < _IPV4_END:  # the deprecated form of an IPv4 address, and what is no address at all
        return None
    if address.is_global:
        return None if _VERSION_CUE.search(before(match, 12)) and address.version == 4 else Tier.HARD
    return Tier.WEAK if address.is_private and not text.endswith((".0", ".1", "::", "::1")) else None


def _is_no_address(match: re.Match[str], text: str) -> bool:
    """Say whether four numbers are a filler (1.2.3.42), or more likely a version."""
    if text.startswith("1.2.3."):
        return True
    return len(text) - 3 <= _VERSION_DIGITS and _ADDRESS_CUE.search(before(match, 24)) is None


def international_phone(match: re.Match[str]) -> Tier | None:
    """Check a phone number with its country code."""
    try:
        number = phonenumbers.parse("+" + digits(match[0]).removeprefix("00"), None)
    except phonenumbers.NumberParseException:
        return None
    if phonenumbers.is_valid_number(number):
        return Tier.HARD
    return Tier.LIKELY if phonenumbers.is_possible_number(number) else None


def american_phone(match: re.Match[str]) -> Tier | None:
    """Check a number of the North American plan: area codes and exchanges begin with 2 to 9."""
    number = digits(match[0])[-10:]
    if match["sep"] == " " and (_DIGIT_BEFORE.search(before(match, 2)) or _DIGIT_AFTER.match(after(match, 2))):
        return None  # a row of figures
    return Tier.HARD if number[0] in "23456789" and len(set(number)) > 2 else None


def national_phone(match: re.Match[str]) -> Tier | None:
    """Check a number with a trunk prefix against the plans of the larger countries."""
    raw = match[0]
    groups = _NOT_DIGITS.split(raw.strip("()"))
    if _DATE.fullmatch(raw) or not 8 <= len(digits(raw)) <= 13 or (len(groups) > 2 and len(set(groups)) == 1):
        return None
    return Tier.LIKELY if any(_is_valid(raw, region) for region in _REGIONS) else None


def cued_phone(match: re.Match[str]) -> Tier | None:
    """Check a number that stands after a word for a phone."""
    raw = match["value"]
    return Tier.HARD if 7 <= len(digits(raw)) <= 15 and not _DATE.fullmatch(raw) and len(set(digits(raw))) > 2 else None


def is_nobodys_phone(text: str) -> bool:
    """Say whether a number is one that everybody writes: one that counts up, or 555-1234 (in North America nobody has 555 without an area code)."""
    number = digits(text)
    return is_sequential(number) or (len(number) == _LOCAL_DIGITS and number.startswith(_NOBODYS_EXCHANGE))


def load_number_plans() -> None:
    """Read the number plans that `national_phone` compares with."""
    for region in _REGIONS:
        phonenumbers.PhoneMetadata.metadata_for_region(region)


def _is_valid(raw: str, region: str) -> bool:
    try:
        return bool(phonenumbers.is_valid_number(phonenumbers.parse(raw, region)))
    except phonenumbers.NumberParseException:
        return False
