from __future__ import annotations

from ipaddress import ip_network
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.config.faults import ConfigError
from app.config.settings import load_settings
from app.domain import Address, EgressPolicy, Label
from app.services.places import check_places, stays_cleared
from app.services.redis_place import place_of

if TYPE_CHECKING:
    from pathlib import Path

WIDE = ["10.0.0.0/8", "127.0.0.0/8", "fc00::/7"]


def policy(networks: list[str], **trusted: str | None) -> EgressPolicy:
    hosts = {host.replace("_", "."): None if network is None else ip_network(network) for host, network in trusted.items()}
    return EgressPolicy({}, tuple(map(ip_network, networks)), hosts)


def check(folder: Path, before: EgressPolicy, after: EgressPolicy, **settings: Any) -> str | None:
    given_settings = load_settings(dotenv=folder / "none.env", gateway_secret="a-secret-of-the-tests", **settings)
    try:
        check_places(given_settings, before, after)
    except ConfigError as error:
        return str(error)
    return None


@pytest.mark.parametrize(
    ("url", "networks", "stays"),
    [
        ("redis://10.1.2.3", ["10.1.0.0/16"], True),
        ("redis://10.1.2.3", ["10.2.0.0/16"], False),
        ("redis://10.1.2.3", [], False),
        ("redis://redis", [*WIDE, "192.168.0.0/16"], True),
        ("redis://redis", ["0.0.0.0/0", "::/0"], True),
        ("redis://redis", ["10.1.0.0/16", "127.0.0.0/8", "fc00::/7"], False),
        ("redis://localhost", ["10.0.0.0/8", "fc00::/7"], False),
        ("redis://203.0.113.9", [], True),  # it never was cleared
        ("redis://redis.example.com", [], True),
        ("unix:///run/redis.sock", [], True),
    ],
)
def test_a_redis_stays_cleared_or_the_reload_is_refused(tmp_path: Path, url: str, networks: list[str], *, stays: bool) -> None:
    refusal = check(tmp_path, policy(WIDE), policy(networks), redis_url=url)

    assert (refusal is None) == stays
    assert refusal is None or refusal.startswith("REDIS_URL: ")


@pytest.mark.parametrize(
    ("url", "networks", "stays"),
    [("http://chroma:8000", ["127.0.0.0/8"], False), ("http://chroma:8000", WIDE, True), ("http://10.0.0.1:8000", [], True)],
)
def test_a_chroma_server_by_name_does_too_and_one_by_address_is_lowered_instead(tmp_path: Path, url: str, networks: list[str], *, stays: bool) -> None:
    refusal = check(tmp_path, policy(WIDE), policy(networks), chroma_url=url)

    assert (refusal is None) == stays
    assert refusal is None or refusal.startswith("CHROMA_URL: chroma is cleared")


def test_without_stores_there_is_nothing_to_lose(tmp_path: Path) -> None:
    assert check(tmp_path, policy(WIDE), policy([])) is None


HOST = Address("https", "redis.example.com", 6379)


@pytest.mark.parametrize(
    ("before", "after", "stays"),
    [
        (policy(WIDE, redis_example_com=None), policy([], redis_example_com=None), True),
        (policy(WIDE, redis_example_com=None), policy(WIDE), False),
        (policy(WIDE, redis_example_com="203.0.113.0/24"), policy(WIDE, redis_example_com="203.0.113.0/24"), True),
        (policy(WIDE, redis_example_com="203.0.113.0/24"), policy([], redis_example_com="203.0.113.0/24"), False),
        (policy(WIDE, redis_example_com="203.0.113.0/24"), policy(WIDE, redis_example_com="203.0.0.0/16"), False),
        (policy(WIDE, redis_example_com=None), policy(WIDE, redis_example_com="203.0.113.0/24"), False),
    ],
)
def test_a_trusted_host_is_trusted_as_before(before: EgressPolicy, after: EgressPolicy, *, stays: bool) -> None:
    assert stays_cleared(HOST, before, after) == stays


_networks = st.lists(
    st.sampled_from(["10.0.0.0/8", "10.1.0.0/16", "127.0.0.0/8", "127.0.0.1/32", "192.168.0.0/16", "fc00::/7", "fd00::/8", "::1/128"]), max_size=4
)
_peers = st.sampled_from(["10.0.0.1", "10.1.0.1", "127.0.0.1", "127.9.9.9", "192.168.1.1", "fd00::1", "fc00::1", "::1", "8.8.8.8"])


@given(st.sampled_from(["redis", "localhost", "10.1.0.1", "127.0.0.1", "[fd00::1]"]), _networks, _networks, _peers)
def test_no_peer_that_is_admitted_would_be_refused_by_a_policy_that_is_taken(host: str, before: list[str], after: list[str], peer: str) -> None:
    old, new = policy(before), policy(after)
    place, anew = (place_of(f"redis://{host}", each.local_networks, each.trusted_hosts) for each in (old, new))
    assert place.address is not None

    if place.clearance is Label.CONFIDENTIAL and stays_cleared(place.address, old, new):
        literal = not host[0].isalpha()
        assert anew.clearance is Label.CONFIDENTIAL
        assert anew.admits(peer) or not place.admits(peer) or (literal and peer != host.strip("[]"))
