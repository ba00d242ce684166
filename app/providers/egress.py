"""Who may be reached for which label: the check that holds even when a plan is wrong."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import TYPE_CHECKING, Final

from app.domain import Address, Failure, Label
from app.errors import UpstreamError
from app.utils.logging import get_logger
from app.utils.monitoring import EGRESS_REFUSED

if TYPE_CHECKING:
    from app.domain import EgressPolicy

DEFAULT_LOCAL_NETWORKS: Final[tuple[IPv4Network | IPv6Network, ...]] = (
    IPv4Network("127.0.0.0/8"),
    IPv6Network("::1/128"),
    IPv4Network("10.0.0.0/8"),
    IPv4Network("172.16.0.0/12"),
    IPv4Network("192.168.0.0/16"),
    IPv6Network("fc00::/7"),
)
"""Loopback and private networks. Named one by one, because `ipaddress.is_private` also takes 169.254/16, 198.18/15 and 0.0.0.0."""

_METADATA: Final = frozenset({IPv6Address("fd00:ec2::254"), IPv6Address("fd20:ce::254")})
"""Inside fc00::/7, but what answers there are the metadata services of AWS and Google Cloud: never a place for confidential text."""

_UNKNOWN: Final = -1  # below every label

_log = get_logger("egress")


class EgressRefusedError(UpstreamError):
    """The address, or the peer that its name led to, is not cleared for the label; nothing was sent."""

    def __init__(self, label: Label, target: Address) -> None:
        super().__init__(Failure.NOT_CLEARED, sent=False, remedy=f"Egress refused {target} for a request labelled {label}.")


class Egress:
    """Holds one policy. A reload makes a new one."""

    def __init__(self, policy: EgressPolicy) -> None:
        self._clearances: dict[Address, int] = {}
        for address, clearance in policy.clearances.items():
            key = canonical(address)
            self._clearances[key] = max(clearance, self._clearances.get(key, _UNKNOWN))
        self._local = policy.local_networks
        self._trusted = {_canonical_host(host): network for host, network in policy.trusted_hosts.items()}

    def admit(self, label: Label, target: Address) -> None:
        """Return when `target` is cleared for `label`, compared by scheme, host and port; to be asked before its name is resolved.

        Raises EgressRefusedError.
        """
        if self._clearances.get(target, _UNKNOWN) >= label:  # the policy's keys are canonical, so a key that is found is one of them
            return
        if self._clearances.get(canonical(target), _UNKNOWN) < label:
            _refuse(label, target)

    def admit_peer(self, label: Label, target: Address, peer: str) -> None:
        """Return when `target` is cleared for `label` and may be served by the IP literal `peer` (resolved, or connected to).

        Raises EgressRefusedError, also where `peer` is no IP literal.
        """
        self.admit(label, target)
        if label >= Label.CONFIDENTIAL and not self._is_confidential_peer(canonical(target), peer):
            _refuse(label, target)

    def _is_confidential_peer(self, target: Address, peer: str) -> bool:
        address = _parse_peer(peer)
        if address is None or address in _METADATA:
            return False
        if any(address in network for network in self._local):
            return True
        if target.host not in self._trusted:
            return False
        network = self._trusted[target.host]
        return target.scheme == "https" if network is None else address in network


def canonical(address: Address) -> Address:
    """Return `address` in the one spelling that is compared: lower case, no trailing dot, no brackets, IP literals compressed."""
    return Address(address.scheme.lower(), _canonical_host(address.host), address.port)


def _canonical_host(host: str) -> str:
    name, percent, scope = host.removeprefix("[").removesuffix("]").partition("%")  # a scope names an interface, whose case matters
    host = name.lower().removesuffix(".") + percent + scope
    try:
        return str(ip_address(host))
    except ValueError:
        return host


def _parse_peer(peer: str) -> IPv4Address | IPv6Address | None:
    """Return the address as networks are compared with it: IPv4-mapped forms unmapped, no scope id (it would make equal addresses differ)."""
    try:
        address = ip_address(peer.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def _refuse(label: Label, target: Address) -> None:
    EGRESS_REFUSED.labels(str(label)).inc()
    _log.warning("egress_refused", label=str(label), address=str(target))
    raise EgressRefusedError(label, target)
