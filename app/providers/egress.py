"""Who may be reached for which label: the check that holds even when a plan is wrong."""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING, Final

from app.config.addresses import METADATA, is_within, parse_literal
from app.domain import Address, Failure, Label
from app.errors import UpstreamError
from app.utils.logging import get_logger
from app.utils.monitoring import EGRESS_REFUSED

if TYPE_CHECKING:
    from app.domain import EgressPolicy

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
        self._authorities = {canonical(address): file for address, file in policy.authorities.items()}
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

    def authority(self, target: Address) -> str | None:
        """Return the file of the authorities that sign the certificate of `target` (in its canonical spelling); None for the system's."""
        return self._authorities.get(target)

    def _is_confidential_peer(self, target: Address, peer: str) -> bool:
        address = parse_literal(peer)
        if address is None or address in METADATA:
            return False
        if is_within(address, self._local):
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


def _refuse(label: Label, target: Address) -> None:
    EGRESS_REFUSED.labels(str(label)).inc()
    _log.warning("egress_refused", label=str(label), address=str(target))
    raise EgressRefusedError(label, target)
