"""The key under which an answer is cached and joined: a keyed hash of everything that could change the answer.

Two requests that differ never share a key by construction: what is hashed is one canonical JSON array, and JSON text says where each value ends and of
which type it is. Without the secret a key tells nothing, not even whether a guessed request was made.
"""

from __future__ import annotations

import functools
import hashlib
import json
from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from app.domain import Label, Plan

_PURPOSE = b"sluice/cache/2"
_FAST = b"\x00"
_EXACT = b"\x01"
_EXACT_ENCODER = json.JSONEncoder(sort_keys=True, ensure_ascii=False, separators=(",", ":"))


def cache_key(secret: bytes, *, tenant: str, plan_id: str, body: Mapping[str, Any], headers: Sequence[tuple[str, str]]) -> bytes:
    """Return 32 bytes (keyed BLAKE2b, RFC 7693: a MAC by itself, in an eighth of the time of HMAC-SHA256) for a request.

    `body` is parsed JSON and counts whole; `plan_id` says which deployments may answer, in order; `headers` are those that go upstream, in order. The order
    of an object's keys does not count. `1`, `1.0`, `true` and `"1"` differ. Raises ValueError for an empty secret.

    orjson takes 0.4 µs for a body of 1 KB and 4 µs for 120 KB, where the standard library takes 6 and 420. It refuses integers over 64 bits and lone
    surrogates, so these go to the standard library, whose text is as unambiguous. Which writer is used depends on the value alone. NaN and infinities, which
    orjson would write as null, are in no body: `read_chat_body` refuses them.
    """
    parts = [tenant, plan_id, headers, body if type(body) is dict else dict(body)]
    try:
        text = orjson.dumps(parts, option=orjson.OPT_SORT_KEYS)
    except orjson.JSONEncodeError:
        return _exact(secret, parts)
    digest = _begun(secret, _FAST).copy()
    digest.update(text)
    return digest.digest()


@functools.lru_cache(maxsize=8)
def _begun(secret: bytes, writer: bytes) -> hashlib.blake2b:
    """Return a hash that has taken in the secret, and the byte that names the writer of the JSON that follows."""
    if not secret:
        raise ValueError("the cache's secret is empty")
    key = secret if len(secret) <= hashlib.blake2b.MAX_KEY_SIZE else hashlib.blake2b(secret).digest()
    return hashlib.blake2b(writer, key=key, digest_size=32, person=_PURPOSE)


class PlanIds:
    """Says which deployments may answer by a plan, in order. A plan that many requests share is spelled once."""

    def __init__(self, limit: int = 1024) -> None:
        self._limit = limit
        self._kept: dict[int, tuple[Plan, Label, str]] = {}  # by identity, which is a plan's own while it is kept

    def __len__(self) -> int:
        return len(self._kept)

    def of(self, plan: Plan, label: Label) -> str:
        """Return the same text for plans of requests of one label by which the same deployments may answer: calls join, and answers serve, within one label."""
        kept = self._kept.get(id(plan))
        if kept is not None and kept[1] is label:
            return kept[2]
        names = [f"{attempt.deployment.name}\x1e{attempt.deployment.model}\x1e{attempt.deployment.base_url}" for attempt in plan.attempts]
        if plan.choice:  # whoever of a pool was drawn, its answer serves; but for an experiment, where each arm has its own
            names = [plan.pool, plan.arm, *sorted(names)]
        if len(self._kept) >= self._limit:
            self._kept.clear()
        found = "\x1f".join([f"{label:d}", *names])
        self._kept[id(plan)] = plan, label, found
        return found


def _exact(secret: bytes, parts: list[Any]) -> bytes:
    digest = _begun(secret, _EXACT).copy()
    digest.update(_EXACT_ENCODER.encode(parts).encode("utf-8", "surrogatepass"))
    return digest.digest()
