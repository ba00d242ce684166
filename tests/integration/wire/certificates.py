"""A certificate authority for one test run, made with the openssl program."""

from __future__ import annotations

import ssl
import subprocess
from typing import TYPE_CHECKING

from app.providers.wire_dial import verified_tls

if TYPE_CHECKING:
    from pathlib import Path

_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


class Authority:
    """Signs servers' certificates, and makes the TLS contexts of both sides."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder
        self._certificate = folder / "ca.pem"
        extensions = ("-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign")
        self._openssl("req", "-x509", *_KEY, "-keyout", "ca.key", "-out", "ca.pem", "-days", "2", "-subj", f"/CN={name}", *extensions)

    @property
    def file(self) -> str:
        """Return the path of its certificate."""
        return str(self._certificate)

    def client_context(self) -> ssl.SSLContext:
        """Return the context that the wire makes, with this authority trusted too."""
        context = verified_tls()
        context.load_verify_locations(self._certificate)
        return context

    def server_context(self, host: str) -> ssl.SSLContext:
        """Return a server's context whose certificate is for `host`."""
        (self._folder / f"{host}.ext").write_text(
            f"subjectAltName={'IP' if host[0].isdigit() else 'DNS'}:{host}\nbasicConstraints=CA:FALSE\n"
            "authorityKeyIdentifier=keyid\nkeyUsage=critical,digitalSignature\n"
        )
        self._openssl("req", *_KEY, "-keyout", f"{host}.key", "-out", f"{host}.csr", "-subj", f"/CN={host}")
        signing = ("-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-extfile", f"{host}.ext", "-days", "2")
        self._openssl("x509", "-req", "-in", f"{host}.csr", "-out", f"{host}.pem", *signing)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self._folder / f"{host}.pem", self._folder / f"{host}.key")
        return context

    def _openssl(self, *arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=self._folder, check=True, capture_output=True)
