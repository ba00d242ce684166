"""What bounds a request: the operator's times, and what a caller may bound of its own (`X-Timeout`, `X-No-Fallback`)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.errors import InvalidRequestError

if TYPE_CHECKING:
    from collections.abc import Mapping

_TRUTH = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False, "": False}


@dataclass(frozen=True, slots=True)
class ChatLimits:
    """Times in seconds. `timeout_s` is for all of a request, `first_token_s` for each call of a stream until its first token."""

    timeout_s: float = 600.0
    connect_s: float = 5.0
    idle_s: float = 60.0
    commit_s: float = 10.0
    cache_ttl_s: float = 300.0
    first_token_s: float = 120.0


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a caller bounds: the time that the request takes, and whether a second deployment may hear of it.

    `timeout_s` can only lower the operator's; None leaves it. `no_fallback`: the named deployment is asked, or else the plan's first, and no other.
    """

    timeout_s: float | None = None
    no_fallback: bool = False

    def timeout_below(self, limit_s: float) -> float:
        """Return the caller's time-out, or the operator's where that is shorter."""
        return limit_s if self.timeout_s is None else min(self.timeout_s, limit_s)

    def tell_reached(self, limit_s: float) -> str:
        """Return whose time it was that ran out, for the caller; `limit_s` is the operator's."""
        if self.timeout_s is not None and self.timeout_s <= limit_s:
            return f"The limit of {self.timeout_s:g} s (X-Timeout) was reached before the answer's end."
        return f"The gateway's limit of {limit_s:g} s (LLM_TIMEOUT) was reached before the answer's end."


UNBOUND = Bounds()


def read_bounds(headers: Mapping[str, str]) -> Bounds:
    """Return what `X-Timeout` (seconds) and `X-No-Fallback` (true or false) say. Raises InvalidRequestError."""
    timeout, alone = headers.get("x-timeout"), headers.get("x-no-fallback")
    if timeout is None and alone is None:
        return UNBOUND
    return Bounds(_seconds(timeout), _flag(alone or ""))


def _seconds(text: str | None) -> float | None:
    if text is None:
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or value <= 0:
        raise InvalidRequestError("X-Timeout must be a number of seconds above 0, such as 30 or 2.5.", param="X-Timeout", code="invalid_value")
    return value


def _flag(text: str) -> bool:
    known = _TRUTH.get(text.strip().lower())
    if known is None:
        raise InvalidRequestError("X-No-Fallback must be true or false.", param="X-No-Fallback", code="invalid_value")
    return known
