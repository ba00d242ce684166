"""What tests of things that are kept for a time share."""

from __future__ import annotations


class Clock:
    """A clock that a test sets."""

    def __init__(self, now: float = 1_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def mark(number: int) -> bytes:
    """Return a mark of a conversation."""
    return number.to_bytes(16, "big")
