"""One request to a deployment: sent by the wire, its failures classified."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from app.domain import Failure
from app.errors import UpstreamError
from app.providers.faults import failure_of, unreachable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.domain import Deployment, Label
    from app.providers.wire import Wire
    from app.providers.wire_response import WireResponse

_ERROR_BYTES = 64 * 1024  # of an error's body: real ones have a few hundred bytes, and 4 KiB of text is all that is kept (faults.py)


async def ask(
    wire: Wire,
    label: Label,
    deployment: Deployment,
    *,
    path: str,
    headers: Sequence[tuple[str, str]],
    body: bytes,
    connect_s: float,
    timeout_s: float,
    idle_s: float,
) -> WireResponse:
    """Return the deployment's 2xx response, unread. Raises UpstreamError, also for every other status."""
    if deployment.address is None:
        raise UpstreamError(Failure.BROKEN, sent=False)
    try:
        response = await wire.request(label, deployment.address, path=path, headers=headers, body=body, connect_s=connect_s, timeout_s=timeout_s, idle_s=idle_s)
    except UpstreamError as error:
        raise unreachable(error, provider=deployment.provider) from error
    if not 200 <= response.status < 300:
        raise await refusal(response, deployment)
    return response


async def refusal(response: WireResponse, deployment: Deployment) -> UpstreamError:
    """Return what a response that is not 2xx means; its body has as long as its head had. Raises UpstreamError where it cannot be read in that time."""
    said = await response.read_start(max(0.001, response.head_by - time.monotonic()), _ERROR_BYTES)
    return failure_of(response.status, response.headers, said, provider=deployment.provider, deployment=deployment)
