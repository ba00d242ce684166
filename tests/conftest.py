"""What holds for every test: no connection but to this machine, and no httpx call (the gateway makes its own connections)."""

from __future__ import annotations

import ipaddress
import socket
from typing import TYPE_CHECKING, Any

import hypothesis
import pytest
import respx

if TYPE_CHECKING:
    from collections.abc import Iterator

hypothesis.settings.register_profile("tests", deadline=None)  # no test depends on the time that a busy machine takes
hypothesis.settings.load_profile("tests")


def _check(address: Any) -> None:
    if isinstance(address, tuple) and not ipaddress.ip_address(address[0].partition("%")[0]).is_loopback:
        raise AssertionError(f"a test reached for {address[0]}")


@pytest.fixture(autouse=True)
def only_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    connect, connect_ex = socket.socket.connect, socket.socket.connect_ex

    def guarded(self: socket.socket, address: Any) -> None:
        _check(address)
        connect(self, address)

    def guarded_ex(self: socket.socket, address: Any) -> int:
        _check(address)
        return connect_ex(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded)
    monkeypatch.setattr(socket.socket, "connect_ex", guarded_ex)


@pytest.fixture(autouse=True)
def httpx_tripwire() -> Iterator[None]:
    """LiteLLM's translators read httpx's response type; nothing may call through httpx. respx refuses every call that no mock names."""
    with respx.mock(assert_all_called=False) as router:
        yield
        assert not router.calls, "something called through httpx"
