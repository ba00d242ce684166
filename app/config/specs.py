"""What gateway.yaml says, as frozen values: each knows the line it stands on, so that a later check can name it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from app.config.faults import Fault
from app.domain import CUTS, Cuts, Label, OnConflict, Tier
from app.domain_attempts import UNLIMITED, AttemptPolicy
from app.domain_routing import Choice

if TYPE_CHECKING:
    from collections.abc import Mapping
    from ipaddress import IPv4Network, IPv6Network

    from app.config.rules import RuleSpec
    from app.domain import Capability, Price
    from app.domain_attempts import DeploymentLimits


@dataclass(frozen=True, slots=True)
class Named:
    """A name that the file uses, and where."""

    name: str
    line: int


@dataclass(frozen=True, slots=True)
class DeploymentSpec:
    """A deployment as it is written. What is None was left out, or names a variable that is unset: those are in `missing`.

    `lines` are the lines of its keys, `variables` what stood in them as `${NAME}`; `literal_secrets` are the keys whose secret stands in the file itself.
    """

    name: str
    line: int
    provider: str
    model: str
    clearance: Label
    api_base: str | None = None
    api_key: str | None = field(default=None, repr=False)
    num_ctx: int | None = None
    context_window: int | None = None
    max_output_tokens: int | None = None
    price: Price | None = None
    capabilities: frozenset[Capability] | None = None
    allow_fields: frozenset[str] = frozenset()
    slots: int | None = None
    limits: DeploymentLimits = UNLIMITED
    first_token_s: float | None = None
    ca_file: str | None = None
    params: Mapping[str, str] = field(default_factory=dict, repr=False)
    missing: tuple[str, ...] = ()
    literal_secrets: tuple[str, ...] = ()
    variables: Mapping[str, tuple[str, ...]] = field(default_factory=dict, repr=False)
    lines: Mapping[str, int] = field(default_factory=dict, repr=False)

    def line_of(self, key: str) -> int:
        """Return the line of one of its keys, or its own."""
        return self.lines.get(key, self.line)


@dataclass(frozen=True, slots=True)
class MemberSpec:
    """A deployment in a pool, and what the file says of it there."""

    name: str
    line: int
    weight: float | None = None
    share: float | None = None
    arm: str = ""


@dataclass(frozen=True, slots=True)
class PoolSpec:
    """A pool's members in their order, and how it chooses among them."""

    name: str
    line: int
    members: tuple[MemberSpec, ...]
    choose: Choice = Choice.ORDERED
    sticky: bool = False
    experiment: str = ""
    hedge: bool = False


@dataclass(frozen=True, slots=True)
class SearchSpec:
    """Which embedder makes the vectors (None: the built-in one), and the highest label that the collection may hold (None: the embedder's)."""

    embedder: Named | None = None
    clearance: Label | None = None
    line: int = 0


@dataclass(frozen=True, slots=True)
class ExpressionSpec:
    """A pattern that the operator wants found, and where it is written."""

    kind: str
    regex: str = field(repr=False)
    tier: Tier
    line: int


@dataclass(frozen=True, slots=True)
class OpinionSpec:
    """Who reads once more what the scanner holds to be of one of `labels`: the server at the URL `reader`, or the deployment of that name.

    `kinds` are tiers by entity, in upper case, None for what is left alone. A text over `max_chars`, in code points, is confidential unread. `concurrency` is
    how many are read at a time. `min_score` and `language` are the server's.
    """

    reader: Named
    by_url: bool
    labels: frozenset[Label] = frozenset({Label.PUBLIC, Label.INTERNAL})
    kinds: Mapping[str, Tier | None] = field(default_factory=dict)
    timeout_s: float = 5.0
    max_chars: int = 100_000
    concurrency: int = 4
    min_score: float = 0.5
    language: str = "en"


@dataclass(frozen=True, slots=True)
class ScanSpec:
    """What findings mean, and what else to find and to leave alone.

    `allow` are the kinds of what cannot be scanned and yet does not make a request confidential. `default` is the label where nothing is found. `labels`
    are by tier or kind, with the line of each (`label_lines`). `words` are (kind, word or phrase).
    """

    allow: frozenset[str] = frozenset()
    default: Label = Label.PUBLIC
    labels: Mapping[str, Label] = field(default_factory=dict)
    label_lines: Mapping[str, int] = field(default_factory=dict)
    allow_values: tuple[str, ...] = field(default=(), repr=False)
    allow_domains: tuple[str, ...] = ()
    patterns: tuple[ExpressionSpec, ...] = ()
    words: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    second_opinion: OpinionSpec | None = None


@dataclass(frozen=True, slots=True)
class TargetSpec:
    """The share of requests that is to be complex: the cut follows it between `low` and `high`, by the newest `window` scores."""

    share: float
    low: float
    high: float
    window: int


@dataclass(frozen=True, slots=True)
class SignalSpec:
    """A signal of complexity of the operator's own, as strong as can be when `enough` of its words and expressions are in a turn."""

    name: str
    line: int
    weight: float
    words: tuple[str, ...] = ()
    regexes: tuple[Named, ...] = ()
    enough: int = 1


@dataclass(frozen=True, slots=True)
class ComplexitySpec:
    """How complexity is told. `weights` and `words` are by a built-in signal's name, `ignore` are built-in words that count for nothing."""

    cuts: Cuts = CUTS
    target: TargetSpec | None = None
    simple_discount: float = 0.5
    weights: Mapping[Named, float] = field(default_factory=dict)
    words: Mapping[Named, tuple[str, ...]] = field(default_factory=dict)
    ignore: tuple[str, ...] = ()
    signals: tuple[SignalSpec, ...] = ()


@dataclass(frozen=True, slots=True)
class GatewayFile:
    """gateway.yaml.

    `env` is what `${NAME}` was filled in from; the variables that a provider's key has by convention are looked up in it too. `is_whole` is False where a
    deployment, pool or rule could not be read, so that nothing follows from what is left.
    """

    path: str
    deployments: Mapping[str, DeploymentSpec]
    pools: Mapping[str, PoolSpec]
    rules: tuple[RuleSpec, ...]
    fallback: Named | None = None
    on_conflict: OnConflict = OnConflict.REROUTE
    local_networks: tuple[IPv4Network | IPv6Network, ...] = ()
    trusted_hosts: Mapping[str, IPv4Network | IPv6Network | None] = field(default_factory=dict)
    search: SearchSpec = SearchSpec()
    scan: ScanSpec = ScanSpec()
    complexity: ComplexitySpec = ComplexitySpec()
    attempts: AttemptPolicy = field(default_factory=AttemptPolicy)
    warnings: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    is_whole: bool = True

    def fault(self, line: int, sentence: str) -> Fault:
        """Return a fault of this file."""
        return Fault(self.path, line, sentence)
