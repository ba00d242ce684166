"""What TLS is asked for. Connecting is in tests/integration/wire."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

from app.providers import wire_dial

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_tls_verifies_certificate_and_name_and_is_at_least_1_2() -> None:
    context = wire_dial.verified_tls()

    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2


def test_tls_keys_are_never_logged(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / "keys"))

    assert wire_dial.verified_tls().keylog_filename is None
