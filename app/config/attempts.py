"""The grammar of gateway.yaml's `attempts` section, and of a deployment's `limits`: what follows a failure, and what a deployment may be asked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from app.domain_attempts import AttemptPolicy, BreakerPolicy, DeploymentLimits, FailureClass

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from app.config.reading import Reader
    from app.config.yaml_tree import Node

_LIMITS: Final = ("requests_per_minute", "tokens_per_minute")
_MOST_RETRIES: Final = 10


def read_attempts(reader: Reader, node: Node | None) -> AttemptPolicy:
    """Return the `attempts` section; what it leaves out is as AttemptPolicy has it."""
    return AttemptPolicy(**_values(reader, node, "attempts", _ATTEMPTS)) if node is not None else AttemptPolicy()


def read_limits(reader: Reader, node: Node, what: str) -> DeploymentLimits:
    """Return a deployment's limits."""
    before = len(reader.faults)
    entries = reader.table(node, what, _LIMITS)
    if not entries and len(reader.faults) == before:
        reader.fault(node.line, f"{what} is empty; write requests_per_minute or tokens_per_minute, or leave it out")
    return DeploymentLimits(**{key: reader.integer(value, key) for key, (_, value) in entries.items()})


def _values(reader: Reader, node: Node, what: str, keys: Mapping[str, Callable[[Reader, Node, str], Any]]) -> dict[str, Any]:
    """Return what can be read of a section, by its keys."""
    read = {key: keys[key](reader, value, key) for key, (_, value) in reader.table(node, what, keys).items()}
    return {key: value for key, value in read.items() if value is not None}


def _fallback_on(reader: Reader, node: Node, what: str) -> frozenset[FailureClass]:
    """Read the failures that lead to another deployment; an empty list is none at all."""
    return frozenset(kind for kind in (reader.choice(item, what, FailureClass) for item in reader.sequence(node, what)) if kind is not None)


def _retries(reader: Reader, node: Node, what: str) -> int | None:
    value = reader.integer(node, what, at_least=0)
    if value is not None and value > _MOST_RETRIES:
        reader.fault(node.line, f"{what} must be at most {_MOST_RETRIES}: each retry is a call that is paid for")
        return None
    return value


def _seconds(reader: Reader, node: Node, what: str) -> float | None:
    value = reader.number(node, what)
    if value == 0:
        reader.fault(node.line, f"{what} must be more than 0 seconds")
        return None
    return value


def _rate(reader: Reader, node: Node, what: str) -> float | None:
    value = reader.number(node, what)
    if value is not None and not 0 < value <= 1:
        reader.fault(node.line, f"{what} must be a share of calls, above 0 and at most 1, such as 0.5")
        return None
    return value


def _count(reader: Reader, node: Node, what: str) -> int | None:
    return reader.integer(node, what)


def _wait(reader: Reader, node: Node, what: str) -> float | None:
    return reader.number(node, what)


_BREAKER: Final[Mapping[str, Callable[[Reader, Node, str], Any]]] = {
    "failures": _count,
    "rate": _rate,
    "calls": _count,
    "window_s": _seconds,
    "cooldown_s": _seconds,
    "longest_s": _seconds,
}


def _breaker(reader: Reader, node: Node, what: str) -> BreakerPolicy:
    policy = BreakerPolicy(**_values(reader, node, what, _BREAKER))
    if policy.longest_s < policy.cooldown_s:
        reader.fault(node.line, f"longest_s ({policy.longest_s:g}) is less than cooldown_s ({policy.cooldown_s:g}); write at least as much")
    return policy


_ATTEMPTS: Final[Mapping[str, Callable[[Reader, Node, str], Any]]] = {"fallback_on": _fallback_on, "retries": _retries, "wait_s": _wait, "breaker": _breaker}
