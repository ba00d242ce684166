"""Identifiers with a structure of their own: e-mail, phone, payment card, IBAN, social security number, network addresses, wallets."""

from __future__ import annotations

import hashlib
import re

from app.domain import Tier
from app.policy.sensitivity import checks
from app.policy.sensitivity.pattern import Pattern, caseless, hard

_FILES = "py js ts jsx tsx go rs png jpg jpeg gif svg git local json yaml yml md txt html css so dll service lock toml cfg sh c h cpp java rb php xml conf"
_FILE_ENDINGS = frozenset(_FILES.split())
_YOURS = "app|business|company|corp|domain|e?mail|firm|host|name|org|server|site|store|team|web(?:site)?"  # yourcompany.com; yourhealth.org is somebody's
_RESERVED_HOST = re.compile(rf"(?i)@(?:[\w-]+\.)*(?:example\.(?:com|org|net|edu)|test|invalid|localhost|local|example|your-?(?:{_YOURS})\.[a-z]{{2,3}})$")
_PLACEHOLDER = re.compile(r"(?i)^(?:git|noreply|no-reply|donotreply|do-not-reply|user(?:name)?|name|your?[._-]?(?:name|email)?|me|foo|bar|someone|e?mail)@")
_ROLE = re.compile(
    r"(?i)(?:admin(?:istrator)?|test(?:er|ing|user)?\d*|user\d*|no-?reply|info|support|hello|contact|team|service|root|postmaster|webmaster|sales|help|demo|dev|ops|bot|ci|api"
    r"|security|office|mail|alerts?|notifications?|admins|groups?\d*|members|staff|someone|foo|bar|your?[._-]?(?:name|email)?|me|name|e?mail|username|example|dummy|sample)@"
)
# Fillers on both sides of the sign: abc@xyz.com.
_FILLER = re.compile(r"(?i)(?:abc|xyz|foo|bar|baz|test|user|([a-z])\1*)@(?:abc|xyz|foo|bar|baz|test|([a-z])\2*)\.[a-z]{2,3}")
_MACHINE = re.compile(r"(?i)\.gserviceaccount\.com$|@users\.noreply\.github\.com$|@[\d.]+[a-z-]*$|^git@|@\d+x\.")

_DOT = r"(?: ?(?:\(dot\)|\[dot\]|\{dot\}|\bdot\b) ?|\.)"
_AT_OR_DOT = re.compile(r"(?i) ?(?:[(\[{](?:at|(dot))[)\]}]|(\bdot\b)) ?")
_APART = r"[ .\t\r\n_/|-]{1,4}"  # what stands between the groups of a number in lines, cells and columns

_BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_WALLET_BITS = 200


def email(match: re.Match[str]) -> Tier | None:
    """Check an e-mail address: a file name is none, and one that RFC 2606 keeps for examples is only a hint, or none where it names no person either."""
    return _address(match[0])


def bracketed_email(match: re.Match[str]) -> Tier | None:
    """Check an e-mail address whose sign, and dots perhaps, are words in brackets."""
    return _address(_AT_OR_DOT.sub(lambda sign: "." if sign[1] or sign[2] else "@", match[0]))


def is_role(address: str) -> bool:
    """Say whether an e-mail address names a task or nobody, and no person."""
    return _ROLE.match(address.lstrip("-_%+")) is not None or _PLACEHOLDER.match(address) is not None


def _address(text: str) -> Tier | None:
    if text.rpartition(".")[2].lower() in _FILE_ENDINGS or _MACHINE.search(text) or _FILLER.fullmatch(text):
        return None
    reserved = _RESERVED_HOST.search(text) is not None
    if reserved and is_role(text):
        return None
    return Tier.WEAK if reserved or _PLACEHOLDER.match(text) else Tier.HARD


def mac_address(match: re.Match[str]) -> Tier | None:
    """Check a hardware address: fillers are none."""
    return Tier.LIKELY if len(set(match[0].lower())) > 4 else None


def wallet(match: re.Match[str]) -> Tier | None:
    """Check an address of a cryptocurrency: fillers are none."""
    return Tier.LIKELY if checks.entropy(match[0]) > 3 else None


def base58_wallet(match: re.Match[str]) -> Tier | None:
    """Check a Bitcoin address of the older kinds: its last four bytes are a checksum of the rest."""
    number = 0
    for char in match[0]:
        number = number * 58 + _BASE58.index(char)
    raw = number.to_bytes(26, "big")[-25:] if number.bit_length() <= _WALLET_BITS else b""
    return Tier.HARD if raw and hashlib.sha256(hashlib.sha256(raw[:21]).digest()).digest()[:4] == raw[21:] else None


def dialled_phone(match: re.Match[str]) -> Tier | None:
    """Check a number written with the international prefix 00."""
    return Tier.LIKELY if checks.international_phone(match) is Tier.HARD else None


