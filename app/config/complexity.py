"""The grammar of gateway.yaml's `complexity` section: what each signal weighs, by which words it is told, and where the tiers begin."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from app.config.reading import Reader, echo
from app.config.specs import ComplexitySpec, Named, SignalSpec, TargetSpec
from app.domain import CUTS, Cuts

if TYPE_CHECKING:
    from collections.abc import Iterator

    from app.config.yaml_tree import Node

_KEYS: Final = ("medium", "complex", "target_share", "bounds", "window", "simple_discount", "weights", "words", "ignore", "signals")
_SIGNAL_KEYS: Final = ("name", "weight", "words", "regex", "enough")
_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,39}")  # names go into explanations
_MAX_CHARS: Final = 200
_MIN_WINDOW, _MAX_WINDOW = 100, 100_000  # fewer scores say nothing of a share; more would take megabytes
_BOUNDS: Final = (0.15, 0.8)
_DEFAULT_WINDOW: Final = 1_000
_DISCOUNT: Final = 0.5
_WEIGHT: Final = 0.4


def read_complexity(reader: Reader, node: Node | None) -> ComplexitySpec:
    """Return the `complexity` section."""
    if node is None:
        return ComplexitySpec()
    entries = reader.table(node, "complexity", _KEYS)
    values = {key: value for key, (_, value) in entries.items()}
    cuts = Cuts(
        *(_share(reader, values[key], key, default) if key in values else default for key, default in (("medium", CUTS.medium), ("complex", CUTS.complex)))
    )
    if cuts.medium > cuts.complex:
        reader.fault(node.line, f"medium ({cuts.medium}) is above complex ({cuts.complex}); write the lower score for medium")
    weights = reader.table(values["weights"], "weights") if "weights" in values else {}
    words = reader.table(values["words"], "words") if "words" in values else {}
    return ComplexitySpec(
        cuts=cuts,
        target=_target(reader, values, node.line),
        simple_discount=_share(reader, values["simple_discount"], "simple_discount", _DISCOUNT) if "simple_discount" in values else _DISCOUNT,
        weights={Named(name, line): _share(reader, value, f"the weight of {name}", 0.0) for name, (line, value) in weights.items()},
        words={Named(name, line): tuple(_texts(reader, value, f"words of {name}")) for name, (line, value) in words.items()},
        ignore=tuple(_texts(reader, values["ignore"], "ignore")) if "ignore" in values else (),
        signals=tuple(_signals(reader, values["signals"])) if "signals" in values else (),
    )


def _share(reader: Reader, node: Node, what: str, default: float) -> float:
    value = reader.number(node, what)
    if value is not None and value > 1:
        reader.fault(node.line, f"{what} must be from 0 to 1")
        return default
    return default if value is None else value


def _target(reader: Reader, values: dict[str, Node], line: int) -> TargetSpec | None:
    """Return the share of complex requests that the cut is to follow, and how far it may go."""
    low, high = _bounds(reader, values["bounds"]) if "bounds" in values else _BOUNDS
    window = reader.integer(values["window"], "window", at_least=_MIN_WINDOW) if "window" in values else _DEFAULT_WINDOW
    if window is not None and window > _MAX_WINDOW:
        reader.fault(values["window"].line, f"window must be at most {_MAX_WINDOW}")
    if "target_share" in values:
        return TargetSpec(_share(reader, values["target_share"], "target_share", 0.0), low, high, window or _DEFAULT_WINDOW)
    for key in ("bounds", "window"):
        if key in values:
            reader.fault(line, f"{key} says how the cut follows target_share; write target_share too, or leave {key} out")
    return None


def _bounds(reader: Reader, node: Node) -> tuple[float, float]:
    items = [_share(reader, item, "an entry of bounds", 0.0) for item in reader.sequence(node, "bounds")]
    if len(items) != 2 or items[0] >= items[1]:
        reader.fault(node.line, "bounds must be two scores, the lower first, such as [0.2, 0.6]")
        return _BOUNDS
    return items[0], items[1]


def _texts(reader: Reader, node: Node, what: str) -> Iterator[str]:
    for item in reader.sequence(node, what):
        text = reader.text(item, f"an entry of {what}")
        if text is not None and text.strip() and len(text) <= _MAX_CHARS:
            yield " ".join(text.split())
        elif text is not None:
            reader.fault(item.line, f"an entry of {what} must have 1 to {_MAX_CHARS} characters")


def _signals(reader: Reader, node: Node) -> Iterator[SignalSpec]:
    for item in reader.sequence(node, "signals"):
        entries = reader.table(item, "an entry of signals", _SIGNAL_KEYS)
        values = {key: value for key, (_, value) in entries.items()}
        name = reader.text(values["name"], "name") if "name" in values else None
        if "name" not in values or not ("words" in values or "regex" in values):
            reader.fault(
                item.line, "an entry of signals needs `name`, and `words` or `regex`, such as {name: legal, words: [indemnify, estoppel], weight: 0.4}"
            )
            continue
        if name is None or not _NAME.fullmatch(name):
            reader.fault(values["name"].line, f"name must be a word such as `legal`: a-z, 0-9 and _, 40 at most, a letter first{echo(name or '')}")
            continue
        yield SignalSpec(
            name=name,
            line=item.line,
            weight=_share(reader, values["weight"], "weight", _WEIGHT) if "weight" in values else _WEIGHT,
            words=tuple(_texts(reader, values["words"], "words")) if "words" in values else (),
            regexes=reader.one_or_more(values["regex"], "regex", lambda one, what: _expression(reader, one, what)) if "regex" in values else (),
            enough=(reader.integer(values["enough"], "enough") if "enough" in values else 1) or 1,
        )


def _expression(reader: Reader, node: Node, what: str) -> Named | None:
    text = reader.text(node, what)
    return None if text is None else Named(text, node.line)
