"""A chat request as it comes to the gateway, and what decides over it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from app.gateway.bounds import UNBOUND, Bounds

if TYPE_CHECKING:
    from app.domain import Hints, Tenant
    from app.domain_routing import RoutingTable
    from app.gateway.cache_control import CacheControl
    from app.gateway.second_opinion import SecondOpinion
    from app.policy.assess import Assessor


@dataclass(slots=True, repr=False)
class ChatRequest:
    """A chat request as the router has read it; `body` is parsed, checked, and without the gateway's own fields."""

    body: Final[dict[str, Any]]
    size_bytes: Final[int]
    tenant: Final[Tenant]
    hints: Final[Hints]
    cache_control: Final[CacheControl]
    headers: Final[tuple[tuple[str, str], ...]] = ()
    tags: Final[frozenset[str]] = frozenset()
    bounds: Final[Bounds] = UNBOUND
    raw: Final[bytes | None] = None  # its bytes, where they alone decide over it: they are known again (Decisions)

    def __repr__(self) -> str:
        return f"ChatRequest({self.size_bytes} bytes of {self.tenant.name})"


@dataclass(frozen=True, slots=True)
class Terms:
    """What decides over a request and is replaced by a reload: read once a request, so that no decision mixes two configurations."""

    table: RoutingTable
    assessor: Assessor
    second_opinion: SecondOpinion | None