PATTERNS = (
    Pattern(
        "email",
        r"[A-Za-z0-9._%+'-]@[A-Za-z0-9]",
        re.compile(
            r"(?<![\w.%+-])[A-Za-z0-9_%+-][A-Za-z0-9._%+'-]{0,63}@(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.){1,8}[A-Za-z]{2,24}(?![A-Za-z0-9])"
        ),
        email,
        behind=70,
        ahead=260,
    ),
    Pattern(
        "email",
        r"\w (?:at|\(at\)|\[at\]) \w[\w.-]{0,60} ?(?:dot|\(dot\)|\[dot\]|\.) ?[a-z]{2}",
        re.compile(
            r"(?i)\b[a-z0-9_%+-][a-z0-9._%+-]{0,63} ?(?:\(at\)|\[at\]|\bat\b) ?[a-z0-9][a-z0-9-]{0,40}(?: ?(?:\(dot\)|\[dot\]|\bdot\b) ?[a-z0-9-]{2,24}){1,3}\b"
        ),
        hard,
        caseless=True,
    ),
    Pattern(
        "email",
        r"\w ?[(\[{]at[)\]}] ?\w",
        re.compile(
            r"(?i)(?<![\w.%+-])[a-z0-9_%+-][a-z0-9._%+-]{0,63} ?(?:\(at\)|\[at\]|\{at\}) ?"
            rf"(?:[a-z0-9][a-z0-9-]{{0,62}}{_DOT}){{1,4}}[a-z]{{2,24}}(?![a-z0-9])"
        ),
        bracketed_email,
        behind=80,
        ahead=260,
        caseless=True,
    ),
    Pattern(
        "payment_card",
        r"\b\d(?:[ -]?\d){11}",
        re.compile(
            rf"(?<!\d)(?<!\d[._/-])(?:{checks.GROUPED_CARD}|\d(?:[ -]?\d){{11,18}})(?!\d|\.(?!0{{1,2}}(?!\d))\d)"
        ),  # 4111111111111111.0 is what a table makes of one
        checks.card,
        behind=60,
        ahead=60,
    ),
    Pattern(
        "payment_card",
        rf"\d{{4}}{_APART}\d{{4}}\d{{0,2}}{_APART}\d{{4}}",
        re.compile(
            rf"(?<!\d)(?<!\d[\s._/|-])(?:\d{{4}}(?P<gap>{_APART})\d{{4}}(?P=gap)\d{{4}}(?P=gap)\d{{4}}(?!\d|(?P=gap)\d{{4}})"
            rf"|\d{{4}}(?P<wide>{_APART})\d{{6}}(?P=wide)\d{{5}}(?!\d|(?P=wide)\d{{4}}))"
        ),
        checks.card_apart,
        behind=60,
        ahead=60,
    ),
    Pattern(
        "iban",
        rf"\b[a-z]{{2}}\d{{2}}{_APART}[a-z0-9]{{4}}{_APART}[a-z0-9]{{4}}",
        re.compile(
            rf"(?i)(?<![A-Za-z0-9])[A-Z]{{2}}\d{{2}}(?P<gap>{_APART})[A-Z0-9]{{4}}(?:(?P=gap)[A-Z0-9]{{4}}){{1,6}}(?:(?P=gap)[A-Z0-9]{{1,3}})?(?![A-Za-z0-9])"
        ),
        checks.bank_account,
        behind=60,
        ahead=60,
        caseless=True,
    ),
    Pattern(
        "iban",
        r"\b[a-z]{2}\d{2}(?:[ -]?[a-z0-9]){11}",
        re.compile(
            r"(?i)(?<![A-Za-z0-9])[A-Z]{2}\d{2}(?:[A-Z0-9]{11,30}|(?:[ -][A-Z0-9]{4}){2,7}(?:[ -][A-Z0-9]{1,3})?|(?:[ -]?[A-Z0-9]){11,30})(?![A-Za-z0-9])"
        ),
        checks.bank_account,
        behind=60,
        ahead=60,
        caseless=True,
    ),
    Pattern(
        "ssn",
        r"\d{3}[- ]\d{2}[- ]\d{4}",
        re.compile(r"(?<![\d-])(?<!\d\.)(?P<area>\d{3})(?P<sep>[- ])(?P<group>\d{2})(?P=sep)(?P<serial>\d{4})(?![\w-]|\.\d)"),
        checks.social_security,
        behind=20,
        ahead=20,
    ),
    Pattern(
        "ssn",
        rf"\d{{3}}{_APART}\d{{2}}{_APART}\d{{4}}",
        re.compile(rf"(?<!\d)(?<!\d[\s._/|-])(?P<area>\d{{3}})(?P<gap>{_APART})(?P<group>\d{{2}})(?P=gap)(?P<serial>\d{{4}})(?!\d)"),
        checks.social_security_apart,
        behind=60,
        ahead=20,
    ),
    Pattern("ip_address", r"\d\.\d{1,3}\.\d{1,3}\.\d", re.compile(r"(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?!\w|\.\d)"), checks.ip_address, behind=24, ahead=24),
    Pattern(
        "ip_address",
        r"[0-9a-f]{0,4}:[0-9a-f]{0,4}:[0-9a-f:]{2}",
        re.compile(
            r"(?i)(?<![\w:.])(?:[0-9a-f]{1,4}(?::[0-9a-f]{1,4}){7}"
            r"|(?:[0-9a-f]{1,4}(?::[0-9a-f]{1,4}){0,6})?::(?:[0-9a-f]{1,4}(?::[0-9a-f]{1,4}){0,6})?)(?![\w:]|\.\d)"
        ),
        checks.ip_address,
        behind=48,
        ahead=48,
        caseless=True,
    ),
    Pattern(
        "mac_address",
        r"(?:[0-9a-f]{2}[:-]){5}[0-9a-f]{2}",
        re.compile(r"(?i)(?<![\w:.-])[0-9a-f]{2}([:-])(?:[0-9a-f]{2}\1){4}[0-9a-f]{2}(?![\w:-])"),
        mac_address,
        behind=24,
        ahead=24,
        caseless=True,
    ),
    Pattern(
        "mac_address",
        r"[0-9a-f]{4}\.[0-9a-f]{4}\.[0-9a-f]{4}",
        re.compile(r"(?i)(?<![\w.:-])(?=[0-9.]*[a-f])(?=[a-f.]*[0-9])[0-9a-f]{4}\.[0-9a-f]{4}\.[0-9a-f]{4}(?![\w:-]|\.\w)"),
        mac_address,
        behind=24,
        ahead=24,
        caseless=True,
    ),
    Pattern("wallet", r"\b[13][1-9A-HJ-NP-Za-km-z]{25,34}\b", re.compile(r"(?<![\w+])[13][1-9A-HJ-NP-Za-km-z]{25,34}(?![\w+])"), base58_wallet),
    Pattern("wallet", r"\b(?:bc1[a-z0-9]{25}|0x[a-f0-9]{40})", re.compile(r"\b(?:bc1[a-z0-9]{25,62}|0x[a-fA-F0-9]{40})\b"), wallet, caseless=True),
    Pattern(
        "phone",
        r"\+[ (]{0,2}\d(?:[ ()./-]{0,3}\d){6}",
        re.compile(r"(?<![\w+])\+[ (]{0,2}[1-9](?:[ ()./-]{0,3}\d){6,14}(?!\d)"),
        checks.international_phone,
        behind=50,
        ahead=50,
    ),
    Pattern("phone", r"\b00[1-9](?:[ ()./-]{0,3}\d){8}", re.compile(r"(?<![\w.+-])00[1-9](?:[ ()./-]{0,3}\d){8,14}(?!\d)"), dialled_phone, behind=50, ahead=50),
    Pattern(
        "phone",
        r"\d{3}\)?[ ./-]{1,3}\d{3}[ .-]\d{4}",
        re.compile(r"(?<![\w.+$-])(?<!\d[ /])(?:1[ .-])?(?:\(\d{3}\)[ ./-]{0,3}|\d{3}(?P<sep>[ ./-])[ ]?)\d{3}[ .-]\d{4}(?![\w-]|[./]\d)"),
        checks.american_phone,
        behind=30,
        ahead=30,
    ),
    Pattern(
        "phone",
        r"\(\d{3}\)\d{3}[ .-]?\d{4}",
        re.compile(r"(?<![\w.+$-])(?:1[ .-])?\(\d{3}\)(?P<sep>)\d{3}[ .-]?\d{4}(?!\d)"),
        checks.american_phone,
        behind=30,
        ahead=30,
    ),
    Pattern(
        "phone",
        r"\b0\d{1,4}\)?[ /.-]{1,3}\d{2}",
        re.compile(r"(?<![\w.,+$/-])\(?0\d{1,4}\)?(?:[ /.-]{1,3}\d{2,8}){1,5}(?![\w/-]|[.,]\d)"),
        checks.national_phone,
        behind=40,
        ahead=60,
    ),
    Pattern(
        "phone",
        r"(?:phone|tel|mobile|cell|call|fax|whats ?app|contact|reach|text me|handy|movil|rufnummer|komork|ring|dial|sms"
        r"|hotline)[^\n\d]{0,34}\d(?:[ ()./-]{0,3}\d){6}",
        re.compile(
            caseless(r"phone|\btel|telef|mobile|\bcell|\bcall|\bfax|whats ?app|contact|reach|text me|handy|movil|rufnummer|komork|\bring|\bdial|\bsms|hotline")
            + r"[^\n\d]{0,34}"
            r"(?P<value>\+?\(?\d(?:[ ()./-]{0,3}\d){6,14})(?!\w)"
        ),
        checks.cued_phone,
        behind=90,
        ahead=40,
        caseless=True,
    ),
)
