"""The relay lane: the upstream speaks OpenAI's dialect, so the body goes out as it came in and the answer's bytes come back as they arrive.

What is changed: `model`, and `stream_options.include_usage` on streams (Mistral takes no `stream_options`). Everything that the gateway does not know reaches
the provider.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from app.domain import CONFIDENTIAL, Failure
from app.errors import UpstreamError
from app.providers.ask import ask, refusal
from app.providers.faults import failure_in_stream, unreachable
from app.providers.residence import Residence
from app.providers.wire import FixedHeaders
from app.utils.json import dump_json

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Mapping

    from app.domain import Call, Deployment, Label
    from app.providers.wire import Wire
    from app.providers.wire_response import WireResponse

# Providers that refuse `stream_options`, and send usage without being asked.
_USAGE_UNASKED = frozenset({"mistral"})

_USER_AGENT = ("user-agent", "sluice")


class RelayAnswer:
    """An upstream's 2xx answer, unread."""

    __slots__ = ("_call", "_response")
    dropped_params: tuple[str, ...] = ()

    def __init__(self, response: WireResponse, call: Call) -> None:
        self._response = response
        self._call = call

    def body(self) -> Coroutine[Any, Any, bytes]:
        """Return the answer's bytes as they are."""
        return self._response.read(self._call.timeout_s)

    def events(self) -> AsyncIterator[bytes]:
        """Yield the stream's bytes as they arrive."""
        return self._response.chunks()

    def offer(self, take: Callable[[bytes], bool]) -> None:
        """Offer the stream's bytes to `take` as they arrive."""
        self._response.offer(take)

    def error_inside(self, error: Mapping[str, Any]) -> UpstreamError:
        """Return what an error object inside the stream means."""
        return failure_in_stream(error, provider=self._call.deployment.provider, deployment=self._call.deployment)

    def close(self) -> None:
        """Give up what is left."""
        self._response.close()


class RelayLane:
    """Makes attempts at deployments that speak OpenAI's dialect."""

    def __init__(self, wire: Wire, residence: Residence | None = None) -> None:
        self._wire = wire
        self._residence = Residence(wire) if residence is None else residence
        self._fixed: dict[tuple[str, bool], _Fixed] = {}

    async def open(self, call: Call) -> RelayAnswer:
        """Send the call, as `ask` would. Raises UpstreamError."""
        deployment, address = call.deployment, call.deployment.address
        if address is None:
            raise UpstreamError(Failure.BROKEN, sent=False)
        if call.label >= CONFIDENTIAL:
            await self._residence.check(call)
        fixed = self._fixed.get((deployment.name, call.stream))
        if fixed is None or fixed.deployment is not deployment:  # a reload has made another of that name
            fixed = self._fixed[deployment.name, call.stream] = _fixed(deployment, stream=call.stream)
        try:
            response = await self._wire.request(
                call.label,
                address,
                path=fixed.path,
                headers=fixed.headers if not call.headers else (*fixed.headers, *call.headers),
                body=_body(call),
                connect_s=call.connect_s,
                timeout_s=call.timeout_s,
                idle_s=call.idle_s,
            )
        except UpstreamError as error:
            raise unreachable(error, provider=deployment.provider) from error
        if not 200 <= response.status < 300:
            raise await refusal(response, deployment)
        return RelayAnswer(response, call)


@dataclass(slots=True)
class _Fixed:
    """What every call of a deployment has in common."""

    deployment: Deployment
    path: str
    headers: FixedHeaders


def _fixed(deployment: Deployment, *, stream: bool) -> _Fixed:
    accept = ("accept", "text/event-stream" if stream else "application/json")
    return _Fixed(deployment, _path(deployment), FixedHeaders([("content-type", "application/json"), accept, _USER_AGENT, *_credentials(deployment)]))


def _path(deployment: Deployment) -> str:
    base = urlsplit(deployment.base_url).path.rstrip("/")
    if deployment.provider != "azure":
        return f"{base}/chat/completions"
    version = quote(deployment.params.get("api_version", ""), safe="")
    return f"{base}/openai/deployments/{quote(deployment.model, safe='')}/chat/completions?api-version={version}"


def _credentials(deployment: Deployment) -> list[tuple[str, str]]:
    if deployment.api_key is None:
        return []
    return [("api-key", deployment.api_key) if deployment.provider == "azure" else ("authorization", f"Bearer {deployment.api_key}")]


def _body(call: Call) -> bytes:
    body: dict[str, Any] = {**call.body, "model": call.deployment.model}
    if call.deployment.provider in _USAGE_UNASKED:
        body.pop("stream_options", None)
    elif call.stream:
        body["stream_options"] = {**(call.body.get("stream_options") or {}), "include_usage": True}
    return dump_json(body)


async def post_json(wire: Wire, label: Label, deployment: Deployment, path: str, body: bytes, *, connect_s: float, timeout_s: float) -> bytes:
    """Send `body` to `path` below the deployment's base URL and return the 2xx answer. Raises UpstreamError."""
    base = urlsplit(deployment.base_url).path.rstrip("/")
    headers = [("content-type", "application/json"), ("accept", "application/json"), _USER_AGENT, *_credentials(deployment)]
    response = await ask(wire, label, deployment, path=f"{base}{path}", headers=headers, body=body, connect_s=connect_s, timeout_s=timeout_s, idle_s=timeout_s)
    try:
        return await response.read(timeout_s)
    finally:
        response.close()
