"""What was decided over bodies whose answers came from the cache: the same bytes again need not be parsed, scanned and routed anew.

Kept is only what the bytes, the tenant and the configuration decide alone, so that a fresh evaluation would say the same: nothing that hangs on rests, times,
draws, measures, moving cuts, earlier turns, a second opinion, headers or vocabularies that are loaded meanwhile. Confidential requests are never kept. What is
kept holds no text: names, kinds, places and numbers, under a hash with a key of this process alone.
"""

from __future__ import annotations

import hashlib
import secrets
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from app.domain import Complexity, ComplexityTier, Facts, Label, Measured
from app.policy.counting import near

if TYPE_CHECKING:
    from collections.abc import Mapping

    from app.domain import Tenant
    from app.domain_routing import RoutingTable
    from app.policy.assess import Assessor

MAX_KEPT: Final = 4096  # some 2 KB each with its findings, 8 MB in all
_MAX_BEGUN: Final = 1024  # half a KB each
_MAX_FINDINGS: Final = 16
_MAX_BYTES: Final = 64 * 1024  # of a body: to hash a longer one would hold the event loop, and its scan leaves that anyway

# What a request's headers can change of how it is decided (read_request reads these and Content-Type).
DECIDING: Final = frozenset(
    "content-encoding x-sensitivity x-complexity x-gateway-tags x-timeout x-no-fallback cache-control idempotency-key openai-beta".split()  # noqa: SIM905 -- names
)

_UNREAD: Final = Complexity(0.0, ComplexityTier.SIMPLE)


@dataclass(frozen=True, slots=True)
class _Known(Measured):
    """Measures of which nothing is left to read but a complexity that had been read, or had not."""

    @property
    def known_complexity(self) -> Complexity | None:
        """The complexity, where it had been read."""
        return None if self.complexity is _UNREAD else self.complexity


class Decision(NamedTuple):
    """What a body came to: by which configuration, its facts (without texts), the rule, the cache's key, and whether it asks for a stream.

    `name` is what tenant and body are known by.
    """

    table: RoutingTable
    assessor: Assessor
    facts: Facts
    rule: str
    key: bytes
    stream: bool
    name: bytes = b""


def is_plain(headers: Mapping[str, str]) -> bool:
    """Say whether a request's headers leave it to the body what is decided."""
    return DECIDING.isdisjoint(headers) and headers.get("content-type", "application/json") == "application/json"


class Decisions:
    """The newest decisions of one configuration, `limit` at most; one used again is new. For one event loop."""

    def __init__(self, limit: int = MAX_KEPT) -> None:
        self._limit = limit
        self._secret = secrets.token_bytes(32)
        self._kept: OrderedDict[int, Decision] = OrderedDict()  # by Python's own hash, a quarter of a name's work: most bodies are new
        self._table: RoutingTable | None = None
        self._assessor: Assessor | None = None
        self._begun: dict[str, hashlib.blake2b] = {}  # by tenant

    def __len__(self) -> int:
        return len(self._kept)

    def _begin(self, key_id: str) -> hashlib.blake2b:
        """Return a hash that holds a tenant, and keep a copy of it: to make one takes as long as to hash 500 bytes."""
        whose = key_id.encode("utf-8", "surrogatepass")
        digest = hashlib.blake2b(b"%d:%b" % (len(whose), whose), key=self._secret, digest_size=16, person=b"sluice/decided/1")
        if len(self._begun) >= _MAX_BEGUN:
            self._begun.clear()
        self._begun[key_id] = digest.copy()
        return digest

    def find(self, tenant: Tenant, raw: bytes, table: RoutingTable, assessor: Assessor) -> Decision | None:
        """Return what was decided over this very body, whose headers said nothing (`is_plain`), by this very configuration."""
        if table is not self._table or assessor is not self._assessor:
            self._hold_to(table, assessor)
        if not self._kept or len(raw) > _MAX_BYTES:
            return None
        place = hash((tenant.key_id, raw))
        decision = self._kept.get(place)
        if decision is None or decision.name != self._name(tenant, raw):
            return None
        self._kept.move_to_end(place)
        return decision

    def keep(self, tenant: Tenant, raw: bytes, decision: Decision) -> None:
        """Keep a decision, where nothing but the body and the configuration made it (the caller answers for snapshot, earlier turns and headers)."""
        facts = decision.facts
        least = near(decision.table).least
        counts = least is not None and facts.tokens_at_most + (facts.max_output_tokens or 0) >= least
        if facts.label >= Label.CONFIDENTIAL or len(facts.findings) > _MAX_FINDINGS or counts or len(raw) > _MAX_BYTES:
            return
        if decision.table is not self._table or decision.assessor is not self._assessor:
            self._hold_to(decision.table, decision.assessor)
        self._kept[hash((tenant.key_id, raw))] = decision._replace(facts=_without_text(facts), name=self._name(tenant, raw))
        if len(self._kept) > self._limit:
            self._kept.popitem(last=False)

    def _name(self, tenant: Tenant, raw: bytes) -> bytes:
        """Return what a body is known by: no two have the same. Takes 1.5 µs for 1 KB."""
        begun = self._begun.get(tenant.key_id)
        digest = begun.copy() if begun is not None else self._begin(tenant.key_id)
        digest.update(raw)
        return digest.digest()

    def _hold_to(self, table: RoutingTable, assessor: Assessor) -> None:
        """Let go of another configuration, and of all that it decided: each would keep a scanner of tens of MB alive."""
        self._kept.clear()
        self._table, self._assessor = table, assessor


def _without_text(facts: Facts) -> Facts:
    known = facts.known_complexity
    measures = _Known(_UNREAD if known is None else known, facts.tokens_about, facts.tokens_at_most)
    return Facts(facts.label, facts.label_reason, facts.findings, max_output_tokens=facts.max_output_tokens, needs=facts.needs, measures=measures)
