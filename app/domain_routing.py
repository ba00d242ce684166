"""What the operator says of routing, as frozen values: conditions, rules, pools, and the table of what is active."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from app.domain import Capability, ComplexityTier, Deployment, Label, OnConflict
from app.domain_attempts import AttemptPolicy

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import tzinfo

DAY_MINUTES = 24 * 60

# Pools with a part of their own: who answers for a model that is not cleared, and what is too long for its own pool.
LOCAL = "local"
LONG = "long"

# A word of X-Gateway-Tags, and of a rule that asks for one.
TAG = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class Choice(StrEnum):
    """How a pool chooses whom to ask first."""

    ORDERED = "ordered"
    WEIGHTED = "weighted"
    CHEAPEST = "cheapest"
    FASTEST = "fastest"
    LATENCY = "latency"
    LEAST_BUSY = "least-busy"


@dataclass(frozen=True, slots=True)
class Hours:
    """A part of every day, in minutes from `start` up to `end`; past midnight where `end` is not above `start`, and then the day that it starts on counts.

    `days` are Monday (0) to Sunday (6).
    """

    zone: tzinfo
    days: frozenset[int] = frozenset(range(7))
    start: int = 0
    end: int = DAY_MINUTES


@dataclass(frozen=True, slots=True)
class Condition:
    """What must hold for a rule to match; None holds always. Several words are alternatives, but for `needs`, which asks for all of them."""

    labels: frozenset[Label] | None = None
    complexities: frozenset[ComplexityTier] | None = None
    min_score: float | None = None
    max_score: float | None = None
    min_tokens: int | None = None
    max_tokens: int | None = None
    needs: frozenset[Capability] | None = None
    findings: frozenset[str] | None = None
    model: str | None = None  # a glob over the model the caller asked for
    keys: frozenset[str] | None = None  # names of API keys
    tags: frozenset[str] | None = None
    hints: frozenset[str] | None = None  # labels and tiers, as the caller's headers said them
    hours: Hours | None = None


@dataclass(frozen=True, slots=True)
class Rule:
    """One line of configuration: when `when` holds, use the pool or deployment `use`, or answer 403 with the sentence `reject`.

    `require` are capabilities that a deployment must have beside those that the request needs.
    """

    name: str
    when: Condition
    use: str = ""
    reject: str | None = None
    require: frozenset[Capability] = frozenset()


@dataclass(frozen=True, slots=True)
class Member:
    """A deployment in a pool.

    `weight` counts where the pool chooses by weight. `share` (0 to 1) is what a canary gets of the pool's requests. `arm` is its side of an experiment.
    """

    deployment: Deployment
    weight: float = 1.0
    share: float | None = None
    arm: str = ""


@dataclass(frozen=True, slots=True)
class Pool:
    """Deployments, whom of them to ask first, whether a conversation stays with one (`sticky`), and whether a second is asked beside a slow first (`hedge`).

    `members` are the active ones.
    """

    name: str
    members: tuple[Member, ...] = ()
    choose: Choice = Choice.ORDERED
    sticky: bool = False
    experiment: str = ""
    hedge: bool = False


@dataclass(frozen=True, slots=True)
class RoutingTable:
    """Everything that routing reads: only what is active. When nothing is, the demo model stands in every pool.

    `memo` is the planner's: plans that follow from the table and a few words of the request alone.
    """

    deployments: Mapping[str, Deployment]
    inactive: Mapping[str, str]  # name -> a sentence that says why and what to set
    pools: Mapping[str, Pool]
    rules: tuple[Rule, ...]
    fallback: str | None = None
    on_conflict: OnConflict = OnConflict.REROUTE
    attempts: AttemptPolicy = field(default_factory=AttemptPolicy)
    inactive_clearances: Mapping[str, Label] = field(default_factory=dict)  # of each inactive one, by its name
    memo: dict[Any, Any] = field(default_factory=dict, init=False, repr=False, compare=False)
