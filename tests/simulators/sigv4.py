"""Checks AWS Signature Version 4 on a request as it arrived: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html."""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, quote, urlsplit

if TYPE_CHECKING:
    from tests.simulators.server import Received

_AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 Credential=(?P<key>[^/]+)/(?P<date>\d{8})/(?P<region>[^/]+)/(?P<service>[^/]+)/aws4_request, ?"
    r"SignedHeaders=(?P<signed>[^,]+), ?Signature=(?P<signature>[0-9a-f]{64})"
)


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a request is signed with."""

    access_key_id: str
    secret_access_key: str = field(repr=False)
    region: str = "us-east-1"
    session_token: str | None = field(default=None, repr=False)


def fault_of(request: Received, credentials: Credentials, *, service: str) -> tuple[str, str] | None:
    """Return the exception's name and message for a request that is not signed as it should be, None for one that is."""
    match = _AUTHORIZATION.fullmatch(request.header("authorization") or "")
    if match is None:
        return "MissingAuthenticationTokenException", "Missing Authentication Token"
    if match["key"] != credentials.access_key_id or request.header("x-amz-security-token") != credentials.session_token:
        return "UnrecognizedClientException", "The security token included in the request is invalid."
    stamp = request.header("x-amz-date") or ""
    if (match["region"], match["service"]) != (credentials.region, service) or not stamp.startswith(match["date"]):
        return "InvalidSignatureException", "Credential should be scoped to a valid region."
    signed = match["signed"].split(";")
    missing = {"host", "x-amz-date"} - set(signed)
    if missing or not hmac.compare_digest(_signature(request, credentials, match, signed, stamp), match["signature"]):
        return "InvalidSignatureException", "The request signature we calculated does not match the signature you provided."
    return None


def _signature(request: Received, credentials: Credentials, match: re.Match[str], signed: list[str], stamp: str) -> str:
    target = urlsplit(request.target)
    query = "&".join(sorted(f"{quote(k, safe='-_.~')}={quote(v, safe='-_.~')}" for k, v in parse_qsl(target.query, keep_blank_values=True)))
    headers = "".join(f"{name}:{' '.join((request.header(name) or '').split())}\n" for name in signed)
    payload = hashlib.sha256(request.body).hexdigest()
    # The path as it was sent, encoded once more: every service but S3 does so.
    canonical = "\n".join([request.method, quote(target.path, safe="/-_.~"), query, headers, ";".join(signed), payload])
    scope = f"{match['date']}/{credentials.region}/{match['service']}/aws4_request"
    text = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    key = f"AWS4{credentials.secret_access_key}".encode()
    for part in (match["date"], credentials.region, match["service"], "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return hmac.digest(key, text.encode(), "sha256").hex()
