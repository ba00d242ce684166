"""Rules: what a request's facts ask for. First match wins.

A condition's clauses are read in the order of `_CLAUSES`, what is known first and what has to be computed last, and none after the first that does not hold:
so complexity and tokens are computed only where a rule depends on them alone.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from app.domain import Asked, Capability, Facts, Label, Snapshot
    from app.domain_routing import Hours, Pool, Rule

    Test = Callable[[Any, Facts, Asked, Snapshot], bool]
    Words = Callable[[Any, Facts, Asked, Snapshot], str]


@dataclass(frozen=True, slots=True)
class Clause:
    """One clause of a condition: whether it holds, and in words why not."""

    wanted: Any
    holds: Test
    why_not: Words


@dataclass(frozen=True, slots=True)
class Target:
    """Where a request goes: the rule that says so, the pool, and what its attempts are called."""

    rule: str
    pool: Pool
    source: str
    require: frozenset[Capability] = frozenset()
    is_named: bool = False  # a deployment that the caller named


@dataclass(frozen=True, slots=True)
class ReadyRule:
    """A rule whose clauses stand in the order in which they are read, and where it sends requests."""

    rule: Rule
    clauses: tuple[Clause, ...]
    target: Target | None = None


def _hint_words(asked: Asked) -> frozenset[str]:
    return frozenset(str(hint) for hint in (asked.hints.label, asked.hints.complexity) if hint is not None)


def _is_within(hours: Hours, now: float) -> bool:
    local = datetime.fromtimestamp(now, hours.zone)
    minute = local.hour * 60 + local.minute
    today = local.weekday() in hours.days
    if hours.start < hours.end:
        return today and hours.start <= minute < hours.end
    return (today and minute >= hours.start) or ((local.weekday() - 1) % 7 in hours.days and minute < hours.end)


def _tell_time(hours: Hours, now: float) -> str:
    return f"it is {datetime.fromtimestamp(now, hours.zone):%a %H:%M} in {hours.zone}"


def _tell_fewer(tokens: int, facts: Facts) -> str:
    if facts.tokens_at_most < tokens:
        return f"{facts.tokens_at_most} tokens at most are fewer than {tokens}"
    return f"{facts.prompt_tokens} tokens are fewer than {tokens}"


# By the field of Condition, in the order in which they are read.
_CLAUSES: Final[dict[str, tuple[Test, Words]]] = {
    "labels": (lambda wanted, facts, _, __: facts.label in wanted, lambda _, facts, __, ___: f"label is {facts.label}"),
    "needs": (
        lambda wanted, facts, _, __: wanted <= facts.needs,
        lambda wanted, facts, _, __: f"does not need {', '.join(sorted(wanted - facts.needs))}",
    ),
    "model": (
        lambda wanted, _, asked, __: fnmatchcase(asked.model, wanted),
        lambda wanted, _, __, ___: f"the model asked for does not match {wanted}",
    ),
    "keys": (lambda wanted, _, asked, __: asked.key in wanted, lambda wanted, _, __, ___: f"the caller's key is not {' or '.join(sorted(wanted))}"),
    "tags": (lambda wanted, _, asked, __: not wanted.isdisjoint(asked.tags), lambda wanted, _, __, ___: f"is not tagged {' or '.join(sorted(wanted))}"),
    "hints": (
        lambda wanted, _, asked, __: not wanted.isdisjoint(_hint_words(asked)),
        lambda wanted, _, __, ___: f"the caller's hint is not {' or '.join(sorted(wanted))}",
    ),
    "findings": (lambda wanted, facts, _, __: not wanted.isdisjoint(facts.kinds), lambda wanted, _, __, ___: f"holds none of {', '.join(sorted(wanted))}"),
    "hours": (lambda wanted, _, __, snapshot: _is_within(wanted, snapshot.now), lambda wanted, _, __, snapshot: _tell_time(wanted, snapshot.now)),
    "min_tokens": (
        lambda wanted, facts, _, __: facts.tokens_at_most >= wanted and facts.prompt_tokens >= wanted,
        lambda wanted, facts, _, __: _tell_fewer(wanted, facts),
    ),
    "max_tokens": (
        lambda wanted, facts, _, __: facts.tokens_at_most <= wanted or facts.prompt_tokens <= wanted,
        lambda wanted, facts, _, __: f"{facts.prompt_tokens} tokens are more than {wanted}",
    ),
    "complexities": (lambda wanted, facts, _, __: facts.complexity.tier in wanted, lambda _, facts, __, ___: f"complexity is {facts.complexity.tier}"),
    "min_score": (
        lambda wanted, facts, _, __: facts.complexity.score >= wanted,
        lambda wanted, facts, _, __: f"score {facts.complexity.score:.3f} is below {wanted:g}",
    ),
    "max_score": (
        lambda wanted, facts, _, __: facts.complexity.score <= wanted,
        lambda wanted, facts, _, __: f"score {facts.complexity.score:.3f} is above {wanted:g}",
    ),
}


def get_ready(rule: Rule, target: Target | None = None) -> ReadyRule:
    """Return a rule with its clauses in the order in which they are read."""
    clauses = [(getattr(rule.when, field), holds, words) for field, (holds, words) in _CLAUSES.items()]
    return ReadyRule(rule, tuple(Clause(wanted, holds, words) for wanted, holds, words in clauses if wanted is not None), target)


def for_label(rules: Iterable[ReadyRule], label: Label) -> tuple[ReadyRule, ...]:
    """Return what is left to read of some rules once the label is known."""
    known = _CLAUSES["labels"][0]
    kept = (ready for ready in rules if ready.rule.when.labels is None or label in ready.rule.when.labels)
    return tuple(replace(ready, clauses=tuple(clause for clause in ready.clauses if clause.holds is not known)) for ready in kept)


def first_match(rules: Iterable[ReadyRule], facts: Facts, asked: Asked, snapshot: Snapshot) -> ReadyRule | None:
    """Return the first rule whose condition holds."""
    for ready in rules:
        for clause in ready.clauses:
            if not clause.holds(clause.wanted, facts, asked, snapshot):
                break
        else:
            return ready
    return None


def mismatch(rule: ReadyRule, facts: Facts, asked: Asked, snapshot: Snapshot) -> str | None:
    """Return the first clause that does not hold, in words, or None when all hold."""
    for clause in rule.clauses:
        if not clause.holds(clause.wanted, facts, asked, snapshot):
            return clause.why_not(clause.wanted, facts, asked, snapshot)
    return None
