from __future__ import annotations

import asyncio
import socket
from ipaddress import ip_network
from typing import TYPE_CHECKING, Any

import pytest

from app.domain import Label
from app.services.redis_link import RedisLink, RedisLostError
from app.services.redis_place import place_of
from app.utils.monitoring import EGRESS_REFUSED
from tests.integration.redis_server import RedisServer, running_redis

if TYPE_CHECKING:
    from collections.abc import Iterator

LOCAL = tuple(ip_network(network) for network in ("127.0.0.0/8", "::1/128", "10.0.0.0/8"))
TRUSTED = {"cache.example.com": None, "held.example.com": ip_network("203.0.113.0/24")}


@pytest.mark.parametrize(
    ("url", "clearance"),
    [
        ("redis://127.0.0.1:6379/0", Label.CONFIDENTIAL),
        ("redis://", Label.CONFIDENTIAL),
        ("redis://[::1]:6379", Label.CONFIDENTIAL),
        ("redis://redis:6379/0", Label.CONFIDENTIAL),
        ("unix:///run/redis.sock", Label.CONFIDENTIAL),
        ("rediss://:password@cache.example.com", Label.CONFIDENTIAL),
        ("redis://held.example.com", Label.CONFIDENTIAL),
        ("redis://cache.example.com", Label.INTERNAL),
        ("rediss://cache.example.com?ssl_cert_reqs=none", Label.INTERNAL),
        ("rediss://cache.example.com?ssl_check_hostname=false", Label.INTERNAL),
        ("rediss://elsewhere.example.com", Label.INTERNAL),
        ("redis://203.0.113.9", Label.INTERNAL),
        ("redis://?host=203.0.113.9", Label.INTERNAL),
    ],
)
def test_a_redis_is_cleared_by_its_address(url: str, clearance: Label) -> None:
    assert place_of(url, LOCAL, TRUSTED).clearance is clearance


@pytest.mark.parametrize(
    ("url", "peer", "admitted"),
    [
        ("redis://redis:6379", "10.1.2.3", True),
        ("redis://redis:6379", "::ffff:10.1.2.3", True),
        ("redis://redis:6379", "203.0.113.9", False),
        ("redis://redis:6379", "fd00:ec2::254", False),
        ("redis://redis:6379", "no address", False),
        ("redis://held.example.com", "203.0.113.9", True),
        ("redis://held.example.com", "198.51.100.1", False),
        ("rediss://cache.example.com", "198.51.100.1", True),
        ("redis://elsewhere.example.com", "198.51.100.1", True),
        ("redis://elsewhere.example.com", "fd00:ec2::254", False),
        ("unix:///run/redis.sock", "127.0.0.1", False),
    ],
)
def test_a_name_may_lead_to_what_its_clearance_allows(url: str, peer: str, *, admitted: bool) -> None:
    assert place_of(url, LOCAL, TRUSTED).admits(peer) is admitted


def test_what_is_no_url_is_refused() -> None:
    with pytest.raises(ValueError, match="Redis URL"):
        place_of("http://127.0.0.1", LOCAL, TRUSTED)


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    with running_redis() as server:
        yield server


def lead(monkeypatch: pytest.MonkeyPatch, *peers: str) -> None:
    """Let every name lead to these peers."""

    async def getaddrinfo(_: Any, _host: str, port: int, **_options: Any) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (peer, port)) for peer in peers]

    monkeypatch.setattr(asyncio.BaseEventLoop, "getaddrinfo", getaddrinfo)


def linked(url: str) -> RedisLink:
    return RedisLink(url, part="test", timeout_s=1, place=place_of(url, LOCAL, TRUSTED))


@pytest.mark.parametrize("peers", [("127.0.0.1",), ("203.0.113.9", "127.0.0.1"), ("127.0.0.9", "127.0.0.1")])
async def test_a_name_is_connected_to_where_it_leads_to_what_is_cleared(monkeypatch: pytest.MonkeyPatch, redis: RedisServer, peers: tuple[str, ...]) -> None:
    lead(monkeypatch, *peers)
    link = linked(f"redis://redis.internal:{redis.port}/0")

    assert await link.ping()
    await link.aclose()


async def test_a_name_that_leads_elsewhere_is_connected_to_by_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as elsewhere:
        elsewhere.setblocking(False)
        lead(monkeypatch, "127.0.0.1")
        url = f"redis://redis.internal:{elsewhere.getsockname()[1]}/0"
        link = RedisLink(url, part="test", timeout_s=1, place=place_of(url, (ip_network("10.0.0.0/8"),), {}))
        refused = EGRESS_REFUSED.labels("confidential")._value.get()

        with pytest.raises(RedisLostError):
            await link.run(link.client.ping)

        assert EGRESS_REFUSED.labels("confidential")._value.get() == refused + 1
        with pytest.raises(BlockingIOError):
            elsewhere.accept()
        await link.aclose()


async def test_tls_is_verified_for_the_name(monkeypatch: pytest.MonkeyPatch, redis: RedisServer) -> None:
    lead(monkeypatch, "127.0.0.1")
    link = linked(f"rediss://redis.internal:{redis.port}/0")

    assert not await link.ping()  # what answers there speaks no TLS
    await link.aclose()


async def test_a_refused_connection_is_a_lost_redis() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    link = linked(f"redis://127.0.0.1:{port}/0")

    assert not await link.ping()
    await link.aclose()
