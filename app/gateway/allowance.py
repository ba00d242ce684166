"""A deployment's own limits in this process: requests and tokens a minute, as token buckets. Without I/O. How many run at once is for room.py."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from app.domain_attempts import DeploymentLimits


class Bucket:
    """A token bucket that holds one minute's worth and fills evenly. A debt, from calls that used more than was reserved, is paid first."""

    __slots__ = ("_at", "_level", "_per_s", "_size")

    def __init__(self, per_minute: int, now: float) -> None:
        self._size = float(per_minute)
        self._per_s = per_minute / 60
        self._level = self._size
        self._at = now

    def wait_s(self, amount: float, now: float) -> float:
        """Return in how many seconds `amount` can be taken; 0: now. What is more than a minute's worth waits for a full bucket."""
        lacking = min(amount, self._size) - self._filled(now)
        return max(0.0, lacking / self._per_s)

    def take(self, amount: float, now: float) -> None:
        """Take `amount`, also what is not there."""
        self._level = self._filled(now) - amount
        self._at = now

    def give_back(self, amount: float, now: float) -> None:
        """Return what was taken and not used; a negative amount takes what was used beyond it."""
        self._level = min(self._size, self._filled(now) + amount)
        self._at = now

    def _filled(self, now: float) -> float:
        return min(self._size, self._level + max(0.0, now - self._at) * self._per_s)


class Allowance:
    """What one deployment may still be asked."""

    __slots__ = ("_requests", "_tokens")

    def __init__(self, limits: DeploymentLimits, now: float) -> None:
        self._requests = Bucket(limits.requests_per_minute, now) if limits.requests_per_minute is not None else None
        self._tokens = Bucket(limits.tokens_per_minute, now) if limits.tokens_per_minute is not None else None

    @property
    def counts_tokens(self) -> bool:
        """Whether an estimate of tokens is needed at all."""
        return self._tokens is not None

    def wait_s(self, tokens: int, now: float) -> float:
        """Return in how many seconds there is room for a call of about so many tokens; 0: now."""
        wait = self._requests.wait_s(1, now) if self._requests is not None else 0.0
        return max(wait, self._tokens.wait_s(tokens, now)) if self._tokens is not None else wait

    def reserve(self, tokens: int, now: float) -> None:
        """Take one call of about so many tokens."""
        if self._requests is not None:
            self._requests.take(1, now)
        if self._tokens is not None:
            self._tokens.take(tokens, now)

    def settle(self, unused: int, now: float) -> None:
        """Return the reserved tokens that were not used; negative where more were."""
        if self._tokens is not None:
            self._tokens.give_back(unused, now)
