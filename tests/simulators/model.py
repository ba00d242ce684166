"""What a pretend model says, before any dialect writes it down.

It repeats the last user text after its tag (`[cloud] echo: hello`), so that a test sees who answered and what arrived. It calls a tool that is forced, and
one that is offered when the last user text contains `call the tool` (or `call twice`: two calls at once), and answers in text once a tool's result has
come back. It keeps to a JSON schema, obeys `max_tokens` and stop sequences, and thinks aloud when its name contains `think`. A token is a word.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from tests.simulators.faults import HEALTHY, Faults
from tests.simulators.schema import instance

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

Finish = Literal["stop", "stop_sequence", "length", "tool_calls"]
MULTIBYTE = "é€🙂 \u2028\u2029\u0085 naïve 日本語"
_FRAGMENT = 7


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool that the model may call."""

    name: str
    schema: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Ask:
    """A request in no dialect. `tool_choice` is auto, none, required, or the name of a tool; `json_schema` is `{}` for any JSON object."""

    model: str
    user_text: str
    prompt_tokens: int = 1
    images: int = 0
    tool_result: str | None = None
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    tools: tuple[Tool, ...] = ()
    tool_choice: str = "auto"
    parallel: bool = True
    json_schema: Mapping[str, Any] | None = None
    think: bool = False


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One call of a tool; its arguments are JSON text, in the fragments that a stream carries."""

    name: str
    arguments: str

    @property
    def fragments(self) -> list[str]:
        return fragments(self.arguments)

    @property
    def parsed(self) -> Any:
        return json.loads(self.arguments)


@dataclass(frozen=True, slots=True)
class Said:
    """An answer in no dialect. `pieces` join to the text; a piece is a token."""

    pieces: tuple[str, ...]
    finish: Finish
    calls: tuple[ToolCall, ...] = ()
    thoughts: tuple[str, ...] = ()
    stop_sequence: str | None = None

    @property
    def text(self) -> str:
        return "".join(self.pieces)

    @property
    def thought(self) -> str:
        return "".join(self.thoughts)

    @property
    def tokens(self) -> int:
        return len(self.pieces) + len(self.thoughts) + sum(len(call.fragments) for call in self.calls)


def words(text: str) -> list[str]:
    """Cut a text into words, each with the space before it; they join to the text."""
    return re.findall(r"\s*\S+|\s+\Z", text)


def fragments(text: str) -> list[str]:
    return [text[i : i + _FRAGMENT] for i in range(0, len(text), _FRAGMENT)]


def count_tokens(texts: Iterable[str]) -> int:
    return max(1, sum(len(words(text)) for text in texts))


def dumps(value: Any) -> str:
    """Write JSON as providers do: characters as they are, no spaces."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def speak(ask: Ask, *, tag: str, faults: Faults = HEALTHY, choice: int = 0, says: str | None = None) -> Said:
    """Answer a request. `choice` numbers the answers when several are wanted; `says` replaces the echo."""
    thoughts = tuple(words(f"thinking about: {ask.user_text}")) if ask.think else ()
    calls = _calls(ask)
    if calls:
        return Said((), "tool_calls", calls, thoughts)
    if ask.json_schema is not None and says is None:
        return _limited(fragments(dumps(instance(ask.json_schema) if ask.json_schema else {"echo": ask.user_text, "tag": tag})), ask, None, thoughts)
    text, stopped = _stopped(_text(ask, tag, faults, choice) if says is None else says, ask.stop)
    pieces = words(text)
    if "bigchunk" in faults:
        pieces.append("x" * (faults["bigchunk"] * 1024))
    return _limited(pieces, ask, stopped, thoughts)


def _text(ask: Ask, tag: str, faults: Faults, choice: int) -> str:
    parts = [f"[{tag}] echo: {ask.user_text}"]
    if ask.tool_result is not None:
        parts.append(f"tool said: {ask.tool_result}")
    if ask.images:
        parts.append(f"(images: {ask.images})")
    if choice:
        parts.append(f"#{choice}")
    if "splitutf8" in faults:
        parts.append(MULTIBYTE)
    parts.extend(f"w{i}" for i in range(faults.get("words") or 0))
    return " ".join(parts)


def _calls(ask: Ask) -> tuple[ToolCall, ...]:
    if not ask.tools or ask.tool_choice == "none":
        return ()
    twice = "call twice" in ask.user_text
    wanted = ask.tool_result is None and (twice or "call the tool" in ask.user_text)
    if ask.tool_choice == "auto" and not wanted:
        return ()
    named = [tool for tool in ask.tools if tool.name == ask.tool_choice] or list(ask.tools)
    chosen = (named * 2)[:2] if twice and ask.parallel else named[:1]
    return tuple(ToolCall(tool.name, dumps(instance(tool.schema) if tool.schema else {})) for tool in chosen)


def _stopped(text: str, stop: tuple[str, ...]) -> tuple[str, str | None]:
    found = sorted((text.index(sequence), sequence) for sequence in stop if sequence and sequence in text)
    return (text[: found[0][0]], found[0][1]) if found else (text, None)


def _limited(pieces: list[str], ask: Ask, stopped: str | None, thoughts: tuple[str, ...]) -> Said:
    room = None if ask.max_tokens is None else max(0, ask.max_tokens - len(thoughts))
    if room is not None and len(pieces) > room:
        return Said(tuple(pieces[:room]), "length", (), thoughts[: ask.max_tokens])
    return Said(tuple(pieces), "stop_sequence" if stopped else "stop", (), thoughts, stopped)
