"""Credentials that no service's prefix gives away: private keys, JSON web tokens, connection strings, and values beside a word for a secret."""

from __future__ import annotations

import re

from app.domain import Tier
from app.policy.sensitivity import checks
from app.policy.sensitivity.examples import is_published
from app.policy.sensitivity.pattern import Pattern, caseless, hard, weak

_KEYS = "api access private secret signing encryption account master auth client app consumer service subscription license storage webhook session"
_KEY_OF = "|".join(rf"{word}[_. -]?(?:key|token|secret|pass)s?" for word in _KEYS.split())
_WORDS = (
    rf"pass(?:word|wd|phrase|code)s?|pwd|secrets?|{_KEY_OF}|tokens?|credentials?|db[_-]?pass"
    rf"|conn(?:ection)?[_-]?str(?:ing)?"
    r"|kennwort|passwort|contrasena|mot de passe|haslo|senha|wachtwoord"
)
_ASSIGN = r"[\w.\[\]-]{0,24}\\?[\"'`]?[ \t]{0,4}(?:[:=!]={1,2}|=>|->|[:=])[ \t]{0,4}@?"
_SERVICES = """
adafruit adobe airtable algolia alibaba asana atlassian auth0 beamer bitbucket bittrex calendly clickup cloudflare codecov coinbase confluent
contentful datadog deepgram digitalocean discord dnsimple docusign droneci dropbox etsy fastly finicity finnhub flickr freshbooks gitter gocardless
heroku hubspot intercom kraken kucoin launchdarkly linkedin lob looker mailchimp mailgun mapbox mattermost meraki messagebird netlify newrelic nytimes
okta pagerduty plaid postmark pusher rapidapi rollbar sendbird sentry shodan snyk sonar sourcegraph squarespace sumo telegram travis trello twilio
twitch twitter typeform vultr yandex zendesk
"""
_SERVICE = "|".join(_SERVICES.split())

_QUOTED_BODY = re.compile(r"[\"'`][A-Za-z0-9+/]{40}")
_ARMOR_CHARS = 320  # what may stand between a key's head and its body: RFC 1421's headers, or OpenPGP's
_FILLER = re.compile(
    r"(?i)^(?:os\.|process\.|env\b|self\.|config|getenv|none$|null$|nil$|true$|false$|undefined|%s|str\b|string|request|data\.|args\.|settings|this\.|function"
    r"|models?\.|fields?\.|required|optional|password|passwd|passphrase|secret|token|your|my[-_ ]?(?:api|secret|pass|token|test|key)|enter|insert"
    r"|changeme|change[_-]me|dummy|fake|test|<|\{\{[^}]*\}\}$|\$\{[^}]*\}$|\$\(?\w+\)?$|%\(\w+\)s$|https?:|/|\.)"
    r"|redacted|\*{3}|#{5}|placeholder|(?<![A-Z])example|do-not-use|x{5}|\.{2}|_here\b|12345678901|0123456789|abcdefghij|0{10}|abc123|(?:1234-){2}|\$\{\w+\}"
    r"|\(\?[:=!<P]|\[(?:a-z|A-Z|0-9|\\w|\\d)"
)
_CODE = re.compile(r"[A-Za-z_&*]\w*(?:(?:\.|->|::)\w+)+[({]?|[A-Za-z_]\w*\(|[A-Z][A-Z0-9_]+|[a-z]+(?:[A-Z][a-z]+)*|[a-z_]+|[A-Za-z-]+")
_DEFAULT = re.compile(r"\$\{\w{1,80}:?[-=](?P<value>.*?)\}?")  # of a shell's parameter: what counts is what it stands for
_DOTTED = re.compile(r"[a-z][A-Za-z_]{0,30}(?:\.[A-Za-z_]{1,30}){1,4}")
_NO_SECRET_KEY = re.compile(
    r"(?i)public|csrf|xsrf|keyvault|jsonweb|token(?:s|iz\w*|_?(?:count|limit|type|len\w*|ids?|num\w*|index))$"
    r"|(?:ids?|names?|urls?|uri|endpoints?|path|files?|types?|fields?|labels?|length|size|hint|policy|expir\w*|count|limit|version|format"
    r"|prefix|header|provider|manager"
    r"|class|ttl|results?|keying|regex|pattern|input|error|message|store\w*|reset|rotation|strength|arn|ref)[\"'`\]]?$"
)
_PROMPT = re.compile(r"[:?>]$|%[sd]|\{\w*\}$")
_HASH_KEY = re.compile(r"(?i)(?:hash|digest|checksum|algo\w*)[\"'`\]]?$")
_LOCAL_DEFAULT = re.compile(r"//([a-z]{1,20}):\1@(?:localhost|127\.0\.0\.1)$")  # postgres:postgres of a server on one's own machine
_PARTS = re.compile(r"[^A-Za-z0-9]+")
_PASSWORD = re.compile(r"(?i)pass|pwd|kennwort|contrasena|haslo|senha|wachtwoord")
_SEPARATOR = re.compile(r"[\"'`]?[ \t]*(?:[:=!]={1,2}|=>|->|[:=])")
_KEY_START = re.compile(r"[\w.-]*$")
_BRACKETS = re.compile(r"[()\[\]{}<>]")
_EXPRESSION = re.compile(r"[\w.]*[(\[<]|[{$%]")
_SIGNS = re.compile(r"[^\w\s]")
_DIGIT = re.compile(r"\d")
_RANDOM_BITS = 3.2  # of 16 characters and more: words joined by signs are below it, random base64 and hex above
_MIN_RANDOM_CHARS = 16
_MIN_CHARS = 6


