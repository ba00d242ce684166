"""The grammar of rules: which conditions and actions there are, and how each is read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from app.config.hours import HOUR_KEYS, describe_hours, read_hours
from app.domain import Capability, ComplexityTier, Label
from app.domain_routing import TAG, Condition, Rule

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from app.config.reading import Reader
    from app.config.yaml_tree import Node


@dataclass(frozen=True, slots=True)
class RuleSpec:
    """A rule and where it stands. `use_line` is the line of its `use`."""

    rule: Rule
    line: int
    use_line: int


def _labels(reader: Reader, node: Node, what: str) -> frozenset[Any] | None:
    return frozenset(reader.one_or_more(node, what, reader.label)) or None


def _tiers(reader: Reader, node: Node, what: str) -> frozenset[Any] | None:
    return frozenset(reader.one_or_more(node, what, lambda item, name: reader.choice(item, name, ComplexityTier))) or None


def _capabilities(reader: Reader, node: Node, what: str) -> frozenset[Any] | None:
    return frozenset(reader.one_or_more(node, what, lambda item, name: reader.choice(item, name, Capability))) or None


def _names(reader: Reader, node: Node, what: str) -> frozenset[Any] | None:
    return frozenset(reader.one_or_more(node, what, reader.name)) or None


def _tags(reader: Reader, node: Node, what: str) -> frozenset[Any] | None:
    def read(item: Node, name: str) -> str | None:
        text = reader.text(item, name)
        if text is None or TAG.fullmatch(text):
            return text
        reader.fault(item.line, f"{name} must be 1 to 64 of A-Z, a-z, 0-9, `.`, `_`, `-`, and start with a letter or digit")
        return None

    return frozenset(reader.one_or_more(node, what, read)) or None


def _hints(reader: Reader, node: Node, what: str) -> frozenset[Any] | None:
    words = [*map(str, Label), *map(str, ComplexityTier)]

    def read(item: Node, name: str) -> str | None:
        text = reader.text(item, name)
        if text is None or text.lower() in words:
            return text and text.lower()
        reader.unknown(item, name, text, words)
        return None

    return frozenset(reader.one_or_more(node, what, read)) or None


def _tokens(reader: Reader, node: Node, what: str) -> int | None:
    return reader.integer(node, what, at_least=0)


def _score(reader: Reader, node: Node, what: str) -> float | None:
    score = reader.number(node, what)
    if score is not None and score > 1:
        reader.fault(node.line, f"{what} must be a score from 0 to 1")
        return None
    return score


def _glob(reader: Reader, node: Node, what: str) -> str | None:
    return reader.text(node, what)


# The whole grammar of `when` beside its time: the key in the file, the field of Condition, and the reader of its value. Several words are alternatives, but
# for `needs`, which asks for all of them.
_CONDITIONS: Final[Mapping[str, tuple[str, Callable[[Reader, Node, str], Any]]]] = {
    "label": ("labels", _labels),
    "complexity": ("complexities", _tiers),
    "min_score": ("min_score", _score),
    "max_score": ("max_score", _score),
    "min_tokens": ("min_tokens", _tokens),
    "max_tokens": ("max_tokens", _tokens),
    "needs": ("needs", _capabilities),
    "findings": ("findings", _names),
    "model": ("model", _glob),
    "key": ("keys", _names),
    "tag": ("tags", _tags),
    "hint": ("hints", _hints),
}
_RANGES: Final = (("min_tokens", "max_tokens"), ("min_score", "max_score"))
_KEYS: Final = ("name", "when", "use", "reject", "require")


def read_rules(reader: Reader, node: Node | None, line: int) -> tuple[RuleSpec, ...]:
    """Return the rules in their order; a rule that cannot be read is left out, with a fault."""
    if node is None:
        reader.fault(line, "rules is missing; write at least `rules: [{use: POOL}]`")
        return ()
    items = reader.sequence(node, "rules")
    if not items:
        reader.fault(node.line, "rules is empty; write at least `- {use: POOL}`")
    specs = [_read_rule(reader, item, place) for place, item in enumerate(items, 1)]
    rules = tuple(spec for spec in specs if spec is not None)
    seen: dict[str, int] = {}
    for spec in rules:
        if spec.rule.name in seen:
            reader.fault(spec.line, f'the name "{spec.rule.name}" is taken by the rule of line {seen[spec.rule.name]}; write another')
        seen.setdefault(spec.rule.name, spec.line)
    return rules


def _read_rule(reader: Reader, node: Node, place: int) -> RuleSpec | None:
    before = len(reader.faults)
    entries = reader.table(node, "a rule", _KEYS)
    name = reader.name(entries["name"][1], "a rule's name") if "name" in entries else f"rule-{place}"
    when = _read_condition(reader, entries["when"][1]) if "when" in entries else Condition()
    if "use" not in entries and "reject" not in entries:
        reader.fault(node.line, "a rule needs `use`: the name of a pool or deployment, or `reject`: a sentence for the caller")
        return None
    for other in ("use", "require"):
        if "reject" in entries and other in entries:
            reader.fault(entries["reject"][0], f"a rule that rejects uses nothing; leave out `reject` or `{other}`")
    use = reader.name(entries["use"][1], "use") if "use" in entries else ""
    reject = reader.text(entries["reject"][1], "reject") if "reject" in entries else None
    require = _capabilities(reader, entries["require"][1], "require") if "require" in entries else None
    if use is None or when is None or len(reader.faults) > before:
        return None
    use_line = entries["use" if "use" in entries else "reject"][0]
    return RuleSpec(Rule(name or f"rule-{place}", when, use, reject, require or frozenset()), node.line, use_line)


def _read_condition(reader: Reader, node: Node) -> Condition | None:
    before = len(reader.faults)
    entries = reader.table(node, "when", (*_CONDITIONS, *HOUR_KEYS))
    values: dict[str, Any] = {"hours": read_hours(reader, entries, node.line)}
    for key, (_, value) in entries.items():
        if key in _CONDITIONS:
            field, read = _CONDITIONS[key]
            values[field] = read(reader, value, key)
    for least, most in _RANGES:
        low, high = values.get(least), values.get(most)
        if low is not None and high is not None and low > high:
            reader.fault(node.line, f"{least} is above {most}, so that the rule never matches; write at most {high:g}")
    return Condition(**values) if len(reader.faults) == before else None


def describe(when: Condition) -> str:
    """Return a condition as the file spells it: `label: confidential, min_tokens: 32000`; `always` where there is none."""
    parts = []
    for key, (field, _) in _CONDITIONS.items():
        value = getattr(when, field)
        if value is not None:
            words = sorted(str(word) for word in value) if isinstance(value, frozenset) else [str(value)]
            parts.append(f"{key}: {words[0]}" if len(words) == 1 else f"{key}: [{', '.join(words)}]")
    if when.hours is not None:
        parts.append(describe_hours(when.hours))
    return ", ".join(parts) or "always"
