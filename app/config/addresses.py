"""Addresses as the file writes them: one spelling for comparison, and what can be said of a host before its name is resolved."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import TYPE_CHECKING, Final
from urllib.parse import SplitResult, urlsplit

from app.domain import Address

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from ipaddress import IPv4Network, IPv6Network

_PORTS: Final = {"http": 80, "https": 443}
_HOST: Final = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)(?:\.(?!-)[a-z0-9_-]{1,63}(?<!-))*")
_ENDS_IN_NUMBER: Final = re.compile(r"(?:.*\.)?(?:[0-9]+|0x[0-9a-f]*)")  # `127.1` and `0x7f.1` are IPv4 addresses to a resolver
_PATH: Final = re.compile(r"[A-Za-z0-9._~!$&'()*+,;=:@%/-]*")

# Names that no public resolver answers: RFC 6761, 6762, 8375, 9476 and what routers, container engines and clusters give out.
_PRIVATE_SUFFIXES: Final = ("localhost", "local", "internal", "lan", "home", "home.arpa", "intranet", "corp", "private", "svc", "alt", "test")

METADATA: Final = frozenset({IPv6Address("fd00:ec2::254"), IPv6Address("fd20:ce::254")})
"""Inside fc00::/7, but what answers there are the metadata services of AWS and Google Cloud: never a place for confidential text."""


@dataclass(frozen=True, slots=True)
class BaseUrl:
    """A base URL in its one spelling: lower-case host, no default port, no trailing slash."""

    text: str
    address: Address
    path: str


def parse_base_url(text: str) -> BaseUrl:
    """Return `text` in its one spelling. Raises ValueError with a sentence that says what to write and does not repeat it."""
    if any(not 33 <= ord(character) < 127 for character in text):
        raise ValueError("holds a space or a character outside ASCII; write an international name in its xn-- form")
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise ValueError("is not a URL; write https://HOST:PORT/PATH") from None
    scheme = parts.scheme.lower()
    if scheme not in _PORTS or "://" not in text:
        raise ValueError("must start with http:// or https://")
    _refuse_extras(parts, text)
    host = _host(parts.hostname or "")
    if port == 0:
        raise ValueError("has port 0; write a port between 1 and 65535")
    port = port or _PORTS[scheme]
    shown = f"[{host}]" if ":" in host else host
    where = shown if port == _PORTS[scheme] else f"{shown}:{port}"
    path = parts.path.rstrip("/")
    return BaseUrl(f"{scheme}://{where}{path}", Address(scheme, host, port), path)


def _refuse_extras(parts: SplitResult, text: str) -> None:
    if parts.username is not None or parts.password is not None:
        raise ValueError("holds a user name or password; write the key as api_key")
    if "?" in text or "#" in text:
        raise ValueError("holds a query or fragment; leave it out (Azure's api-version is the key api_version)")
    if not _PATH.fullmatch(parts.path) or "//" in parts.path or "/../" in f"{parts.path}/" or "/./" in f"{parts.path}/":
        raise ValueError("has a path that is not plain; write it without empty or dotted segments")
    if parts.path.rstrip("/").endswith("/chat/completions"):
        raise ValueError("ends in /chat/completions; leave that out, it is added to every call")


def _host(host: str) -> str:
    host = host.lower().removesuffix(".")
    try:
        literal = ip_address(host)
    except ValueError:
        if not _HOST.fullmatch(host) or len(host) > 253 or _ENDS_IN_NUMBER.fullmatch(host):
            raise ValueError("has no valid host; write a name or an IP address") from None
        return host
    if isinstance(literal, IPv6Address) and literal.scope_id is not None:
        raise ValueError("has a zone in its address; write it without %")
    return str(literal)


def confidential_fault(
    address: Address,
    local_networks: Sequence[IPv4Network | IPv6Network],
    trusted_hosts: Mapping[str, IPv4Network | IPv6Network | None],
) -> str | None:
    """Return why `address` cannot be cleared for confidential, and what to write; None when it can, as far as is known before a name is resolved."""
    literal = parse_literal(address.host)
    if literal in METADATA:
        return f"{address.host} is a cloud's metadata service; write the model server's own address"
    if literal is not None and is_within(literal, local_networks):
        return None
    if address.host in trusted_hosts:
        return _trusted_fault(address, literal, trusted_hosts[address.host])
    if literal is not None:
        return f"{address.host} is in none of local_networks; add its network there, or its address to trusted_hosts, or lower the clearance"
    if _is_private_name(address.host):
        return None  # its peer is checked at each connection
    return f"{address.host} is a public name; add it to trusted_hosts if confidential requests may go there, or lower the clearance"


def is_local(address: Address, local_networks: Sequence[IPv4Network | IPv6Network]) -> bool:
    """Say whether `address` is in the local networks, or has a name that only a local resolver knows."""
    literal = parse_literal(address.host)
    return _is_private_name(address.host) if literal is None else is_within(literal, local_networks)


def is_within(literal: IPv4Address | IPv6Address, local_networks: Sequence[IPv4Network | IPv6Network]) -> bool:
    """Say whether an address that `parse_literal` returned is in the local networks. A metadata service never is, whatever they say."""
    return literal not in METADATA and any(literal in network for network in local_networks)


def parse_literal(host: str) -> IPv4Address | IPv6Address | None:
    """Return an IP literal as networks are compared with it: IPv4-mapped forms unmapped, no scope id (it would make equal addresses differ)."""
    try:
        literal = ip_address(host.partition("%")[0])
    except ValueError:
        return None
    return literal.ipv4_mapped or literal if isinstance(literal, IPv6Address) else literal


def _trusted_fault(address: Address, literal: IPv4Address | IPv6Address | None, network: IPv4Network | IPv6Network | None) -> str | None:
    if network is None:
        return None if address.scheme == "https" else f"{address.host} is trusted by TLS alone, and http has none; write https, or its network in trusted_hosts"
    if literal is not None and literal not in network:
        return f"{address.host} is outside the network that trusted_hosts has for it; write the network that holds it"
    return None


def _is_private_name(host: str) -> bool:
    return "." not in host or any(host.endswith(f".{suffix}") for suffix in _PRIVATE_SUFFIXES)
