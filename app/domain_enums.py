"""The words of the vocabulary of which there are only so many; app/domain.py hands them on."""

from __future__ import annotations

from enum import IntEnum, StrEnum
from typing import Final


class Label(IntEnum):
    """How sensitive a request or document is: an ordered lattice whose join is `max`."""

    PUBLIC = 0
    INTERNAL = 1
    CONFIDENTIAL = 2

    def __str__(self) -> str:
        return _WORDS[self]  # an enum's `name` takes four times as long, several times a request

    @classmethod
    def parse(cls, text: str) -> Label:
        """Return the label named `text`, whatever its case. Raises ValueError for any other word."""
        try:
            return cls[text.strip().upper()]
        except KeyError:
            raise ValueError("expected public, internal or confidential") from None


_WORDS = tuple(label.name.lower() for label in Label)

CONFIDENTIAL: Final = Label.CONFIDENTIAL  # for what every request is asked: to find a member on its class takes six times as long (Python 3.11)


class Tier(StrEnum):
    """How sure a finding is."""

    HARD = "hard"
    LIKELY = "likely"
    WEAK = "weak"


class ComplexityTier(StrEnum):
    """Which kind of model a request needs."""

    SIMPLE = "simple"
    MEDIUM = "medium"
    COMPLEX = "complex"


COMPLEX: Final = ComplexityTier.COMPLEX  # as CONFIDENTIAL


class Capability(StrEnum):
    """What changes an answer's shape, so that a deployment without it cannot serve the request."""

    TOOLS = "tools"
    IMAGES = "images"
    AUDIO = "audio"
    FILES = "files"
    JSON_OBJECT = "json_object"
    JSON_SCHEMA = "json_schema"
    N = "n"
    LOGPROBS = "logprobs"
    STREAM = "stream"


class LaneName(StrEnum):
    """How an attempt is made."""

    RELAY = "relay"
    TRANSLATE = "translate"
    DEMO = "demo"


class CacheState(StrEnum):
    """What the cache did for a request."""

    HIT = "hit"
    MISS = "miss"
    BYPASS = "bypass"
    JOINED = "joined"


class OnConflict(StrEnum):
    """What happens to a named model that is not cleared for the request's label."""

    REROUTE = "reroute"
    REJECT = "reject"


class RestReason(StrEnum):
    """Why a deployment begins to rest."""

    FAILURES = "failures"
    RETRY_AFTER = "retry_after"  # its provider said when to come back
    REPLICA = "replica"  # another replica found it failing


class Failure(StrEnum):
    """Why an attempt failed; it decides what comes next."""

    UNREACHABLE = "unreachable"  # refused, reset before an answer, no such name
    TIMEOUT = "timeout"
    RATE_LIMITED = "rate_limited"
    UNAVAILABLE = "unavailable"  # the provider answered 503 or 529
    BROKEN = "broken"  # any other 5xx, a cut answer, bytes that are not the dialect
    OPERATOR = "operator"  # 401, 403, 404: our key, our model name
    REJECTED = "rejected"  # 400, 422 and the like: the caller's own request
    CONTEXT_EXCEEDED = "context_exceeded"
    NOT_CLEARED = "not_cleared"  # egress refused the address
    CONTENT_REFUSED = "content_refused"  # the provider's own filter
    RESTING = "resting"  # the breaker keeps it from being asked: it was not
    LIMITED = "limited"  # it is at its own limits: it was not asked
    FULL = "full"  # no slot of the gateway's own came free for the deployment: it was not asked
