"""YAML as a tree that knows its lines, with `${NAME}` filled in from the environment inside values.

Every scalar stays text: a deployment may be called `no` or `4.1`, and whoever reads a node knows which type it wants.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import yaml

from app.config.faults import Fault
from app.config.yaml_words import in_words

if TYPE_CHECKING:
    from collections.abc import Mapping

# An alias (`*x`) is walked again each time it stands somewhere, so that a few lines can name millions of nodes.
_MAX_NODES: Final = 50_000
_VARIABLE = re.compile(r"\$\$\{|\$\{([A-Za-z_][A-Za-z0-9_]*)\}|\$\{")
_NULL: Final = "tag:yaml.org,2002:null"
_PLAIN_TAGS: Final = frozenset(f"tag:yaml.org,2002:{kind}" for kind in ("str", "int", "float", "bool", "null", "timestamp", "merge", "value", "map", "seq"))


@dataclass(frozen=True, slots=True)
class Scalar:
    """One value as it is written, variables filled in. `missing` are the variables that are unset; `named` all that stood in it."""

    line: int
    text: str = field(repr=False)
    is_null: bool = False
    missing: tuple[str, ...] = ()
    named: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Sequence:
    """A list."""

    line: int
    items: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """A mapping: its keys with the line each stands on."""

    line: int
    entries: Mapping[str, tuple[int, Node]]


Node = Scalar | Sequence | Table


def parse_yaml(content: bytes, file: str, env: Mapping[str, str], faults: list[Fault]) -> Node | None:
    """Return the document's tree, or None when it cannot be read; what is wrong is added to `faults`."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        faults.append(Fault(file, content.count(b"\n", 0, exc.start) + 1, "this is not UTF-8 text; save the file as UTF-8"))
        return None
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as exc:
        line, sentence = in_words(exc)
        faults.append(Fault(file, line, f"this is not YAML: {sentence}"))
        return None
    except yaml.reader.ReaderError as exc:
        faults.append(Fault(file, text.count("\n", 0, exc.position) + 1, "this is not YAML: it holds a control character"))
        return None
    except RecursionError:
        faults.append(Fault(file, 1, "this is nested too deeply"))
        return None
    if root is None or (isinstance(root, yaml.ScalarNode) and root.tag == _NULL):
        faults.append(Fault(file, 1, "the file is empty; write at least deployments and rules"))
        return None
    return _Builder(file, env, faults).build(root)


class _Builder:
    """Turns PyYAML's nodes into ours."""

    def __init__(self, file: str, env: Mapping[str, str], faults: list[Fault]) -> None:
        self._file = file
        self._env = env
        self._faults = faults
        self._open: set[int] = set()
        self._count = 0

    def build(self, node: yaml.Node) -> Node:
        """Return `node` as ours; what it cannot be is added to the faults, and stands as null."""
        line = node.start_mark.line + 1
        self._count += 1
        if id(node) in self._open:
            return self._null(line, "an alias stands inside what it names; write it out")
        if self._count > _MAX_NODES:
            return self._null(line, "the file is too large; leave out aliases", once=self._count == _MAX_NODES + 1)
        if node.tag not in _PLAIN_TAGS:
            return self._null(line, "tags such as !x are not read; leave it out")
        self._open.add(id(node))
        try:
            return self._build(node, line)
        finally:
            self._open.discard(id(node))

    def _build(self, node: yaml.Node, line: int) -> Node:
        if isinstance(node, yaml.MappingNode):
            return Table(line, self._entries(node))
        if isinstance(node, yaml.SequenceNode):
            return Sequence(line, tuple(self.build(item) for item in node.value))
        if node.tag == _NULL:
            return Scalar(line, "", is_null=True)
        return self._scalar(node.value, line)

    def _entries(self, node: yaml.MappingNode) -> dict[str, tuple[int, Node]]:
        merged: dict[str, tuple[int, Node]] = {}
        own: dict[str, tuple[int, Node]] = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            if key.tag == "tag:yaml.org,2002:merge":
                merged = {**self._merged(self.build(value), line), **merged}
            elif not isinstance(key, yaml.ScalarNode):
                self._fault(line, "a key must be a word")
            elif key.value in own:
                self._fault(line, f'"{key.value}" stands here a second time (first in line {own[key.value][0]}); leave one out')
            else:
                own[key.value] = (line, self.build(value))
        return merged | own

    def _merged(self, value: Node, line: int) -> Mapping[str, tuple[int, Node]]:
        """Return what `<<` brings in; of several mappings the first wins."""
        tables = value.items if isinstance(value, Sequence) else (value,)
        entries: dict[str, tuple[int, Node]] = {}
        for table in tables:
            if isinstance(table, Table):
                entries = {**table.entries, **entries}
            else:
                self._fault(line, "<< takes an alias of a mapping, or a list of them")
        return entries

    def _scalar(self, text: str, line: int) -> Scalar:
        missing: list[str] = []
        named: list[str] = []

        def fill(match: re.Match[str]) -> str:
            name = match[1]
            if match[0] == "$${":
                return "${"
            if name is None:
                self._fault(line, "${ is not closed around a name; write ${NAME}, or $${ for the two characters themselves")
                return ""
            value = self._env.get(name, "").strip()
            named.append(name)
            if not value:
                missing.append(name)
            return value

        filled = _VARIABLE.sub(fill, text)
        return Scalar(line, filled, missing=tuple(dict.fromkeys(missing)), named=tuple(dict.fromkeys(named)))

    def _null(self, line: int, sentence: str, *, once: bool = True) -> Scalar:
        if once:
            self._fault(line, sentence)
        return Scalar(line, "", is_null=True)

    def _fault(self, line: int, sentence: str) -> None:
        self._faults.append(Fault(self._file, line, sentence))
