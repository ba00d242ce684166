"""What is sent and answered: bodies of given sizes, each unique at its mark, and an upstream's answers as bytes made once."""

from __future__ import annotations

import itertools
import json
import os

MARK = "QQQQQQQQQQQQ"
"""Stands where every request is different; wrk's script and the stream generator put letters there."""

_TEXT = (
    "Please rewrite the following release notes so that a reader who is new to the product understands what has changed and why it matters. Keep every "
    "point, use short sentences, leave out adjectives that say nothing, and put the most useful change first. The search page remembers the last filters. "
    "Lists load in pages of fifty and keep their place when somebody comes back. The export writes one file for each month and names it after the month. "
    "Colours follow the theme of the desktop. The editor saves while one types and shows when it last did. Links to other pages open beside the text. "
    "Reports can be sent on a schedule, and stop when nobody has opened them for a season. Old themes were removed. The help was written anew. "
)

_LETTERS = "bcdfghjklmnpqrstvwxz"  # no vowels: never a word or a name, never a number


def letters(number: int) -> str:
    """Return `number` as twelve letters."""
    found = []
    for _ in MARK:
        number, index = divmod(number, len(_LETTERS))
        found.append(_LETTERS[index])
    return "".join(found)


def nonce() -> int:
    """Return where a run's numbering begins, so that no two runs send the same prompt."""
    return int.from_bytes(os.urandom(5), "big")


def json_body(size_bytes: int) -> bytes:
    """Return a chat request of `size_bytes`, with the mark in its prompt."""
    return _sized({"model": "auto", "messages": [{"role": "user", "content": ""}]}, size_bytes)


def stream_body(count: int, pace_ms: int, size_bytes: int = 1024) -> bytes:
    """Return a request for a stream of `count` chunks, `pace_ms` apart; the upstream reads both from `seed`, which every relay passes on."""
    return _sized({"model": "auto", "stream": True, "seed": pace_ms * 1000 + count, "messages": [{"role": "user", "content": ""}]}, size_bytes)


def _sized(body: dict[str, object], size_bytes: int) -> bytes:
    room = size_bytes - len(_dump(body))
    text = "".join(itertools.islice(itertools.cycle(_TEXT), max(0, room - len(MARK) - 1)))
    return _dump({**body, "messages": [{"role": "user", "content": f"{MARK} {text}"}]})


def _dump(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


ANSWER = _dump(
    {
        "id": "chatcmpl-bench",
        "object": "chat.completion",
        "created": 1700000000,
        "model": "gpt-4o-mini-2024-07-18",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": _TEXT[:400], "refusal": None, "annotations": []},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": {
            "prompt_tokens": 210,
            "completion_tokens": 80,
            "total_tokens": 290,
            "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
        },
        "service_tier": "default",
        "system_fingerprint": "fp_bench",
    }
)


def _chunk(delta: dict[str, object], finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    return _event({"choices": [choice], "usage": None})


def _event(fields: dict[str, object]) -> bytes:
    head = {
        "id": "chatcmpl-bench",
        "object": "chat.completion.chunk",
        "created": 1700000000,
        "model": "gpt-4o-mini-2024-07-18",
        "system_fingerprint": "fp_bench",
    }
    return b"data: " + _dump({**head, **fields}) + b"\n\n"


def stream_chunks(count: int, *, usage: bool) -> list[bytes]:
    """Return the writes of a stream: `count` events that carry an answer, the last with its finish reason, usage where asked for, and the end."""
    middle = _chunk({"content": " token"})
    counted = _event({"choices": [], "usage": {"prompt_tokens": 210, "completion_tokens": count, "total_tokens": 210 + count}}) if usage else b""
    last = _chunk({}, "stop") + counted + b"data: [DONE]\n\n"
    return [_chunk({"role": "assistant", "content": "A"}), *[middle] * (count - 2), last]
