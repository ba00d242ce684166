"""What a plan depends on beside the request, taken once a request: time, breakers, measures, a draw, which conversation it belongs to, and moving cuts.

Only what the table's rules and pools read is taken; a table that reads none of it, with every deployment well, costs a look at the breakers.
"""

from __future__ import annotations

import hmac
import random
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from app.domain import Asked, Snapshot
from app.policy.ready import ready
from app.utils.json import dump_json

if TYPE_CHECKING:
    from collections.abc import Mapping

    from app.domain import Cuts, Tenant
    from app.domain_routing import RoutingTable
    from app.gateway.request import ChatRequest
    from app.gateway.vitals import Vitals

# What a plan is made from while nothing was measured and nothing rests.
IDLE: Final = Snapshot()

_MAX_CONVERSATIONS: Final = 20_000  # about 3 MB


@dataclass(slots=True)
class Stays:
    """Which deployment each conversation went to last, for pools whose choice moves with prices, times and load. The oldest are forgotten first.

    A conversation is known by a number from a keyed hash, so that nothing of it is kept.
    """

    limit: int = _MAX_CONVERSATIONS
    _known: dict[float, str] = field(default_factory=dict)

    def find(self, conversation: float) -> str:
        """Return the deployment's name, or nothing."""
        return self._known.get(conversation, "")

    def note(self, conversation: float, deployment: str) -> None:
        """Remember where a conversation went."""
        self._known.pop(conversation, None)
        self._known[conversation] = deployment
        if len(self._known) > self.limit:
            del self._known[next(iter(self._known))]


def ask(table: RoutingTable, request: ChatRequest) -> Asked:
    """Return what the caller says beside the conversation; of its tags those alone that the configuration has a word for."""
    tenant, tags = request.tenant, request.tags
    key = tenant.name if tenant.key_id.startswith("key:") else ""
    return Asked(request.body["model"], key, tags & ready(table).tags if tags else tags, request.hints, request.bounds.no_fallback)


def take_snapshot(  # noqa: PLR0917 -- all that state is read from
    table: RoutingTable, vitals: Vitals, stays: Stays, secret: bytes, tenant: Tenant, body: Mapping[str, Any], cuts: Cuts | None = None
) -> Snapshot:
    """Return what the plan of a request depends on. `first_token_s` is the time of a whole answer where the request is no stream."""
    reads = ready(table)
    resting = vitals.resting()
    if not reads.anything:
        return Snapshot(resting=resting, cuts=cuts) if resting or cuts is not None else IDLE
    conversation = conversation_of(secret, tenant.key_id, body) if reads.conversation else 0.0
    measured = vitals.first_token_s if body.get("stream") else vitals.answer_s
    return Snapshot(
        now=time.time() if reads.time else 0.0,
        resting=resting,
        first_token_s=dict(measured) if reads.measures else {},
        in_flight=dict(vitals.in_flight) if reads.measures else {},
        draw=random.random() if reads.draw else 0.0,  # noqa: S311 -- it divides load, and guards nothing
        conversation=conversation,
        stays_with=stays.find(conversation) if reads.stays else "",
        cuts=cuts,
    )


def conversation_of(secret: bytes, tenant: str, body: Mapping[str, Any]) -> float:
    """Return a number in 0..1 that every turn of a conversation has: a keyed hash of the tenant and of what stands up to the first human turn."""
    first: list[Any] = []
    for message in body["messages"]:
        first.append(message)
        if isinstance(message, dict) and message.get("role") == "user":
            break
    digest = hmac.digest(secret, b"conversation\x1f" + tenant.encode("utf-8", "surrogatepass") + b"\x1f" + dump_json(first), "sha256")
    return int.from_bytes(digest[:6], "big") / (1 << 48)