def assigned(match: re.Match[str]) -> Tier | None:
    """Check `key = value`."""
    value, quoted = match["value"].rstrip("\\,;"), match["quote"] is not None
    default = _DEFAULT.fullmatch(value)
    value = value if default is None else default["value"]
    key = _KEY_START.findall(checks.before(match, 24))[0] + _SEPARATOR.split(match[0][: match.start("value") - match.start()])[0]
    return _secret(key, value, quoted=quoted)


def beside_key(match: re.Match[str]) -> Tier | None:
    """Check a quoted value that is compared with a key, given to it in a call, or written after it."""
    value = match["value"]
    return None if " " in value or _PROMPT.search(value) else _secret(match["key"], value, quoted=True)


def _secret(key: str, value: str, *, quoted: bool) -> Tier | None:
    """Say how sure a value beside a key is a secret."""
    if _is_code(value, quoted=quoted) or _is_filler(key, value) or is_published(value):
        return None
    is_password = _PASSWORD.search(key) is not None
    has_digit, signs, bits = _DIGIT.search(value) is not None, len(set(_SIGNS.findall(value))), checks.entropy(value)
    if " " in value:
        return Tier.WEAK if is_password and quoted else None
    if len(value) >= _MIN_RANDOM_CHARS and bits >= _RANDOM_BITS and (has_digit or signs >= 3):
        return Tier.HARD
    if is_password and bits >= 2 and (has_digit or signs):
        return Tier.HARD if has_digit or signs >= 2 else Tier.LIKELY
    return Tier.LIKELY if has_digit and bits >= 2.5 and len(value) >= 8 else None


def _is_code(value: str, *, quoted: bool) -> bool:
    """Say whether a value is a name, a call or a piece of an expression."""
    if _CODE.fullmatch(value) or value[:1] in ")]}>":
        return True
    return not quoted and _BRACKETS.search(value) is not None and (_EXPRESSION.match(value) is not None or _is_balanced(value))


def _is_filler(key: str, value: str) -> bool:
    """Say whether a value stands for another, says nothing, or is what its key says is no secret."""
    if len(value) < _MIN_CHARS or _FILLER.search(value) or _NO_SECRET_KEY.search(key) or checks.is_sequential(value):
        return True
    if _HASH_KEY.search(key):
        return len(value) < _MIN_RANDOM_CHARS
    return not _PASSWORD.search(key) and checks.is_sequential(max(_PARTS.split(value), key=len))


def _is_balanced(text: str) -> bool:
    return all(text.count(left) == text.count(right) for left, right in ("()", "[]", "{}", "<>"))


def spoken(match: re.Match[str]) -> Tier | None:
    """Check "the password is ...": a word of the language is none."""
    value = match["value"].rstrip(".,;!?)")
    if (
        len(value) < 5
        or "(" in value
        or _FILLER.search(value)
        or not (_DIGIT.search(value) or _SIGNS.search(value[:-1]))
        or (value.isdigit() and len(value) > 8)
    ):
        return None
    return Tier.HARD if _DIGIT.search(value) else Tier.LIKELY


