"""Every pattern that the scanner looks for."""

from __future__ import annotations

from app.policy.sensitivity import checks, identifiers, names, national, places, records, secrets, services

PATTERNS = (*identifiers.PATTERNS, *services.PATTERNS, *secrets.PATTERNS, *national.PATTERNS, *records.PATTERNS, *names.PATTERNS, *places.PATTERNS)


def prepare() -> None:
    """Load what the checks read when they first need it, so that no request waits for it."""
    names.lists()
    national.prepare()
    checks.load_number_plans()
