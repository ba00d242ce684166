"""How long to wait before a deployment is asked again, or that it is not worth it. Without I/O.

Full jitter: a wait is drawn evenly between nothing and a bound that doubles (Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015), so that
callers that failed together do not come back together.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.domain import Failure

if TYPE_CHECKING:
    from app.errors import UpstreamError

_FIRST_BOUND_S = 0.5  # as OpenAI's SDKs start
_LAST_BOUND_S = 8.0


def is_worth_another_call(error: UpstreamError, *, last: bool) -> bool:
    """Say whether the same deployment may answer if asked again; `last` where no other is left, which might answer sooner.

    Not after a time-out, which has cost the time; not when it was reached and broke off without a status: it may have served what it was sent.
    """
    match error.failure:
        case Failure.UNAVAILABLE:
            return True
        case Failure.RATE_LIMITED:
            return last or error.retry_after_s is not None
        case Failure.UNREACHABLE:
            return last and not error.sent
        case Failure.BROKEN:
            return last and error.upstream_status is not None
        case _:
            return False


def wait_before_retry(error: UpstreamError, tries: int, drawn: float, *, rests_s: float, left_s: float, wait_s: float, last: bool) -> float | None:
    """Return the seconds to wait before call number `tries` + 1 of a deployment, or None to move on.

    `drawn` is a random number in 0..1, `rests_s` how long the deployment still rests, `left_s` what is left of the request's time: a wait ends before that. It
    is at most `wait_s`, but for the last deployment's own Retry-After.
    """
    asked_s = error.retry_after_s
    wait = drawn * min(_LAST_BOUND_S, _FIRST_BOUND_S * 2 ** (tries - 1)) if asked_s is None else asked_s
    bound = left_s if last and asked_s is not None else min(left_s, wait_s)
    wait = max(wait, rests_s)
    return wait if wait < left_s and wait <= bound else None
