"""The servers that a canary must not reach, and those that it may."""

from __future__ import annotations

from tests.integration.conftest import cloud, http, local, other

__all__ = ["cloud", "http", "local", "other"]
