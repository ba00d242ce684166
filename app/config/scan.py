"""The grammar of gateway.yaml's `scan` section: what findings mean, what else to find, and what to leave alone."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

from app.config.faults import Fault
from app.config.reading import Reader, echo
from app.config.second_opinion import NAME, read_second_opinion
from app.config.specs import ExpressionSpec, ScanSpec
from app.config.yaml_tree import Table
from app.domain import Label, Tier

if TYPE_CHECKING:
    from collections.abc import Iterator

    from app.config.yaml_tree import Node

_KEYS: Final = ("allow", "default", "labels", "allow_values", "allow_domains", "patterns", "words", NAME)
_UNSCANNABLE: Final = ("image", "audio", "video", "file", "tokens", "part", "blob")
# Kinds go into response headers and rules.
_KIND: Final = re.compile(r"[a-z][a-z0-9_]{0,39}")
_DOMAIN: Final = re.compile(r"@?[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63})+\.?")
_MIN_CHARS: Final = 2  # of a word: a shorter one stands in every text
_MAX_CHARS: Final = 200


def read_scan(reader: Reader, node: Node | None) -> ScanSpec:
    """Return the `scan` section."""
    if node is None:
        return ScanSpec()
    entries = {key: value for key, (_, value) in reader.table(node, "scan", _KEYS).items()}
    default = reader.label(entries["default"], "default") if "default" in entries else None
    labels = dict(_labels(reader, entries["labels"])) if "labels" in entries else {}
    return ScanSpec(
        allow=frozenset(_allowed(reader, entries["allow"])) if "allow" in entries else frozenset(),
        default=Label.PUBLIC if default is None else default,
        labels={key: label for key, (_, label) in labels.items()},
        label_lines={key: line for key, (line, _) in labels.items()},
        allow_values=tuple(_texts(reader, entries["allow_values"], "allow_values")) if "allow_values" in entries else (),
        allow_domains=tuple(_domains(reader, entries["allow_domains"])) if "allow_domains" in entries else (),
        patterns=tuple(_patterns(reader, entries["patterns"])) if "patterns" in entries else (),
        words=tuple(_words(reader, entries["words"])) if "words" in entries else (),
        second_opinion=read_second_opinion(reader, entries[NAME]) if NAME in entries else None,
    )


def _allowed(reader: Reader, node: Node) -> Iterator[str]:
    for item in reader.sequence(node, "allow"):
        kind = reader.text(item, "allow")
        if kind is not None and kind not in _UNSCANNABLE:
            reader.fault(item.line, f"allow does not know{echo(kind)}; expected {', '.join(_UNSCANNABLE)}")
        elif kind is not None:
            yield kind


def _labels(reader: Reader, node: Node) -> Iterator[tuple[str, tuple[int, Label]]]:
    for key, (line, value) in reader.table(node, "labels").items():
        label = reader.label(value, f"the label of {key}") if _is_kind(reader, key, line, "a key of labels") else None
        if label is not None:
            yield key, (line, label)


def _texts(reader: Reader, node: Node, what: str) -> Iterator[str]:
    for item in reader.sequence(node, what):
        text = reader.text(item, f"an entry of {what}")
        if text is not None and _is_word(text):
            yield text
        elif text is not None:
            reader.fault(item.line, _SIZE.format(f"an entry of {what}"))


_SIZE: Final = "{} must have " + f"{_MIN_CHARS} to {_MAX_CHARS} characters, a letter or digit among them"


def _is_word(text: str) -> bool:
    return _MIN_CHARS <= len(text) <= _MAX_CHARS and any(map(str.isalnum, text))


def _domains(reader: Reader, node: Node) -> Iterator[str]:
    for item in reader.sequence(node, "allow_domains"):
        text = reader.text(item, "an entry of allow_domains")
        if text is not None and _DOMAIN.fullmatch(text):
            yield text.lower().strip("@.")
        elif text is not None:
            reader.fault(item.line, f"an entry of allow_domains must be a domain such as example.com{echo(text)}")


def _patterns(reader: Reader, node: Node) -> Iterator[ExpressionSpec]:
    for item in reader.sequence(node, "patterns"):
        entries = reader.table(item, "an entry of patterns", ("kind", "regex", "tier"))
        if "kind" not in entries or "regex" not in entries:
            reader.fault(item.line, "an entry of patterns needs `kind` and `regex`, such as {kind: ticket, regex: '\\bPRJ-\\d{4,}', tier: hard}")
            continue
        kind, regex = reader.text(entries["kind"][1], "kind"), reader.text(entries["regex"][1], "regex")
        tier = reader.choice(entries["tier"][1], "tier", Tier) if "tier" in entries else Tier.HARD
        if kind is not None and regex is not None and tier is not None and _is_kind(reader, kind, entries["kind"][0], "kind"):
            yield ExpressionSpec(kind, regex, tier, entries["regex"][0])


def _words(reader: Reader, node: Node) -> Iterator[tuple[str, str]]:
    for kind, (line, value) in reader.table(node, "words").items():
        if not _is_kind(reader, kind, line, "a key of words"):
            continue
        if isinstance(value, Table):
            entries = reader.table(value, f"words of {kind}", ("file",))
            file = reader.text(entries["file"][1], "file") if "file" in entries else None
            if "file" not in entries:
                reader.fault(line, f"words of {kind} must be a list, or {{file: NAME}}")
            elif file is not None:
                yield from ((kind, word) for word in _lines(reader, file, entries["file"][0]))
        else:
            yield from ((kind, word) for word in _texts(reader, value, f"words of {kind}"))


def _lines(reader: Reader, name: str, line: int) -> Iterator[str]:
    """Yield the words of a file, one a line; empty lines and those that start with # are left out. The path is relative to gateway.yaml."""
    path = Path(reader.file).parent / name
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as exc:
        reader.fault(line, f"the file of words cannot be read ({exc.strerror}): {path.as_posix()}")
        return
    except UnicodeDecodeError:
        reader.fault(line, f"the file of words is not UTF-8 text: {path.as_posix()}")
        return
    for number, row in enumerate(text.splitlines(), 1):
        word = row.strip()
        if word and not word.startswith("#"):
            if _is_word(word):
                yield word
            else:
                reader.faults.append(Fault(path.as_posix(), number, _SIZE.format("a word")))


def _is_kind(reader: Reader, text: str, line: int, what: str) -> bool:
    if _KIND.fullmatch(text):
        return True
    reader.fault(line, f"{what} must be a kind such as `project_name`: a-z, 0-9 and _, 40 at most, a letter first")
    return False
