"""What TLS is asked for, and how an address becomes peers. Connecting is in tests/integration/wire."""

from __future__ import annotations

import socket
import ssl
from typing import TYPE_CHECKING, Any

import pytest

from app.domain import Address
from app.providers import wire_dial

if TYPE_CHECKING:
    from pathlib import Path

INDEX, LOOPBACK = socket.if_nameindex()[0]


def test_tls_verifies_certificate_and_name_and_is_at_least_1_2() -> None:
    context = wire_dial.verified_tls()

    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2


def test_tls_keys_are_never_logged(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / "keys"))

    assert wire_dial.verified_tls().keylog_filename is None


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", (socket.AF_INET, "127.0.0.1", ("127.0.0.1", 80))),
        ("::1", (socket.AF_INET6, "::1", ("::1", 80, 0, 0))),
        ("fe80::1%1", (socket.AF_INET6, "fe80::1", ("fe80::1", 80, 0, 1))),
        (f"fe80::1%{LOOPBACK}", (socket.AF_INET6, "fe80::1", ("fe80::1", 80, 0, INDEX))),
    ],
)
async def test_a_literal_is_its_own_peer_and_no_resolver_is_asked(host: str, expected: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        pytest.fail("a resolver was asked for a literal")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)

    assert await wire_dial._resolve(Address("http", host, 80)) == [expected]
