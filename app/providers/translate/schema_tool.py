"""A JSON schema for models without structured output: a tool of that schema, which the model is made to call, and whose call is the answer."""

from __future__ import annotations

from dataclasses import replace
from enum import Enum
from typing import TYPE_CHECKING, Any

from app.providers.translate.pieces import Piece

if TYPE_CHECKING:
    from collections.abc import Mapping

    from app.providers.translate.pieces import ToolPiece


class Choice(Enum):
    """Which tools the model must call, where one of them stands for a schema."""

    SCHEMA = "the schema's"
    ANY = "any: the caller's tools, or the schema's"
    CALLERS = "as the caller said"


def choice_of(params: Mapping[str, Any]) -> Choice:
    """Return what comes nearest to OpenAI, where a model answers in the schema or calls the caller's tools."""
    choice = params.get("tool_choice", "auto")
    if "tools" not in params or choice == "none":
        return Choice.SCHEMA
    return Choice.ANY if choice == "auto" else Choice.CALLERS


def downgraded(params: Mapping[str, Any], mapped: Mapping[str, Any]) -> set[str]:
    """Say whether LiteLLM made `auto` of a forced tool, for a model that cannot be forced."""
    forced = params.get("tool_choice", "auto") not in ("auto", "none")
    choice = mapped.get("tool_choice") or {}
    return {"tool_choice"} if forced and (choice.get("type") == "auto" or "auto" in choice) else set()


def choice_last(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters in the order in which the caller's choice of tools is LiteLLM's last word."""
    ordered = dict(params)
    if "tool_choice" in ordered:
        ordered["tool_choice"] = ordered.pop("tool_choice")
    return ordered


class SchemaTool:
    """Turns the call of the tool that stands for a JSON schema back into content.

    Models without structured output are made to call a tool of that schema. What they say before the call is no part of the answer; it is held until the
    end, because without the call it is the answer.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._index: int | None = None
        self._held: list[Piece] = []
        self._others = False

    def take(self, piece: Piece) -> list[Piece]:
        """Return what a piece becomes."""
        content = "".join(tool.arguments for tool in piece.tools if self._is_schema(tool))
        tools = tuple(tool for tool in piece.tools if tool.index != self._index)
        self._others = self._others or bool(tools)
        if self._index is None and piece.content:
            self._held.append(Piece(piece.choice, content=piece.content))
        out = replace(piece, content=content, tools=tools, finish=None)
        finished = [] if piece.finish is None else [*self._unheld(), Piece(piece.choice, finish=self._finish(piece.finish))]
        return [out, *finished] if content or tools or piece.reasoning else finished

    def _is_schema(self, tool: ToolPiece) -> bool:
        if tool.name == self._name and self._index is None:
            self._index = tool.index
        return tool.index == self._index

    def _unheld(self) -> list[Piece]:
        held, self._held = self._held, []
        return held if self._index is None else []

    def _finish(self, reason: str) -> str:
        return "stop" if reason == "tool_calls" and self._index is not None and not self._others else reason
