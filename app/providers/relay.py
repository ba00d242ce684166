"""The relay lane: the upstream speaks OpenAI's dialect, so the body goes out as it came in and the answer's bytes come back as they arrive.

What is changed: `model`, and `stream_options.include_usage` on streams. Everything that the gateway does not know reaches the provider.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from app.domain import Failure
from app.errors import UpstreamError
from app.providers.faults import failure_of, unreachable
from app.utils.json import dump_json

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from app.domain import Address, Call, Deployment, Label
    from app.providers.wire import Wire
    from app.providers.wire_response import WireResponse

# Providers that refuse `stream_options` or send usage without being asked.
_USAGE_UNASKED = frozenset({"mistral"})

_USER_AGENT = ("user-agent", "sluice")


class RelayAnswer:
    """An upstream's 2xx answer, unread."""

    dropped_params: tuple[str, ...] = ()

    def __init__(self, response: WireResponse, call: Call) -> None:
        self._response = response
        self._call = call

    async def body(self) -> bytes:
        """Return the answer's bytes as they are."""
        return await self._response.read(self._call.timeout_s)

    def events(self) -> AsyncIterator[bytes]:
        """Yield the stream's bytes as they arrive. An upstream that answers a stream with JSON is broken."""
        return self._response.chunks()

    def close(self) -> None:
        """Give up what is left."""
        self._response.close()


class RelayLane:
    """Makes attempts at deployments that speak OpenAI's dialect."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    async def open(self, call: Call) -> RelayAnswer:
        """Send the call. Raises UpstreamError."""
        deployment = call.deployment
        address = _address(deployment)
        try:
            response = await self._wire.request(
                call.label,
                address,
                path=_path(deployment),
                headers=_headers(call),
                body=_body(call),
                connect_s=call.connect_s,
                timeout_s=call.timeout_s,
                idle_s=call.idle_s,
            )
        except UpstreamError as error:
            raise unreachable(error, provider=deployment.provider) from error
        if 200 <= response.status < 300:
            return RelayAnswer(response, call)
        try:
            body = await response.read(call.timeout_s)
        finally:
            response.close()
        raise failure_of(response.status, response.headers, body, provider=deployment.provider, deployment=deployment)


def _address(deployment: Deployment) -> Address:
    if deployment.address is None:
        raise UpstreamError(Failure.BROKEN, sent=False)
    return deployment.address


def _path(deployment: Deployment) -> str:
    base = urlsplit(deployment.base_url).path.rstrip("/")
    if deployment.provider != "azure":
        return f"{base}/chat/completions"
    version = quote(deployment.params.get("api_version", ""), safe="")
    return f"{base}/openai/deployments/{quote(deployment.model, safe='')}/chat/completions?api-version={version}"


def _headers(call: Call) -> list[tuple[str, str]]:
    deployment = call.deployment
    headers = [("content-type", "application/json"), ("accept", "text/event-stream" if call.stream else "application/json"), _USER_AGENT]
    return [*headers, *_credentials(deployment), *call.headers]


def _credentials(deployment: Deployment) -> list[tuple[str, str]]:
    if deployment.api_key is None:
        return []
    return [("api-key", deployment.api_key) if deployment.provider == "azure" else ("authorization", f"Bearer {deployment.api_key}")]


def _body(call: Call) -> bytes:
    body: dict[str, Any] = {**call.body, "model": call.deployment.model}
    if call.stream and call.deployment.provider not in _USAGE_UNASKED:
        body["stream_options"] = {**(call.body.get("stream_options") or {}), "include_usage": True}
    return dump_json(body)


async def post_json(wire: Wire, label: Label, deployment: Deployment, path: str, body: bytes, *, connect_s: float, timeout_s: float) -> bytes:
    """Send `body` to `path` below the deployment's base URL and return the 2xx answer. Raises UpstreamError."""
    base = urlsplit(deployment.base_url).path.rstrip("/")
    headers = [("content-type", "application/json"), ("accept", "application/json"), _USER_AGENT, *_credentials(deployment)]
    address = _address(deployment)
    try:
        response = await wire.request(
            label,
            address,
            path=f"{base}{path}",
            headers=headers,
            body=body,
            connect_s=connect_s,
            timeout_s=timeout_s,
            idle_s=timeout_s,
        )
    except UpstreamError as error:
        raise unreachable(error, provider=deployment.provider) from error
    try:
        answer = await response.read(timeout_s)
    finally:
        response.close()
    if not 200 <= response.status < 300:
        raise failure_of(response.status, response.headers, answer, provider=deployment.provider, deployment=deployment)
    return answer
