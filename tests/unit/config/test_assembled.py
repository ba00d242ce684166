from __future__ import annotations

from app.config.assembled import Assembled
from app.domain import Address, Deployment, EgressPolicy, Label, LaneName
from app.domain_routing import RoutingTable


def _assembled(address: Address | None) -> Assembled:
    deployment = Deployment("a", "p", "m", LaneName.RELAY, Label.PUBLIC, address=address)
    return Assembled(RoutingTable({"a": deployment}, {}, {}, ()), EgressPolicy({}, ()))


def test_only_the_demo_model_has_no_address() -> None:
    assert _assembled(None).is_demo
    assert not _assembled(Address("https", "h", 443)).is_demo
