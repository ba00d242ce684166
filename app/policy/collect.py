"""Everything in a request that can hold content, each with its position, and what the request needs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from app.domain import Capability
from app.policy.published import CONSTANTS, KEYS
from app.policy.walk import MIN_NUMBER_CHARS, ROLES, Join, Opaque, Scalar, Walk, join_said, spelled

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

__all__ = ["Collected", "Join", "Opaque", "Scalar", "collect"]

_CAPABILITY_OF_MEDIA = {"image": Capability.IMAGES, "audio": Capability.AUDIO, "file": Capability.FILES}
_FIGURES = frozenset({"tools", "functions", "response_format", "logit_bias", "stop_token_ids"})  # where integers are no prompt
_HUMAN_TURNS = 3
_MAX_PLAIN = 10_000  # messages: far below what is walked, of any shape
_SCHEMAS = frozenset({"tools", "functions", "response_format"})
_DEMANDS = frozenset({"tools", "functions", "response_format", "modalities", "n", "logprobs", "top_logprobs"})  # what `_needs` asks besides `stream`
_STREAM, _NOTHING = frozenset({Capability.STREAM}), frozenset[Capability]()


class Collected(NamedTuple):
    """What a request holds; sizes are in code points.

    `spoken` are the texts that the model reads as the conversation, `human_turns` what the human said, newest first, three at most. `schema_chars` is the
    size of tools and response format. `is_plain`: every message is a role and a text.
    """

    scalars: tuple[Scalar, ...]
    joins: tuple[Join, ...]
    opaque: tuple[Opaque, ...]
    needs: frozenset[Capability]
    spoken: tuple[str, ...]
    human_turns: tuple[str, ...]
    schema_chars: int
    messages: int
    is_plain: bool

    def __repr__(self) -> str:
        return f"Collected({len(self.scalars)} scalars, {len(self.opaque)} opaque)"

    @property
    def unscannable(self) -> tuple[str, ...]:
        """The kinds of what cannot be scanned, sorted, each once."""
        return tuple(sorted({part.kind for part in self.opaque}))


def collect(body: Mapping[str, Any]) -> Collected:
    """Return every scalar of `body` at any depth, keys and numbers included, and what the request needs of a deployment."""
    plain = _plain(body)
    return _walked(body) if plain is None else plain


def _plain(body: Mapping[str, Any]) -> Collected | None:
    """Return what `_walked` would, of a body of the kind that most are: messages of a role and a text, and settings of one value. None for any other."""
    messages = body.get("messages")
    if type(messages) is not list or len(messages) > _MAX_PLAIN or not _DEMANDS.isdisjoint(body):
        return None
    scalars: list[Scalar] = []
    said: list[tuple[str, int]] = []
    spoken: list[str] = []
    for key, value in body.items():
        if key != "messages":
            text = _setting(value) if key in KEYS else None
            if text is None:
                return None
            if text:
                scalars.append(Scalar(key, text))
            continue
        for index, message in enumerate(messages):
            if type(message) is not dict or len(message) != 2:
                return None
            role, content = message.get("role"), message.get("content")
            if type(content) is not str or type(role) is not str or role not in ROLES:
                return None
            if content:
                said.append((role, len(scalars)))
                spoken.append(content)
                scalars.append(Scalar(f"messages[{index}].content", content))
    human = [text for text, (role, _) in zip(spoken, said, strict=True) if role == "user"]
    return Collected(
        tuple(scalars),
        tuple(join_said(said)) if len(said) > 1 else (),
        (),
        _STREAM if body.get("stream") is True else _NOTHING,
        tuple(spoken),
        tuple(human[: -_HUMAN_TURNS - 1 : -1]),
        0,
        len(messages),
        True,
    )


def _setting(value: object) -> str | None:
    """Return what is to be scanned of a setting, "" for nothing; None where it is more than one value, or a text to look into."""
    if value is None or value is True or value is False:
        return ""
    if type(value) is str:
        return "" if value in CONSTANTS else None if "\\" in value or value.startswith("data:") else value
    if type(value) is int or type(value) is float:
        text = spelled(value)
        return text if len(text) >= MIN_NUMBER_CHARS else ""
    return None


def _walked(body: Mapping[str, Any]) -> Collected:
    walk = Walk()
    for ordinal, (key, value) in enumerate(body.items()):
        if key == "messages" and type(value) is list:
            walk.reads_tokens = True
            for index, message in enumerate(value):
                walk.message(message, f"messages[{index}]")
            continue
        if key not in _SCHEMAS and walk.setting(key, value):
            continue
        path, owner = walk.key(key, ordinal, "")
        before = walk.chars
        walk.reads_tokens = key not in _FIGURES
        walk.add(value, path, owner)
        if key in _SCHEMAS:
            walk.schema_chars += walk.chars - before
    walk.join_turns()
    messages = body.get("messages")
    if walk.tools_used or walk.opaque or not _DEMANDS.isdisjoint(body):
        needs = frozenset(_needs(body, tools_used=walk.tools_used, opaque=walk.opaque))
    else:
        needs = _STREAM if body.get("stream") is True else _NOTHING
    return Collected(
        scalars=tuple(walk.scalars),
        joins=tuple(walk.joins),
        opaque=tuple(walk.opaque),
        needs=needs,
        spoken=tuple([walk.scalars[index].text for _, index in walk.said]),
        human_turns=_human_turns(messages) if type(messages) is list else (),
        schema_chars=walk.schema_chars,
        messages=len(messages) if type(messages) is list else 0,
        is_plain=False,
    )


def _needs(body: Mapping[str, Any], *, tools_used: bool, opaque: Sequence[Opaque]) -> Iterator[Capability]:
    if tools_used or body.get("tools") or body.get("functions"):
        yield Capability.TOOLS
    for part in opaque:
        if part.kind in _CAPABILITY_OF_MEDIA:
            yield _CAPABILITY_OF_MEDIA[part.kind]
    modalities = body.get("modalities")
    if isinstance(modalities, list) and "audio" in modalities:
        yield Capability.AUDIO
    response_format = body.get("response_format")
    kind = response_format.get("type") if isinstance(response_format, dict) else None
    if kind in ("json_object", "json_schema"):
        yield Capability(kind)
    n = body.get("n")
    if isinstance(n, int) and n > 1:
        yield Capability.N
    if body.get("logprobs") is True or body.get("top_logprobs"):
        yield Capability.LOGPROBS
    if body.get("stream") is True:
        yield Capability.STREAM


def _human_turns(messages: list[Any]) -> tuple[str, ...]:
    """Return what the human said, newest first."""
    turns: list[str] = []
    for message in reversed(messages):
        if isinstance(message, dict) and message.get("role") == "user":
            content = message.get("content")
            parts = content if isinstance(content, list) else [content]
            texts = [part.get("text") if isinstance(part, dict) else part for part in parts]
            text = "\n".join(text for text in texts if isinstance(text, str))
            if text:
                turns.append(text)
                if len(turns) == _HUMAN_TURNS:
                    break
    return tuple(turns)
