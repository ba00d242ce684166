"""A call of a tool that the caller forces, from a server that has no `tool_choice`: the answer's text is held to such a call, and read as one.

The text is `{"name": ..., "arguments": {...}}`, which is also how most models write a call, so that Ollama may read it as one itself.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import orjson

from app.domain import Failure
from app.errors import UpstreamError
from app.providers.translate.grammar import one_of
from app.providers.translate.pieces import Piece, ToolPiece

if TYPE_CHECKING:
    from collections.abc import Sequence

_HEAD = re.compile(r'\s*\{\s*"name"\s*:\s*"([A-Za-z0-9_-]{1,64})"\s*,\s*"arguments"\s*:\s*')
_HEAD_LIMIT = 4096  # characters: a model that is held to a grammar may still write white space without end
_CLOSING = "} \t\r\n"


def call_schema(tools: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the schema of a text that calls one of the tools."""
    return one_of({tool["function"]["name"]: tool["function"]["parameters"] for tool in tools})


class ForcedCall:
    """Turns the text of a call into the call. `whose` is the deployment's name, for its operator."""

    def __init__(self, whose: str) -> None:
        self._whose = whose
        self._head = ""  # what was said before the arguments
        self._called = False
        self._native = False
        self._arguments: list[str] = []
        self._closing = ""  # what ends the arguments, or the text around them

    def take(self, piece: Piece) -> list[Piece]:
        """Return what a piece becomes. Raises UpstreamError (BROKEN) at the end of an answer that calls nothing."""
        self._native = self._native or bool(piece.tools)
        said = [replace(piece, content="", finish=None)] if piece.reasoning or piece.tools else []
        if piece.content:
            said += self._read(piece)
        if piece.finish is not None:
            said += [*self._end(piece), Piece(piece.choice, finish=piece.finish)]
        return said

    def _read(self, piece: Piece) -> list[Piece]:
        if self._called:
            return self._more(piece.choice, piece.content)
        self._head += piece.content
        head = _HEAD.match(self._head)
        if head is None:
            if len(self._head) > _HEAD_LIMIT and not self._native:
                raise self._no_call()
            return []
        self._called = True
        return [Piece(piece.choice, tools=(ToolPiece(0, name=head[1]),)), *self._more(piece.choice, self._head[head.end() :])]

    def _more(self, choice: int, text: str) -> list[Piece]:
        """Return more of the arguments; their end is only known at the end, because a bracket more closes the text around them."""
        text = self._closing + text
        said = text.rstrip(_CLOSING)
        self._closing = text[len(said) :]
        return self._say(choice, said)

    def _say(self, choice: int, arguments: str) -> list[Piece]:
        self._arguments.append(arguments)
        return [Piece(choice, tools=(ToolPiece(0, arguments=arguments),))] if arguments else []

    def _end(self, piece: Piece) -> list[Piece]:
        if self._called:
            inner = self._closing.rstrip().removesuffix("}").rstrip()
            whole = _is_object("".join(self._arguments) + inner)
            return self._say(piece.choice, inner if whole else self._closing.rstrip())
        if self._native:
            return [Piece(piece.choice, content=self._head)]
        if piece.finish == "length":  # cut before it came to a call
            return []
        raise self._no_call()

    def _no_call(self) -> UpstreamError:
        remedy = f"The model of {self._whose} answered without the call that `tool_choice` forces: its server does not hold it to `format`."
        return UpstreamError(Failure.BROKEN, remedy=remedy)


def _is_object(text: str) -> bool:
    try:
        return isinstance(orjson.loads(text), dict)
    except orjson.JSONDecodeError:
        return False
