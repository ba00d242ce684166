"""The callers' keys, as GATEWAY_API_KEYS spells them."""

from __future__ import annotations

import re
from dataclasses import dataclass

from pydantic import SecretStr

from app.config.faults import ConfigError
from app.domain import Label

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")  # it goes to logs
_SECRET = re.compile(r"[!-~]+")  # what an Authorization header can carry
_FORMS = "`key`, `name:key` or `name:clearance:key`"


@dataclass(frozen=True, slots=True)
class ApiKey:
    """One caller's key. `clearance` is the highest label that the caller may read back from a collection."""

    name: str
    clearance: Label
    secret: SecretStr


def parse_api_keys(text: str) -> tuple[ApiKey, ...]:
    """Return the keys of a comma-separated list of `key`, `name:key` and `name:clearance:key`.

    A key without a name is called `key-N` after its place. Raises ConfigError, which names entries by their place and never holds one.
    """
    entries = [entry.strip() for entry in text.split(",")]
    keys = [_parse(entry, place) for place, entry in enumerate(entries, 1) if entry]
    _refuse_duplicates([key.name for key in keys], "have the same name; give each caller a name of its own")
    _refuse_duplicates([key.secret.get_secret_value() for key in keys], "are the same key; give each caller a key of its own")
    return tuple(keys)


def _parse(entry: str, place: int) -> ApiKey:
    where = f"GATEWAY_API_KEYS: entry {place}"
    parts = entry.split(":", 2)
    name, clearance, secret = f"key-{place}", "confidential", parts[-1]
    if len(parts) > 1:
        name = parts[0]
    if len(parts) > 2:
        clearance = parts[1]
    elif name.upper() in Label.__members__:
        raise ConfigError(f"{where} starts with a label where a name belongs; write `name:{name.lower()}:key`")
    if not _NAME.fullmatch(name):
        raise ConfigError(f"{where} has a name that is not 1 to 64 of A-Z, a-z, 0-9, `.`, `_`, `-`; write {_FORMS}")
    if not _SECRET.fullmatch(secret):
        raise ConfigError(f"{where} has a key that is empty or holds a space or a character outside ASCII; write {_FORMS}")
    try:
        label = Label.parse(clearance)
    except ValueError:
        raise ConfigError(f"{where} has an unknown clearance; write {_FORMS}, where clearance is public, internal or confidential") from None
    return ApiKey(name, label, SecretStr(secret))


def _refuse_duplicates(values: list[str], sentence: str) -> None:
    for place, value in enumerate(values, 1):
        first = values.index(value) + 1
        if first < place:
            raise ConfigError(f"GATEWAY_API_KEYS: entries {first} and {place} {sentence}")
