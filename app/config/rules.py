"""The grammar of rules: which conditions there are, and how each is read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from app.domain import Capability, ComplexityTier
from app.domain_routing import Condition, Rule

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


def _kinds(reader: Reader, node: Node, what: str) -> frozenset[Any] | None:
    return frozenset(reader.one_or_more(node, what, reader.name)) or None


def _tokens(reader: Reader, node: Node, what: str) -> int | None:
    return reader.integer(node, what, at_least=0)


def _glob(reader: Reader, node: Node, what: str) -> str | None:
    return reader.text(node, what)


# The whole grammar of `when`: the key in the file, the field of Condition, and the reader of its value. Several words are alternatives, but for `needs`,
# which asks for all of them.
_CONDITIONS: Final[Mapping[str, tuple[str, Callable[[Reader, Node, str], Any]]]] = {
    "label": ("labels", _labels),
    "complexity": ("complexities", _tiers),
    "min_tokens": ("min_tokens", _tokens),
    "max_tokens": ("max_tokens", _tokens),
    "needs": ("needs", _capabilities),
    "findings": ("findings", _kinds),
    "model": ("model", _glob),
}
_KEYS: Final = ("name", "when", "use")


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
    if "use" not in entries:
        reader.fault(node.line, "a rule needs `use`: the name of a pool or deployment")
        return None
    use_line, use_node = entries["use"]
    use = reader.name(use_node, "use")
    if use is None or when is None or len(reader.faults) > before:
        return None
    return RuleSpec(Rule(name or f"rule-{place}", when, use), node.line, use_line)


def _read_condition(reader: Reader, node: Node) -> Condition | None:
    before = len(reader.faults)
    entries = reader.table(node, "when", _CONDITIONS)
    values: dict[str, Any] = {}
    for key, (_, value) in entries.items():
        field, read = _CONDITIONS[key]
        values[field] = read(reader, value, key)
    low, high = values.get("min_tokens"), values.get("max_tokens")
    if low is not None and high is not None and low > high:
        reader.fault(node.line, f"min_tokens is above max_tokens, so that the rule never matches; write at most {high}")
    return Condition(**values) if len(reader.faults) == before else None


def describe(when: Condition) -> str:
    """Return a condition as the file spells it: `label: confidential, min_tokens: 32000`; `always` where there is none."""
    parts = []
    for key, (field, _) in _CONDITIONS.items():
        value = getattr(when, field)
        if value is not None:
            words = sorted(str(word) for word in value) if isinstance(value, frozenset) else [str(value)]
            parts.append(f"{key}: {words[0]}" if len(words) == 1 else f"{key}: [{', '.join(words)}]")
    return ", ".join(parts) or "always"
