"""Every pattern that the scanner looks for."""

from __future__ import annotations

from app.policy.sensitivity import identifiers, names, places, records, secrets, services

PATTERNS = (*identifiers.PATTERNS, *services.PATTERNS, *secrets.PATTERNS, *records.PATTERNS, *names.PATTERNS, *places.PATTERNS)
