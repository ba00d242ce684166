"""What a reload may do to the stores: their connections are held to the networks of the start, so a configuration that takes one away is not taken.

Redis keeps marks of confidential conversations where its address is cleared, and a Chroma server confidential documents. Both are connected to by libraries of
their own, and what they hold is there already. Whoever wants it elsewhere restarts, and finds in docs/operations.md what to do with what is left.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.config.addresses import confidential_fault, parse_base_url, parse_literal
from app.config.faults import ConfigError
from app.domain import Address, Label
from app.services.redis_place import place_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from ipaddress import IPv4Network, IPv6Network

    from app.config.settings import Settings
    from app.domain import EgressPolicy

_SENTENCE = (
    "{setting}: {host} is cleared for confidential, and is no longer, or not surely, by the new local_networks and trusted_hosts; "
    "leave them as they are for it, or restart"
)


def check_places(settings: Settings, before: EgressPolicy, after: EgressPolicy) -> None:
    """Refuse a policy under which a store would be cleared for less than it was under that of the start. Raises ConfigError."""
    for setting, address in _places(settings, before):
        if not stays_cleared(address, before, after):
            raise ConfigError(_SENTENCE.format(setting=setting, host=address.host))


def stays_cleared(address: Address, before: EgressPolicy, after: EgressPolicy) -> bool:
    """Say whether what `before` clears `address` for confidential by, `after` has too: of a name, every peer that it may lead to."""
    if confidential_fault(address, before.local_networks, before.trusted_hosts) is not None:
        return True  # it never was
    if confidential_fault(address, after.local_networks, after.trusted_hosts) is not None:
        return False
    if parse_literal(address.host) is not None:
        return True
    if address.host in before.trusted_hosts:
        network = before.trusted_hosts[address.host]
        if address.host not in after.trusted_hosts or after.trusted_hosts[address.host] != network:
            return False
        if network is None:
            return True  # whoever has its certificate
    return _holds(after.local_networks, before.local_networks)


def _places(settings: Settings, before: EgressPolicy) -> list[tuple[str, Address]]:
    """Return the addresses of the stores; a Chroma server at an IP address is not among them: its clearance is lowered while serving."""
    found = []
    if settings.redis_url is not None:
        place = place_of(settings.redis_url, before.local_networks, before.trusted_hosts)
        if place.address is not None and place.clearance is Label.CONFIDENTIAL:
            found.append(("REDIS_URL", place.address))
    if settings.chroma_url is not None:
        address = parse_base_url(settings.chroma_url).address
        if parse_literal(address.host) is None:
            found.append(("CHROMA_URL", address))
    return found


def _holds(wider: Sequence[IPv4Network | IPv6Network], narrower: Sequence[IPv4Network | IPv6Network]) -> bool:
    """Say whether each network is within one of `wider`."""
    return all(any(_is_within(network, other) for other in wider) for network in narrower)


def _is_within(network: IPv4Network | IPv6Network, other: IPv4Network | IPv6Network) -> bool:
    return network.version == other.version and network.subnet_of(other)  # type: ignore[arg-type] # both are of one version
