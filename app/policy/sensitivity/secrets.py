"""Credentials that no service's prefix gives away: private keys, JSON web tokens, connection strings, and values beside a word for a secret."""

from __future__ import annotations

import re

from app.domain import Tier
from app.policy.sensitivity import checks
from app.policy.sensitivity.pattern import Pattern, hard

_WORDS = (
    r"(?:pass(?:word|wd|phrase|code)s?|pwd|secrets?|(?:api|access|private|secret|signing|encryption|account|master|auth|client|app|consumer|service)[_. -]?(?:key|token|secret|pass)"
    r"|tokens?|credentials?|db[_-]?pass|conn(?:ection)?[_-]?str(?:ing)?|bearer|auth)"
)
_FOREIGN = r"(?:contrasena|passwort|kennwort|mot de passe|haslo|senha|wachtwoord|parola d'ordine)"
_ASSIGN = r"[\w.\]-]{0,24}[\"'`]?[ \t]{0,4}(?::=|={1,3}|=>|->|:)[ \t]{0,4}"
_NOT_SECRET = re.compile(
    r"(?i)^(?:os\.|process\.|env\b|self\.|config|getenv|none$|null$|true$|false$|undefined|x{3,}|\*{3,}|\.\.\.|%s|str\b|string|request|data\.|args\.|settings"
    r"|this\.|function|models?\.|fields?\.|redacted|required|optional|password|passwd|secret|token|your|my[-_ ]?(?:api|secret|pass)|enter|insert|placeholder"
    r"|changeme|change_me|example|dummy|fake|<|\$|\{\{|@|https?:)|redacted|\*\*\*|placeholder|do-not-use|\$\{|\{\{|x{5}|_here\b"
)
_CODE = re.compile(r"[A-Za-z_&*]\w*(?:(?:\.|->|::)\w+)+\(?|[A-Za-z_]\w*\(|[A-Z][A-Z0-9_]+|[a-z]+(?:[A-Z][a-z]+)*|[a-z_]+|[A-Za-z-]+")
_LONG_BITS = 3.2
_PASSWORD_CUE = re.compile(r"(?i)pass|pwd|pin\b|login")


def assigned(match: re.Match[str]) -> Tier | None:
    """Check `key = value`: names of variables, calls and fillers are no secrets."""
    quoted = match["quote"] is not None
    value = match["value"]
    if _NOT_SECRET.search(value) or _CODE.fullmatch(value):
        return None
    has_digit = re.search(r"\d", value) is not None
    has_sign = re.search(r"[^\w\s.:/,-]", value) is not None
    bits = checks.entropy(value)
    if len(value) >= 16 and has_digit and bits >= _LONG_BITS and " " not in value:
        return Tier.HARD
    if (
        _PASSWORD_CUE.search(match[0][: match.start("value") - match.start()])
        and (has_digit or has_sign)
        and bits >= 2
        and (quoted or not re.search(r"[()\[\]]", value))
    ):
        return Tier.HARD if has_digit and " " not in value else Tier.LIKELY
    return Tier.LIKELY if has_digit and bits >= 2.8 and " " not in value else None


def url_credentials(match: re.Match[str]) -> Tier | None:
    """Check the password in a URL."""
    return None if _NOT_SECRET.search(match["value"]) or match["value"] in {"pass", "pw", "pwd"} else Tier.HARD


PATTERNS = (
    Pattern(
        "private_key",
        r"-----BEGIN[ A-Z0-9_-]{0,40}PRIVATE KEY",
        re.compile(r"-----BEGIN[ A-Z0-9_-]{0,40}PRIVATE KEY(?: BLOCK)?-----(?![\s\\n]{0,8}(?:\.\.\.|-----END|<|\[))"),
        hard,
    ),
    Pattern(
        "jwt",
        r"eyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8}",
        re.compile(r"(?<![A-Za-z0-9])eyJ[A-Za-z0-9_-]{8,2000}\.eyJ[A-Za-z0-9_-]{8,4000}(?:\.[A-Za-z0-9_-]{10,1000})?"),
        hard,
        behind=2100,
        ahead=5100,
    ),
    Pattern(
        "connection_string",
        r"[a-z][a-z0-9+.-]{1,15}://[^\s:/@\"'<>{}$]{0,80}:[^\s:/@\"'<>{}$]{3}",
        re.compile(r"(?i)\b[a-z][a-z0-9+.-]{1,15}://[^\s:/@\"'<>{}$]{0,80}:(?P<value>[^\s/@\"'<>{}$]{3,120})@[\w.-]+"),
        url_credentials,
        ahead=200,
        caseless=True,
    ),
    Pattern(
        "secret",
        rf"{_WORDS}{_ASSIGN}[\"'`]?[^\s\"'`]{{5}}",
        re.compile(rf"(?i){_WORDS}{_ASSIGN}(?P<quote>[\"'`])?(?P<value>(?(quote)[^\"'`\n]{{6,300}}|[^\s\"'`<>{{}}$;,()\[\]]{{6,300}}))"),
        assigned,
        ahead=320,
        caseless=True,
    ),
)