def url_credentials(match: re.Match[str]) -> Tier | None:
    """Check the password in a URL."""
    value = match["value"]
    if _LOCAL_DEFAULT.search(match[0]):
        return None
    return None if (_FILLER.search(value) and not _DIGIT.search(value)) or value.lower() in {"pass", "pw", "pwd", "password"} else Tier.HARD


def basic_auth(match: re.Match[str]) -> Tier | None:
    """Check `user:password` given to a program."""
    value = match["value"].strip("\"'")
    user, _, password = value.partition(":")
    if _FILLER.search(password or user) or (re.match(r"[<$\[{]", password) and not _DIGIT.search(password)) or max(len(user), len(password)) < 6:
        return None
    looks_random = _DIGIT.search(value) or _SIGNS.search(password) or (checks.entropy(value) > _RANDOM_BITS and not password.islower())
    return Tier.HARD if len(set(value)) > 5 and looks_random else None


def header(match: re.Match[str]) -> Tier | None:
    """Check the credentials of an HTTP request's header."""
    value = match["value"]
    return (
        None
        if _FILLER.search(value)
        or is_published(value)
        or _DOTTED.fullmatch(value)
        or checks.entropy(value) < 2.8
        or (not _DIGIT.search(value) and len(value) < 24 and not value.endswith("="))
        else Tier.HARD
    )


def beside_service(match: re.Match[str]) -> Tier | None:
    """Check a random value beside a service's name."""
    value = match["value"]
    if _FILLER.search(value) or checks.is_sequential(value) or is_published(value):
        return None
    return Tier.HARD if checks.entropy(value) >= _RANDOM_BITS and _DIGIT.search(value) else None


def private_key(match: re.Match[str]) -> Tier | None:
    """Check the head of a private key: one in quotes is what a program looks for, unless a body follows it that is in quotes too, a line each."""
    after = checks.after(match, _ARMOR_CHARS)
    return None if after.startswith(('"', "'", "`")) and not _QUOTED_BODY.search(after) else Tier.HARD


