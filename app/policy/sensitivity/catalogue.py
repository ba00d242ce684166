"""Every pattern that the scanner looks for."""

from __future__ import annotations

from app.policy.sensitivity import identifiers, secrets, services

PATTERNS = (*identifiers.PATTERNS, *services.PATTERNS, *secrets.PATTERNS)
