"""What a second opinion on a text says."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from app.domain_enums import Tier


class Spotted(NamedTuple):
    """A kind of sensitive thing in a text, between two offsets in code points. Never the value."""

    kind: str
    tier: Tier
    start: int
    end: int
