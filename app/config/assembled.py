"""The configuration joined with what is known of providers: all that the gateway runs on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.domain import Label

if TYPE_CHECKING:
    from app.domain import Deployment, EgressPolicy
    from app.domain_routing import RoutingTable


@dataclass(frozen=True, slots=True)
class Assembled:
    """One configuration, ready to be served; a reload makes a new one.

    `embedder` is the deployment that makes vectors: None where the built-in embedder does, or where the file names one that is inactive
    (`table.inactive` then says why). `search_clearance` is the highest label that the collection may hold. `second_opinion` is who reads once
    more what the scanner lets pass: a deployment of the table, or a server of its own; None where the file asks for none.
    """

    table: RoutingTable
    egress: EgressPolicy
    warnings: tuple[str, ...] = ()
    needs_litellm: bool = False
    embedder: Deployment | None = None
    search_clearance: Label = Label.CONFIDENTIAL
    second_opinion: Deployment | None = None

    @property
    def is_demo(self) -> bool:
        """Whether no deployment of the file is active, so that the demo model answers."""
        return any(deployment.address is None for deployment in self.table.deployments.values())
