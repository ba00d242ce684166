"""A chat request as it comes to the gateway, and what decides over it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from app.gateway.bounds import UNBOUND, Bounds

if TYPE_CHECKING:
    from app.domain import Hints, Tenant
    from app.domain_routing import RoutingTable
    from app.gateway.cache_control import CacheControl
    from app.gateway.second_opinion import SecondOpinion
    from app.policy.assess import Assessor


class ChatRequest(NamedTuple):
    """A chat request as the router has read it; `body` is parsed, checked, and without the gateway's own fields."""

    body: dict[str, Any]
    size_bytes: int
    tenant: Tenant
    hints: Hints
    cache_control: CacheControl
    headers: tuple[tuple[str, str], ...] = ()
    tags: frozenset[str] = frozenset()
    bounds: Bounds = UNBOUND
    name: bytes | None = None  # by which it is known again (Decisions), where its bytes alone decide over it

    def __repr__(self) -> str:
        return f"ChatRequest({self.size_bytes} bytes of {self.tenant.name})"


class Terms(NamedTuple):
    """What decides over a request and is replaced by a reload: read once a request, so that no decision mixes two configurations."""

    table: RoutingTable
    assessor: Assessor
    second_opinion: SecondOpinion | None
