"""A second opinion on what the scanner lets pass: whom it is asked for, in which turn, and what becomes of a request that could not be read again.

It can only raise a label, and it fails closed: an error, a time-out, no free turn or a text that is too long make the request confidential.
"""

from __future__ import annotations

import asyncio
import hmac
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from app.domain import Failure
from app.errors import GatewayError, UpstreamError
from app.gateway.slots import FullError, Slots
from app.policy.opinion import NOTHING_LEFT, OVER_LIMIT, UNAVAILABLE, findings_of, raised, unread
from app.utils.logging import get_logger
from app.utils.monitoring import DEGRADED, SECOND_OPINIONS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from app.domain import Facts, Finding, Label
    from app.domain_opinion import Spotted
    from app.gateway.ports import OpinionReader
    from app.policy.opinion import LeftAlone, Sheet

_PART: Final = "second_opinion"
_FAIR: Final = 0.25  # of the time-out: who had less, for a caller's X-Timeout or the wait for a turn, is not to blame
_PLACES: Final = 64  # waiting for a turn, each with its text
_MAX_KNOWN: Final = 1024  # readings; no text is kept
_MAX_KEPT: Final = 100  # findings of a reading that is remembered, some 150 bytes each: 15 MB in all

_log = get_logger(_PART)


@dataclass(frozen=True, slots=True)
class OpinionLimits:
    """Whom a second opinion is asked for, and within which bounds; `timeout_s` is for the wait for a turn and the answer together."""

    labels: frozenset[Label]
    timeout_s: float
    max_chars: int
    concurrency: int = 4


@dataclass(slots=True)
class SecondOpinion:
    """Asks `reader`, tenants taking turns. A reload makes a new one, and retires this.

    What was found in a text is remembered for its tenant under a keyed hash, so that a dry run and the request after it, and a request that is sent again,
    are told the same.
    """

    reader: OpinionReader
    limits: OpinionLimits
    secret: bytes = field(repr=False)
    left: LeftAlone = NOTHING_LEFT
    status: str = "ok"
    _serves: bool = field(default=True, init=False)
    _slots: Slots = field(init=False, repr=False)
    _known: dict[bytes, tuple[Spotted, ...]] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        """Begin well."""
        self._slots = Slots(self.limits.concurrency, places=_PLACES, sharing=True)
        DEGRADED.labels(_PART).set(0)

    def retire(self) -> None:
        """Let the metric alone from now on, which is another's: those who wait for an answer here are told as before."""
        self._serves = False

    def is_asked_for(self, facts: Facts) -> bool:
        """Say whether a request of these facts is read a second time."""
        return facts.label in self.limits.labels

    async def revise(self, facts: Facts, sheet: Sheet, tenant: str, label_of: Callable[[Finding], Label], timeout_s: float) -> Facts:
        """Return the facts with what a second reading of the request's texts adds, in `timeout_s` at most."""
        if not sheet.text.strip():
            return facts
        if len(sheet.text) > self.limits.max_chars:
            SECOND_OPINIONS.labels("over_limit").inc()
            return unread(facts, OVER_LIMIT)
        mark = hmac.digest(self.secret, f"{tenant}\x1f{sheet.text}".encode("utf-8", "surrogatepass"), "sha256")
        spotted = self._known.get(mark)
        if spotted is None:
            try:
                spotted = await self._read(sheet.text, tenant, min(timeout_s, self.limits.timeout_s))
            except (GatewayError, TimeoutError, FullError) as error:
                self._failed(error)
                return unread(facts, UNAVAILABLE)
            self._remember(mark, spotted)
        found = findings_of(sheet, spotted, self.left)
        SECOND_OPINIONS.labels("found" if found else "clear").inc()
        return raised(facts, found, label_of)

    async def _read(self, text: str, tenant: str, timeout_s: float) -> tuple[Spotted, ...]:
        """Ask in the tenant's turn. Raises GatewayError and TimeoutError, and FullError where too little time was left for either to say anything."""
        clock = asyncio.get_running_loop().time
        deadline = clock() + timeout_s
        await self._slots.take(tenant, timeout_s, cost=float(len(text)))
        left_s = max(0.001, deadline - clock())
        try:
            async with asyncio.timeout_at(deadline):
                found: Sequence[Spotted] = await self.reader.read(text, tenant=tenant, timeout_s=left_s)
        except (TimeoutError, UpstreamError) as error:
            if left_s < self.limits.timeout_s * _FAIR and (isinstance(error, TimeoutError) or error.failure is Failure.TIMEOUT):
                raise FullError from error
            raise
        finally:
            self._slots.give(tenant)
        self._set_status("ok")
        return tuple(found)

    def _remember(self, mark: bytes, spotted: tuple[Spotted, ...]) -> None:
        if len(spotted) > _MAX_KEPT:
            return
        if len(self._known) >= _MAX_KNOWN:
            del self._known[next(iter(self._known))]
        self._known[mark] = spotted

    def _failed(self, error: Exception) -> None:
        if isinstance(error, FullError):  # there are more requests than turns: nothing is wrong with who is asked
            SECOND_OPINIONS.labels("busy").inc()
            return
        SECOND_OPINIONS.labels("failed").inc()
        upstream = error if isinstance(error, UpstreamError) else None
        if self.status == "ok":
            _log.warning("second_opinion_failed", error=upstream.label if upstream else type(error).__name__, remedy=upstream.remedy if upstream else None)
        self._set_status("failing: what it is asked for is confidential")

    def _set_status(self, status: str) -> None:
        self.status = status
        if self._serves:
            DEGRADED.labels(_PART).set(status != "ok")