PATTERNS = (
    Pattern(
        "private_key",
        r"-----BEGIN[ A-Z0-9_-]{0,40}PRIVATE KEY",
        re.compile(r"-----BEGIN[ A-Z0-9_-]{0,40}PRIVATE KEY(?: BLOCK)?-----(?![^-]{0,60}-----END)(?![\s\\n]{0,8}(?:\.\.\.|<(?!br\b)|\[))"),
        private_key,
    ),
    Pattern("private_key", r"PuTTY-User-Key-File-\d", re.compile(r"PuTTY-User-Key-File-\d"), hard),
    Pattern("service_account", r'"type"\s{0,4}:\s{0,4}"service_account"', re.compile(r'"type"\s{0,4}:\s{0,4}"service_account"'), weak),
    Pattern(
        "jwt",
        r"ey[A-Za-z0-9_-]{10,}\.ey[A-Za-z0-9_-]{8}",
        re.compile(r"(?<![A-Za-z0-9])ey[A-Za-z0-9_-]{10,2000}\.ey[A-Za-z0-9_-]{8,4000}(?:\.[A-Za-z0-9_-]{10,1000})?"),
        hard,
        behind=2100,
        ahead=5100,
    ),
    Pattern(
        "connection_string",
        r"[a-z][a-z0-9+.-]{1,15}://[^\s:/@\"'<>{}$]{0,80}:[^\s/@\"'<>]{3}",
        re.compile(r"(?i)\b[a-z][a-z0-9+.-]{1,15}://[^\s:/@\"'<>{}$]{0,80}:(?P<value>[^\s/@\"'<>]{3,120})@[\w.-]+"),
        url_credentials,
        ahead=220,
        caseless=True,
    ),
    Pattern(
        "secret",
        rf"(?:{_WORDS}){_ASSIGN}\\?[\"'`]?[^\s\"'`]{{5}}",
        re.compile(rf"{caseless(_WORDS)}{_ASSIGN}\\?(?P<quote>[\"'`])?(?P<value>(?(quote)[^\"'`\n]{{6,300}}|[^\s\"'`]{{6,300}}))"),
        assigned,
        ahead=320,
        caseless=True,
    ),
    Pattern(
        "secret",
        r"[\"'][ \t]?[!=]={1,2}[ \t]?[\w.]{0,24}(?:pass|pwd|secret|token|key)",
        re.compile(rf"(?P<quote>[\"'])(?P<value>[^\"'\n]{{6,100}})(?P=quote)[ \t]?[!=]={{1,2}}[ \t]?(?P<key>[\w.]{{0,24}}{caseless(_WORDS)}\w{{0,16}})"),
        beside_key,
        caseless=True,
    ),
    Pattern(
        "secret",
        r"(?:password|passwd|passphrase|pwd|secret|api_?key|private_?key|token)\w{0,8}(?:\.\w{1,12})?(?:\(|[ \t]{1,4})[\"'][^\s\"']{6}",
        re.compile(rf"(?P<key>{caseless(_WORDS)}\w{{0,8}})(?:\.\w{{1,12}})?(?:\(|[ \t]{{1,4}})(?P<quote>[\"'])(?P<value>[^\"'\n]{{6,100}})(?P=quote)"),
        beside_key,
        caseless=True,
    ),
    Pattern(
        "secret",
        r"(?:password|passphrase|passcode|kennwort|passwort|contrasena|mot de passe|haslo|senha)[^\n]{0,20}(?:is|was|ist|es|est|to|:)\s{1,2}[\"'`]?\S{4}",
        re.compile(
            r"(?i)\b(?:password|passphrase|passcode|kennwort|passwort|contrasena|mot de passe|haslo|senha)(?: (?!is\b|was\b)\w{2,12}){0,2}"
            r"(?: (?:is|was|ist|es|est|to)|:)[ ]{1,2}[\"'`]?(?P<value>[^\s\"'`<>]{4,80})"
        ),
        spoken,
        caseless=True,
    ),
    Pattern(
        "secret",
        r"\s(?:-u|--user)[ =]{1,3}[\"']?[^\s:\"']{0,60}[\"']?:",
        re.compile(
            r"\s(?:-u|--user)[ =]{1,3}(?P<value>\"[^\"\n]{0,60}:[^\"\n]{0,80}\"(?::\"[^\"\n]{1,80}\")?|'[^'\n]{0,60}:[^'\n]{0,80}'"
            r"|[^\s:\"']{0,60}:[\"']?[^\s\"']{3,80}|\"[^\"\n]{1,60}\":\"[^\"\n]{1,80}\")"
        ),
        basic_auth,
        ahead=260,
    ),
    Pattern(
        "secret",
        r"(?:authorization|x-api-key|api-key|x-auth-token|private-token|x-vault-token)[\"']?\s{0,3}[:=]\s{0,3}[\"']?(?:(?:basic|bearer|token"
        r"|api-token|apikey|bot)\s)?[a-z0-9_.~+/=-]{8}",
        re.compile(
            r"(?i)\b(?:authorization|x-api-key|api-key|x-auth-token|private-token|x-vault-token)[\"']?\s{0,3}[:=]\s{0,3}[\"']?(?:(?:basic|bearer|token"
            r"|api-token|apikey|bot)\s+)?"
            r"(?P<value>[A-Za-z0-9_.~+/=-]{8,2000})"
        ),
        header,
        ahead=400,
        caseless=True,
    ),
    Pattern(
        "api_key",
        r"[:=>]\s{0,3}[\"']?[A-Za-z0-9_=-]{20}",
        re.compile(
            rf"{caseless(_SERVICE, not_after='[A-Za-z]')}(?![a-z])[\w .-]{{0,24}}[\"']?\s{{0,3}}(?:=>|:=|=|:)\s{{0,3}}[\"']?"
            r"(?P<value>[A-Za-z0-9_=-]{20,120})(?![\w./])"
        ),
        beside_service,
        behind=90,
        ahead=110,
        apart=True,
    ),
    Pattern("api_key", r"\bs\.[A-Za-z0-9]{24}\b", re.compile(r"(?<![\w.])s\.(?=[A-Za-z]{0,23}\d)(?=[^A-Z]{0,23}[A-Z])[A-Za-z0-9]{24}(?![\w.])"), hard),
)
