"""Where an Ollama's models run: on the server that is asked, or, behind the same name and address, on another host that the server passes requests on to.

Such a model shows `remote_host` and `remote_model` in `/api/tags`, `/api/show` and in every line of an answer (docs/api.md and `api/types.go` of ollama/ollama,
0.17). Its name need not say so: `ollama cp` gives it any other, and a name can be made anew. So before a confidential request goes to an Ollama, the server is
asked: `/api/tags` for the digest behind the name, and `/api/show` for each digest that was not seen before.

A server of OpenAI's dialect, whatever provider its deployment names, may be an Ollama behind its `/v1`; one that answers `/api/tags` as Ollama does is held to
the same. What else a server does with a request cannot be asked.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import orjson

from app.domain import Failure, Label, LaneName
from app.errors import UpstreamError
from app.providers.faults import failure_of, unreachable
from app.utils.logging import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from app.domain import Call, Deployment
    from app.providers.wire import Wire

_ASKED_ANEW_S: Final = 30.0  # one request of a few hundred bytes; an answer that names another host is dropped at once, whatever was known
_LIMIT_S: Final = 5.0  # both paths read small files: a server that cannot answer them in this time is not asked more
_OLLAMA: Final = frozenset({"ollama", "ollama_chat"})
_FAILING: Final = frozenset({408, 429, 500, 502, 503, 504})  # of whom that is asked just now, which says nothing of what it is
_REMOTE: Final = ("remote_host", "remote_model")

log = get_logger("residence")


@dataclass(slots=True)
class _Known:
    """What one deployment's server last said. `digest` is that of a model that runs there; `remote` is kept until another digest stands behind the name."""

    deployment: Deployment
    until: float = 0.0
    digest: str | None = None
    remote: bool = False
    is_ollama: bool = False
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class Residence:
    """Asks each server in turn, and remembers for half a minute what it said; one entry a deployment."""

    def __init__(self, wire: Wire, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._wire = wire
        self._clock = clock
        self._known: dict[str, _Known] = {}

    async def check(self, call: Call) -> None:
        """Return when a confidential call's model runs on the server that is asked, or is no Ollama's. Raises UpstreamError, also where that stays unknown."""
        deployment = call.deployment
        if call.label < Label.CONFIDENTIAL or (deployment.lane is not LaneName.RELAY and deployment.provider not in _OLLAMA):
            return
        known = self._known.get(deployment.name)
        if known is None or known.deployment is not deployment:
            known = self._known[deployment.name] = _Known(deployment)
        if self._clock() >= known.until:
            async with known.lock:
                if self._clock() >= known.until:
                    await self._ask(known, call)
                    known.until = self._clock() + _ASKED_ANEW_S
        if known.remote:
            raise _elsewhere(deployment)

    def is_ollama(self, deployment: Deployment) -> bool:
        """Say whether the deployment's server answered as an Ollama when it was asked last."""
        known = self._known.get(deployment.name)
        return known is not None and known.deployment is deployment and known.is_ollama

    def refuse(self, call: Call, answer: Mapping[str, Any]) -> None:
        """Raise UpstreamError for an answer to a confidential call that says that another host gave it, and remember that."""
        if call.label < Label.CONFIDENTIAL or not _is_remote(answer):
            return
        known = self._known.get(call.deployment.name)
        if known is not None:
            known.remote = True
        log.warning("model_runs_elsewhere", deployment=call.deployment.name, seen_in="answer")
        raise _elsewhere(call.deployment, sent=True)

    async def _ask(self, known: _Known, call: Call) -> None:
        deployment = call.deployment
        status, tags = await self._get(call, "GET", "/api/tags", b"")
        if _is_tags(status, tags):
            known.is_ollama = True
        else:
            if deployment.provider in _OLLAMA or known.is_ollama or status in _FAILING:
                raise _unknown(deployment, "/api/tags")
            return  # it speaks OpenAI's dialect and is no Ollama
        entry = next((model for model in tags["models"] if _same(deployment.model, model)), None)
        digest = str(entry["digest"]) if entry else None
        if digest is not None and digest == known.digest:
            return
        if entry is None or not _is_remote(entry):
            status, shown = await self._get(call, "POST", "/api/show", orjson.dumps({"model": deployment.model}))
            if status == 404 and entry is None:
                raise failure_of(404, {}, orjson.dumps(shown), provider="ollama_chat", deployment=deployment)
            if status != 200 or not isinstance(shown, dict) or "details" not in shown:
                raise _unknown(deployment, "/api/show")
            entry = shown
        known.digest, known.remote = digest, _is_remote(entry)
        if known.remote:
            log.warning("model_runs_elsewhere", deployment=deployment.name, seen_in="description")

    async def _get(self, call: Call, method: str, path: str, body: bytes) -> tuple[int, Any]:
        """Return the status and the JSON that a path of Ollama's own answers (None where it is none)."""
        deployment = call.deployment
        if deployment.address is None:
            raise UpstreamError(Failure.BROKEN, sent=False)
        base = urlsplit(deployment.base_url).path.rstrip("/").removesuffix("/v1").removesuffix("/api")
        headers = [("content-type", "application/json"), *((("authorization", f"Bearer {deployment.api_key}"),) if deployment.api_key else ())]
        limit_s = min(call.timeout_s, _LIMIT_S)
        try:
            response = await self._wire.request(
                call.label,
                deployment.address,
                method=method,
                path=base + path,
                headers=headers,
                body=body,
                connect_s=min(call.connect_s, limit_s),
                timeout_s=limit_s,
                idle_s=limit_s,
            )
        except UpstreamError as error:
            raise unreachable(error, provider=deployment.provider) from error
        try:
            raw = await response.read(limit_s)
        finally:
            response.close()
        try:
            return response.status, orjson.loads(raw)
        except orjson.JSONDecodeError:
            return response.status, None


def _is_tags(status: int, answer: Any) -> bool:
    models = answer.get("models") if status == 200 and isinstance(answer, dict) else None
    return isinstance(models, list) and all(isinstance(model, dict) and "digest" in model for model in models)


def _is_remote(said: Mapping[str, Any]) -> bool:
    return any(said.get(key) for key in _REMOTE)


def _same(name: str, model: Mapping[str, Any]) -> bool:
    return whole_name(name) in {whole_name(str(model.get(key, ""))) for key in ("name", "model")}


def whole_name(name: str) -> str:
    """Return a model's name as Ollama completes it (`types/model/name.go`): its own registry and library left out, the tag written."""
    short = name.lower().removeprefix("registry.ollama.ai/").removeprefix("library/")
    return short if ":" in short.rpartition("/")[2] else f"{short}:latest"


def _elsewhere(deployment: Deployment, *, sent: bool = False) -> UpstreamError:
    remedy = f"The model of {deployment.name} runs on another host than its server: confidential requests need one that runs there (`ollama list` shows sizes)."
    return UpstreamError(Failure.NOT_CLEARED, sent=sent, remedy=remedy)


def _unknown(deployment: Deployment, path: str) -> UpstreamError:
    remedy = f"The server of {deployment.name} did not say at {path} where its model runs: let the gateway read /api/tags and /api/show there."
    return UpstreamError(Failure.NOT_CLEARED, sent=False, remedy=remedy)
