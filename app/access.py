"""Who is calling: API keys compared in constant time, and the guard of a gateway without keys, which only this machine may use."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from app.domain import Tenant
from app.errors import AuthenticationError, NotAllowedError

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from app.config.api_keys import ApiKey

_CHALLENGE = {"www-authenticate": "Bearer"}


class Access:
    """Turns an Authorization header into a tenant. Without keys every caller is anonymous, known by address."""

    def __init__(self, keys: Sequence[ApiKey]) -> None:
        self.open = not keys
        self._known = [(_digest(key.secret.get_secret_value()), Tenant(key.name, f"key:{key.name}", key.clearance)) for key in keys]

    def tenant(self, authorization: str | None, client: str) -> Tenant:
        """Return whose request it is. Raises AuthenticationError."""
        if self.open:
            return Tenant("anonymous", f"address:{client}")
        scheme, _, presented = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not presented.strip():
            message = "You didn't provide an API key. Send one of the gateway's keys as `Authorization: Bearer KEY`."
            raise AuthenticationError(message, headers=_CHALLENGE)
        digest = _digest(presented.strip())
        found = None
        for known, tenant in self._known:  # all of them, so that the time tells nothing
            if hmac.compare_digest(known, digest):
                found = tenant
        if found is None:
            raise AuthenticationError("Incorrect API key provided: it is not one of the gateway's keys.", headers=_CHALLENGE)
        return found


def check_loopback(host: str | None, origin: str | None, allowed_origins: Collection[str]) -> None:
    """Refuse a request that a web page could have made through DNS rebinding: its Host and Origin must be this machine's. Raises NotAllowedError."""
    if host is None or not _is_loopback(f"//{host}"):
        message = "This gateway has no API keys and answers only to localhost. Call it as localhost or 127.0.0.1, or set GATEWAY_API_KEYS."
        raise NotAllowedError(message, code="host_not_allowed")
    if origin is not None and origin not in allowed_origins and not _is_loopback(origin):
        message = "This gateway has no API keys and refuses requests from web pages of other hosts. Set GATEWAY_API_KEYS and ALLOWED_ORIGINS."
        raise NotAllowedError(message, code="origin_not_allowed")


def _is_loopback(url: str) -> bool:
    try:
        name = urlsplit(url).hostname
    except ValueError:
        return False
    if name is None:
        return False
    if name.rstrip(".").lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _digest(secret: str) -> bytes:
    return hashlib.blake2b(secret.encode("utf-8", "surrogateescape"), digest_size=32).digest()  # a third of the time of OpenSSL's SHA-256
