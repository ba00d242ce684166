"""Which texts of a conversation are known again in a later turn, and which conversations stay confidential. Pure: hashing and keeping are others'."""

from __future__ import annotations

import json
import re
import unicodedata
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from app.domain import Label, Tier
from app.policy.sensitivity.fold import OTHER, fold

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from app.domain import Facts, Finding, Hints

MIN_CHARS = 40  # of the folded text: shorter ones ("Yes, please go on.") stand in many conversations
REASON = "conversation"

# Instructions are shared by all conversations of an application: remembered, one confidential turn would make every later one confidential.
_INSTRUCTING = frozenset({"system", "developer"})
_SAID = ("content", "refusal", "reasoning_content", "reasoning")
_SAID_IN_PARTS = ("text", "refusal", "thinking")
_WIDE = re.compile(r"[^\x00-\x7f]+")
_LETTERS = frozenset(f"{OTHER}zZ")  # what folding writes for letters that look like no ASCII character


@dataclass(frozen=True, slots=True)
class Earlier:
    """What is remembered of what a request carries on: whether any of it was confidential, and which deployments issued which of its blobs.

    A blob that is not in `issuers` is unknown: nobody can say what it holds, nor whose it is.
    """

    confidential: bool = False
    issuers: Mapping[str, frozenset[str]] = field(default_factory=dict, repr=False)


NOTHING = Earlier()


@dataclass(frozen=True, slots=True)
class Passages:
    """The folded texts of a request's messages that are long enough to be known again. A conversation is remembered by what was `said` in it."""

    said: tuple[str, ...] = field(default=(), repr=False)
    instructed: tuple[str, ...] = field(default=(), repr=False)


def passages(body: Mapping[str, Any]) -> Passages:
    """Return what the messages of a parsed body say; what is instructed in one conversation may have been said in another."""
    messages = body.get("messages")
    said: dict[str, None] = {}
    instructed: dict[str, None] = {}
    for message in messages if isinstance(messages, list) else ():
        if isinstance(message, dict):
            known = instructed if message.get("role") in _INSTRUCTING else said
            known.update(dict.fromkeys(filter(None, map(passage, _texts(message)))))
    prediction = body.get("prediction")
    if isinstance(prediction, dict):  # what an answer is expected to repeat was said before
        said.update(dict.fromkeys(filter(None, map(passage, _spoken(prediction.get("content"))))))
    return Passages(tuple(said), tuple(text for text in instructed if text not in said))


def passage(text: str) -> str:
    """Return a text without what is rewritten without thought: spaces, invisible characters, case, alphabets that look alike; "" for a short one."""
    folded = fold(text)
    if len(folded.text) < MIN_CHARS:
        return ""
    words = (_distinct(folded.text, folded.seen) if folded.seen else folded.text).lower().split()
    squeezed = "".join(words)
    return squeezed if len(squeezed) + len(words) - 1 >= MIN_CHARS else ""


def is_lasting(facts: Facts, hints: Hints, earlier: Earlier, label_of: Callable[[Finding], Label]) -> bool:
    """Say whether a conversation stays confidential after this turn: by hint, by a hard finding, or because an earlier turn was.

    What is confidential for another reason (a medium, a likely finding, a scanner that failed) is judged anew in each turn.
    """
    if facts.label < Label.CONFIDENTIAL:
        return False
    if hints.label is Label.CONFIDENTIAL or earlier.confidential:
        return True
    return any(finding.tier is Tier.HARD and label_of(finding) is Label.CONFIDENTIAL for finding in facts.findings)


def _texts(message: Mapping[str, Any]) -> Iterator[str]:
    for key in _SAID:
        yield from _spoken(message.get(key))
    calls = message.get("tool_calls")
    for call in (*(calls if isinstance(calls, list) else ()), {"function": message.get("function_call")}):
        function = call.get("function") if isinstance(call, dict) else None
        arguments = function.get("arguments") if isinstance(function, dict) else None
        if isinstance(arguments, str):
            yield arguments_text(arguments)
        given = custom_input(call)
        if given is not None:
            yield given


def _said_in(part: object) -> Iterator[str]:
    if isinstance(part, dict):
        yield from (text for key in _SAID_IN_PARTS if isinstance(text := part.get(key), str))
    elif isinstance(part, str):
        yield part


def custom_input(call: object) -> str | None:
    """Return what a call gives a custom tool, which takes a text and no JSON."""
    custom = call.get("custom") if isinstance(call, dict) else None
    given = custom.get("input") if isinstance(custom, dict) else None
    return given if isinstance(given, str) else None


def _spoken(content: object) -> Iterator[str]:
    """Yield a content's text, or that of each part and of all."""
    if isinstance(content, str):
        yield content
    elif isinstance(content, list):
        parts = [text for part in content for text in _said_in(part)]
        yield from parts
        if len(parts) > 1:
            yield "".join(parts)


def arguments_text(arguments: str) -> str:
    """Return a tool call's arguments in one spelling, for clients write parsed arguments anew; what is no JSON is returned as it is."""
    if len(arguments) < MIN_CHARS:
        return arguments
    try:
        return json.dumps(json.loads(arguments), sort_keys=True, ensure_ascii=False)
    except (ValueError, RecursionError):
        return arguments


def _distinct(folded: str, seen: str) -> str:
    """Return the folded text with the letters that folding cannot tell apart as they were: two Chinese texts of one length are two texts."""
    return _WIDE.sub(lambda wide: _letters(folded[wide.start() : wide.end()], wide[0]), seen)


def _letters(folded: str, seen: str) -> str:
    return "".join(unicodedata.normalize("NFKC", was) if now in _LETTERS else now for now, was in zip(folded, seen, strict=True))
