"""Every pattern that the scanner looks for."""

from __future__ import annotations

from app.policy.sensitivity import checks, identifiers, names, national, places, records, secrets, services

PATTERNS = (*identifiers.PATTERNS, *services.PATTERNS, *secrets.PATTERNS, *national.PATTERNS, *records.PATTERNS, *names.PATTERNS, *places.PATTERNS)
OPAQUE = "binary"  # the kind of what is encoded and no text
KINDS = frozenset({pattern.kind for pattern in PATTERNS} | {OPAQUE})


def prepare() -> None:
    """Load what the checks read when they first need it, so that no request waits for it."""
    names.lists()
    national.prepare()
    checks.load_number_plans()
