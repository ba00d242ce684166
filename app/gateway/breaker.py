"""A circuit breaker: a deployment that keeps failing rests, and is then tried with one call before it gets all of them again. Without I/O.

Closed, every call is admitted. It opens on failures in a row, or on their share in a window; or for as long as a provider asked for (`rest`). When the rest is
over it is half-open: one call is admitted as its probe. A probe that succeeds closes it, one that fails doubles the rest (or lasts as long as is asked for),
one that says nothing (cancelled) leaves the place to the next. (Nygard, "Release It!", 2007.)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from app.domain_attempts import BreakerPolicy

Ended = tuple[int, int]  # failures in a row that a call ended, and the how manieth served it was

LONGEST_REST_S = 600.0  # whatever a provider, or another replica, asks for
_WHILE_PROBED_S = 1.0  # nobody knows how long a probe takes: come again then


class Breaker:
    """The state of one deployment. Times are seconds of one steady clock, given in by whoever asks.

    The window slides by halves: what is counted is between a half and a whole `window_s` old at most.
    """

    __slots__ = ("_calls", "_failures", "_in_row", "_old_calls", "_old_failures", "_probed", "_rest_s", "_served", "_turns_at", "_until", "is_closed", "policy")

    def __init__(self, policy: BreakerPolicy) -> None:
        self.policy = policy
        self.is_closed = True  # every call is admitted
        self._in_row = 0
        self._served = 0  # calls, so that one that was followed by others is known
        self._calls = self._failures = self._old_calls = self._old_failures = 0
        self._turns_at = 0.0
        self._until: float | None = None  # None: closed
        self._rest_s = 0.0  # how long it rested last for failing; 0 while closed
        self._probed = False

    def rests_s(self, now: float) -> float:
        """Return in how many seconds it may be asked; 0: now."""
        if self._until is None:
            return 0.0
        left = self._until - now
        if left > 0:
            return left
        return _WHILE_PROBED_S if self._probed else 0.0

    def probe(self, now: float) -> bool:
        """Take the probe's place, if that is what the next call would be. Whoever asks has seen `rests_s` of 0."""
        if self._until is None or self.rests_s(now) > 0:
            return False
        self._probed = True
        return True

    def succeeded(self, now: float, *, probe: bool) -> Ended:
        """Note a call that was served; return what it ends, for `cut`."""
        self._served += 1
        ended = (self._in_row, self._served)
        self._in_row = 0
        if now >= self._turns_at:
            self._turn(now)
        self._calls += 1
        if probe:
            self._close()
        return ended

    def failed(self, now: float, *, probe: bool, asked_s: float | None = None) -> bool:
        """Note a call that failed; say whether that opened it. `asked_s` is the rest that its provider asked for, which goes before one of ours."""
        self._in_row += 1
        if now >= self._turns_at:
            self._turn(now)
        self._calls += 1
        self._failures += 1
        if probe:
            self._probed = False
        if asked_s:
            self.rest(now, asked_s)
            return True
        if not probe and (self._until is not None or not self._is_too_much()):
            return False  # what began before it opened is no news
        self._rest_s = min(max(self._rest_s * 2, self.policy.cooldown_s), self.policy.longest_s)
        self._until = now + self._rest_s
        self.is_closed = False
        return True

    def cut(self, now: float, ended: Ended) -> bool:
        """Note that a call broke off which was taken for served at its first token; say whether that opened it.

        The row that it `ended` goes on, unless another call was served since.
        """
        row, served = ended
        if served == self._served:
            self._in_row = max(self._in_row, row)
        self._calls -= 1  # it is counted already
        return self.failed(now, probe=False)

    def released(self, *, probe: bool) -> None:
        """Note a call that said nothing of the deployment."""
        if probe:
            self._probed = False

    def rest(self, now: float, seconds: float) -> None:
        """Rest for as long as somebody asked for, if that is longer than it does already."""
        until = now + min(seconds, LONGEST_REST_S)
        if self._until is None or until > self._until:
            self._until = until
            self.is_closed = False

    def _close(self) -> None:
        self._until = None
        self.is_closed = True
        self._rest_s = 0.0
        self._probed = False
        self._calls = self._failures = self._old_calls = self._old_failures = 0

    def _is_too_much(self) -> bool:
        calls, failures = self._calls + self._old_calls, self._failures + self._old_failures
        return self._in_row >= self.policy.failures or (calls >= self.policy.calls and failures >= calls * self.policy.rate)

    def _turn(self, now: float) -> None:
        half_s = self.policy.window_s / 2
        recent = now < self._turns_at + half_s
        self._old_calls, self._old_failures = (self._calls, self._failures) if recent else (0, 0)
        self._calls = self._failures = 0
        self._turns_at = now + half_s
