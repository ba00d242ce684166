"""The caller's Cache-Control (RFC 9111, section 5.2.1), as far as an exact cache of answers can honour it."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CacheControl:
    """`no_cache`: do not answer from the cache. `no_store`: do not put the answer there either. `max_age_s`: nothing older."""

    no_cache: bool = False
    no_store: bool = False
    max_age_s: float = math.inf


DEFAULT = CacheControl()


def parse_cache_control(header: str | None) -> CacheControl:
    """Return what the header asks for. Unknown directives are ignored; a `max-age` that is no number counts as 0."""
    if not header:
        return DEFAULT
    pairs = (part.strip().lower().partition("=") for part in header.split(","))
    asked = {name.strip(): value.strip().strip('"') for name, _, value in pairs}
    age = asked.get("max-age")
    limit = math.inf if age is None else float(age) if age.isascii() and age.isdigit() else 0.0
    no_store = "no-store" in asked
    return CacheControl(no_cache="no-cache" in asked or no_store or limit == 0, no_store=no_store, max_age_s=limit)
