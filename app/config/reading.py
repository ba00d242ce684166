"""Reads typed values out of a YAML tree; each reader returns None for what it cannot read, and says so in the faults."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Final, TypeVar

from app.config.faults import Fault, alternatives, suggestion
from app.config.yaml_tree import Scalar, Sequence, Table
from app.domain import Label

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from enum import StrEnum

    from app.config.yaml_tree import Node

    _Choice = TypeVar("_Choice", bound=StrEnum)
_Value = TypeVar("_Value")

# Names go into response headers, metric labels and URLs.
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@+-]{0,127}")
_MAX_ECHO: Final = 40
_TRUTH: Final = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}


class Reader:
    """Reads values of one file. With `allow_unset`, a value whose variable is unset is None without a fault."""

    def __init__(self, file: str, faults: list[Fault], *, allow_unset: bool = False) -> None:
        self.file = file
        self.faults = faults
        self._allow_unset = allow_unset

    def allowing_unset(self) -> Reader:
        """Return a reader for the parts where an unset variable is no fault."""
        return Reader(self.file, self.faults, allow_unset=True)

    def fault(self, line: int, sentence: str) -> None:
        """Add one fault."""
        self.faults.append(Fault(self.file, line, sentence))

    def text(self, node: Node, what: str) -> str | None:
        """Read a word or a sentence."""
        if not isinstance(node, Scalar):
            self.fault(node.line, f"{what} must be one value, not {_kind(node)}")
            return None
        if node.missing:
            if not self._allow_unset:
                self.fault(node.line, f"{alternatives(node.missing, quote=False, last='and')} {'is' if len(node.missing) == 1 else 'are'} not set")
            return None
        if node.is_null or not node.text.strip():
            self.fault(node.line, f"{what} is empty; write a value, or leave the key out")
            return None
        return node.text.strip()

    def name(self, node: Node, what: str) -> str | None:
        """Read the name of something of this file."""
        text = self.text(node, what)
        return text if text is None or self.is_name(text, node.line, what) else None

    def is_name(self, text: str, line: int, what: str) -> bool:
        """Say whether `text` can be a name."""
        if _NAME.fullmatch(text):
            return True
        self.fault(line, f"{what} must be 1 to 128 of A-Z, a-z, 0-9, `.`, `_`, `:`, `/`, `@`, `+`, `-`, and start with a letter or digit")
        return False

    def integer(self, node: Node, what: str, *, at_least: int = 1) -> int | None:
        """Read a whole number."""
        text = self.text(node, what)
        if text is None:
            return None
        try:
            value = int(text)
        except ValueError:
            self.fault(node.line, f"{what} must be a whole number")
            return None
        if value < at_least:
            self.fault(node.line, f"{what} must be at least {at_least}")
            return None
        return value

    def number(self, node: Node, what: str) -> float | None:
        """Read a number that is not negative."""
        text = self.text(node, what)
        if text is None:
            return None
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not math.isfinite(value) or value < 0:
            self.fault(node.line, f"{what} must be a number of at least 0")
            return None
        return value

    def boolean(self, node: Node, what: str) -> bool | None:
        """Read true or false."""
        text = self.text(node, what)
        if text is not None and text.lower() not in _TRUTH:
            self.fault(node.line, f"{what} must be true or false")
        return None if text is None else _TRUTH.get(text.lower())

    def label(self, node: Node, what: str) -> Label | None:
        """Read public, internal or confidential."""
        text = self.text(node, what)
        if text is None:
            return None
        try:
            return Label.parse(text)
        except ValueError:
            self.fault(node.line, f"{what}{echo(text, ': ')} is not known; expected public, internal or confidential")
            return None

    def choice(self, node: Node, what: str, kind: type[_Choice]) -> _Choice | None:
        """Read one word of an enumeration."""
        text = self.text(node, what)
        if text is None:
            return None
        if text.lower() not in {member.value for member in kind}:
            self.unknown(node, what, text, [member.value for member in kind])
            return None
        return kind(text.lower())

    def unknown(self, node: Node, what: str, text: str, words: Iterable[str]) -> None:
        """Refuse a word that is none of `words`."""
        self.fault(node.line, f"{what}{echo(text, ': ')} is not known{suggestion(text.lower(), words)}")

    def one_or_more(self, node: Node, what: str, read: Callable[[Node, str], _Value | None]) -> tuple[_Value, ...]:
        """Read a value, or a list of at least one; what cannot be read is left out."""
        items = node.items if isinstance(node, Sequence) else (node,)
        if not items:
            self.fault(node.line, f"{what} is an empty list; write at least one, or leave the key out")
        return tuple(value for value in (read(item, what) for item in items) if value is not None)

    def sequence(self, node: Node, what: str) -> tuple[Node, ...]:
        """Read a list; an empty value is an empty list."""
        if isinstance(node, Sequence):
            return node.items
        if not (isinstance(node, Scalar) and node.is_null):
            self.fault(node.line, f"{what} must be a list")
        return ()

    def table(self, node: Node, what: str, known: Iterable[str] | None = None) -> Mapping[str, tuple[int, Node]]:
        """Read a mapping; a key that is not in `known` is a fault and left out. An empty value is an empty mapping."""
        if isinstance(node, Scalar) and node.is_null:
            return {}
        if not isinstance(node, Table):
            self.fault(node.line, f"{what} must be a mapping of keys to values")
            return {}
        if known is None:
            return node.entries
        words = list(known)
        for key, (line, _) in node.entries.items():
            if key not in words:
                self.fault(line, f"unknown key{echo(key)} in {what}{suggestion(key, words)}")
        return {key: entry for key, entry in node.entries.items() if key in words}


def missing_variables(node: Node) -> tuple[str, ...]:
    """Return the unset variables that stand anywhere in `node`, each once."""
    if isinstance(node, Scalar):
        return node.missing
    nodes = node.items if isinstance(node, Sequence) else tuple(value for _, value in node.entries.values())
    return tuple(dict.fromkeys(name for child in nodes for name in missing_variables(child)))


def echo(text: str, before: str = " ") -> str:
    """Return ` "text"` where it is short enough to be a slip of the pen, and no secret in the wrong place."""
    return f'{before}"{text}"' if len(text) <= _MAX_ECHO and text.isprintable() else ""


def _kind(node: Node) -> str:
    return "a list" if isinstance(node, Sequence) else "a mapping"
