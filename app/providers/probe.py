"""Whether deployments answer: each is asked once for its list of models, never for a completion, by the wire and past egress as requests go."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from enum import StrEnum
from socket import gaierror
from typing import TYPE_CHECKING, Final

import orjson

from app.domain import Failure, Label
from app.errors import UpstreamError
from app.providers.faults import failure_of, unreachable
from app.providers.listing import listing, read_models, why_not

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from app.domain import Deployment
    from app.providers.listing import Models
    from app.providers.wire import Wire

_AT_ONCE: Final = 8
_OLLAMA: Final = frozenset({"ollama", "ollama_chat"})


class Outcome(StrEnum):
    """How a deployment answered."""

    OK = "ok"
    NOT_PROBED = "not_probed"
    NOT_LISTED = "not_listed"
    RUNS_ELSEWHERE = "runs_elsewhere"
    KEY_REFUSED = "key_refused"
    UNREACHABLE = "unreachable"
    TIMEOUT = "timeout"
    NOT_CLEARED = "not_cleared"
    NO_LIST = "no_list"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Probed:
    """How one deployment answered; `said` is a sentence without a word of the provider's. `status` is that of its answer, where there was one."""

    deployment: str
    outcome: Outcome
    said: str
    status: int | None = None
    ms: float | None = None

    @property
    def well(self) -> bool:
        """Whether there is nothing to put right."""
        return self.outcome in {Outcome.OK, Outcome.NOT_PROBED}


async def probe_all(
    wire: Wire, deployments: Iterable[Deployment], *, connect_s: float, timeout_s: float, clock: Callable[[], float] = time.perf_counter
) -> list[Probed]:
    """Ask each deployment, a few at a time, and return how they answered, in their order. Never raises what a deployment brings about."""
    gate = asyncio.Semaphore(_AT_ONCE)

    async def one(deployment: Deployment) -> Probed:
        async with gate:
            return await probe(wire, deployment, connect_s=connect_s, timeout_s=timeout_s, clock=clock)

    return list(await asyncio.gather(*(one(deployment) for deployment in deployments)))


async def probe(wire: Wire, deployment: Deployment, *, connect_s: float, timeout_s: float, clock: Callable[[], float] = time.perf_counter) -> Probed:
    """Ask one deployment for its list of models, as for a request of the highest label that it may hold."""
    reason = why_not(deployment) if deployment.address is not None else "built in"
    if reason is not None:
        return Probed(deployment.name, Outcome.NOT_PROBED, f"not probed: {reason}")
    start = clock()
    try:
        status, headers, body = await _get(wire, deployment, connect_s, timeout_s)
    except UpstreamError as error:
        return _failed(deployment, error, timeout_s)
    ms = (clock() - start) * 1000
    outcome, said = _answered(deployment, status, headers, body)
    return Probed(deployment.name, outcome, said, status, round(ms, 1))


async def _get(wire: Wire, deployment: Deployment, connect_s: float, timeout_s: float) -> tuple[int, Mapping[str, str], bytes]:
    assert deployment.address is not None  # noqa: S101 -- who calls has looked
    asked = listing(deployment)
    response = await wire.request(
        deployment.clearance,
        deployment.address,
        method="GET",
        path=asked.path,
        headers=asked.headers,
        body=b"",
        connect_s=connect_s,
        timeout_s=timeout_s,
        idle_s=timeout_s,
    )
    try:
        return response.status, response.headers, await response.read(timeout_s)
    finally:
        response.close()


def _answered(deployment: Deployment, status: int, headers: Mapping[str, str], body: bytes) -> tuple[Outcome, str]:
    path = listing(deployment).path.partition("?")[0]
    if 200 <= status < 300:
        models = _models(deployment, body)
        if models is None:
            return Outcome.NO_LIST, f"answered {status} at {path}, and not with a list of models: check `api_base`"
        return _listed(deployment, models)
    failure = failure_of(status, headers, body, provider=deployment.provider, deployment=deployment).failure
    if status in {401, 403} or (status == 400 and failure is Failure.OPERATOR):
        return Outcome.KEY_REFUSED, f"refused the key ({status})" if deployment.api_key else f"wants a key ({status}): write `api_key`"
    if status < 400 or status in {404, 405, 501}:
        return Outcome.NO_LIST, f"has no list of models at {path} ({status}): check `api_base`, unless the server is known to have none"
    return Outcome.FAILED, f"answered {status}"


def _models(deployment: Deployment, body: bytes) -> Models | None:
    try:
        return read_models(deployment, orjson.loads(body))
    except orjson.JSONDecodeError:
        return None


def _listed(deployment: Deployment, models: Models) -> tuple[Outcome, str]:
    if models.remote and deployment.clearance >= Label.CONFIDENTIAL:
        return Outcome.RUNS_ELSEWHERE, "passes the model's requests on to another host, which is not cleared for confidential: name a model that runs there"
    if models.listed is False:
        remedy = f"run `ollama pull {deployment.model}`" if deployment.provider in _OLLAMA else "check `model`"
        return Outcome.NOT_LISTED, f"does not list {deployment.model} among its {models.count} models: {remedy}"
    return Outcome.OK, "ok" if models.listed else "ok; its list does not tell whether it has the model"


def _failed(deployment: Deployment, error: UpstreamError, timeout_s: float) -> Probed:
    where = str(deployment.address)
    outcome, said = {
        Failure.UNREACHABLE: (Outcome.UNREACHABLE, error.remedy or f"cannot be reached at {where}: {_cause(error)}"),
        Failure.TIMEOUT: (Outcome.TIMEOUT, f"did not answer at {where} within {timeout_s:g} s"),
        Failure.NOT_CLEARED: (Outcome.NOT_CLEARED, f"leads from {where} to a machine that is not cleared for {deployment.clearance}"),
        Failure.OPERATOR: (Outcome.FAILED, error.remedy or f"cannot be asked at {where}"),
    }.get(error.failure, (Outcome.FAILED, f"answered at {where} with what is no HTTP, or broke off"))
    told = unreachable(error, provider=deployment.provider)
    return Probed(deployment.name, outcome, f"{said}. {told.remedy}" if told.tell_caller else said)


def _cause(error: UpstreamError) -> str:
    if isinstance(error.__cause__, ConnectionRefusedError):
        return "connection refused"
    return "no such name" if isinstance(error.__cause__, gaierror) else "no connection"
