"""Who may pass: the guard of every route that needs a caller, and its aliases for FastAPI."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from fastapi import Depends, Request

from app.domain import Tenant
from app.limits import client_address, limit_headers, refusal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from ipaddress import IPv4Network, IPv6Network

    from starlette.types import Scope

    from app.access import Access
    from app.http_io import Header
    from app.limits import RateLimit


@dataclass(frozen=True, slots=True)
class Guard:
    """Limits by client address, then authenticates: guessing keys is limited too."""

    access: Access
    limit: RateLimit
    trusted_proxies: Sequence[IPv4Network | IPv6Network]

    async def admit(self, scope: Scope, headers: Mapping[str, str], answer: list[Header]) -> Tenant:
        """Return whose request it is, and add the limit's headers to `answer`. Raises RateLimitedError and AuthenticationError."""
        client = self.client(scope, headers)
        window = await self.limit.hit(client)
        if window is not None:
            answer.extend(limit_headers(window))
            if not window.allowed:
                raise refusal(window)
        tenant = self.access.tenant(headers.get("authorization"), client)
        scope["sluice"]["tenant"] = tenant.name
        return tenant

    def client(self, scope: Scope, headers: Mapping[str, str]) -> str:
        """Return the address by which a request is limited."""
        peer = scope["client"][0] if scope.get("client") else None
        return client_address(peer, headers.get("x-forwarded-for"), self.trusted_proxies) if self.trusted_proxies else peer or "unknown"


def _caller(request: Request) -> Tenant:
    """Return whom middleware.Gate admitted."""
    tenant: Tenant = request.scope["sluice_tenant"]
    return tenant


Caller = Annotated[Tenant, Depends(_caller)]
"""The tenant of a FastAPI route's request."""
