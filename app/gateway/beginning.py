"""The beginning of an answer: all of it, or the first token of a stream; until then another deployment may answer instead."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import jiter

from app.domain import Failure
from app.errors import UpstreamError
from app.gateway.streaming import FAILED, StreamWatch, chars_beside, read_usage

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from app.domain import Deployment, Usage
    from app.gateway.ports import Answer
    from app.gateway.transcript import Transcript
    from app.gateway.vitals import Lease

_MAX_HEAD_BYTES = 1024 * 1024  # what may come before the first token


@dataclass(slots=True)
class Served:
    """An answer that has begun: whole (`body`, and its parsed `choices`), or a stream whose first token is in `head`.

    `lease` is ended by whoever reads it.
    """

    deployment: Deployment
    answer: Answer
    body: bytes = field(default=b"", repr=False)
    usage: Usage | None = None
    choices: Sequence[Any] = field(default=(), repr=False)
    head: bytes = field(default=b"", repr=False)
    watch: StreamWatch | None = None
    chunks: AsyncIterator[bytes] | None = None
    lease: Lease | None = None

    @property
    def said_chars(self) -> int:
        """How many characters a whole answer says, as StreamWatch counts those of a stream."""
        messages = [message for choice in self.choices if isinstance(choice, dict) and isinstance(message := choice.get("message"), dict)]
        said = [message.get("content") for message in messages]
        return sum(len(text) for text in said if isinstance(text, str)) + sum(map(chars_beside, messages))

    def give_up(self) -> None:
        """Close an answer that nobody will read."""
        self.answer.close()
        if self.lease is not None:
            self.lease.end(self.usage)


def take_whole(deployment: Deployment, answer: Answer, body: bytes, *, moves_on: bool) -> Served:
    """Return an answer that was read whole.

    Raises UpstreamError where it is no `chat.completion` or ended with an error, and where the provider's filter refused it and the walk `moves_on` from that.
    """
    try:
        said: Any = jiter.from_json(body, cache_mode="keys")
    except ValueError:
        raise UpstreamError(Failure.BROKEN) from None
    choices = said.get("choices") if isinstance(said, dict) else None
    if not isinstance(choices, list) or not choices:
        raise UpstreamError(Failure.BROKEN)
    if any(isinstance(choice, dict) and choice.get("finish_reason") == FAILED for choice in choices):
        raise UpstreamError(Failure.BROKEN)
    if moves_on and all(isinstance(choice, dict) and choice.get("finish_reason") == "content_filter" for choice in choices):
        raise UpstreamError(Failure.CONTENT_REFUSED)
    return Served(deployment, answer, body, read_usage(said.get("usage")), choices)


async def begin_stream(deployment: Deployment, answer: Answer, *, include_usage: bool, moves_on: bool, transcript: Transcript | None = None) -> Served:
    """Return a stream once its first token is there. Raises UpstreamError where there is none, and as `take_whole` does."""
    watch = StreamWatch(include_usage=include_usage, classify=answer.error_inside, transcript=transcript)
    chunks = answer.events()
    head = b""
    async for data in chunks:
        head += watch.feed(data)
        if len(head) > _MAX_HEAD_BYTES and not watch.started:
            break
        if watch.started:
            if moves_on and not watch.content_chars and b'"content_filter"' in head:
                raise UpstreamError(Failure.CONTENT_REFUSED)
            return Served(deployment, answer, head=head, watch=watch, chunks=chunks)
        if watch.ended:
            break
    raise UpstreamError(Failure.BROKEN)  # ended before any token: a cut, whatever it looked like
