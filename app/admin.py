"""Who may change the running gateway: the holder of ADMIN_API_KEY, and no caller."""

from __future__ import annotations

import hashlib
import hmac
from typing import TYPE_CHECKING

from app.errors import AuthenticationError, GatewayError
from app.http_io import read_headers, send_error
from app.limits import client_address, limit_headers, refusal

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from app.dependencies import Guard
    from app.http_io import Header

PREFIX = "/admin/"


class AdminGate:
    """Takes the paths below `/admin/` to `app` for who has the key, limited by client address as callers are; every other path goes to `others`."""

    def __init__(self, app: ASGIApp, others: ASGIApp, guard: Guard, key: str) -> None:
        self._app = app
        self._others = others
        self._guard = guard
        self._digest = hashlib.sha256(key.encode()).digest()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection."""
        if scope["type"] != "http" or not scope["path"].startswith(PREFIX):
            await self._others(scope, receive, send)
            return
        limits: list[Header] = []

        async def send_with_limits(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *limits]
            await send(message)

        try:
            await self._admit(scope, limits)
        except GatewayError as error:
            await send_error(send_with_limits, error)
            return
        await self._app(scope, receive, send_with_limits)

    async def _admit(self, scope: Scope, answer: list[Header]) -> None:
        headers = read_headers(scope)
        peer = scope["client"][0] if scope.get("client") else None
        window = await self._guard.limit.hit(client_address(peer, headers.get("x-forwarded-for"), self._guard.trusted_proxies))
        if window is not None:
            answer.extend(limit_headers(window))
            if not window.allowed:
                raise refusal(window)
        scheme, _, presented = headers.get("authorization", "").partition(" ")
        digest = hashlib.sha256(presented.strip().encode("utf-8", "surrogateescape")).digest()
        if scheme.lower() != "bearer" or not hmac.compare_digest(digest, self._digest):
            raise AuthenticationError("This path takes ADMIN_API_KEY alone, as `Authorization: Bearer KEY`.", headers={"www-authenticate": "Bearer"})
