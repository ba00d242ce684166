"""The vocabulary of the gateway as frozen values; docs/ARCHITECTURE.md explains each word."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from app.domain_attempts import UNLIMITED, DeploymentLimits
from app.domain_enums import CONFIDENTIAL, CacheState, Capability, ComplexityTier, Failure, Label, LaneName, OnConflict, Tier
from app.domain_measures import CUTS, Complexity, Cuts, Measured, Measures, TokenCount

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from ipaddress import IPv4Network, IPv6Network

# Handed on; what stands here needs no entry.
__all__ = ["CONFIDENTIAL", "CUTS", "CacheState", "Capability", "Complexity", "ComplexityTier", "Cuts", "Failure", "Label", "LaneName", "Measured", "Measures"]
__all__ += ["OnConflict", "Tier", "TokenCount"]


class Address(NamedTuple):
    """Where bytes go: what egress compares. A tuple, because each request looks some up by it."""

    scheme: str
    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Price:
    """US dollars per token."""

    input_usd: float
    output_usd: float
    cached_input_usd: float | None = None


@dataclass(frozen=True, slots=True)
class Deployment:
    """One model at one provider address, with what it may hold and can do.

    `base_url` has no trailing slash (`https://api.openai.com/v1`); `address` is its scheme, host and port, None for the demo model alone. `model` is the
    provider's own name for it, `provider` the name that LiteLLM has for the provider. `params` are what a provider needs beside a key (`api_version`,
    `aws_region_name`, ...). `slots` is how many requests the gateway lets it serve at a time, None where that is left to it. `first_token_s` is its own limit
    until the first token, for a model that has to be loaded first. `ca_file` holds the authorities of its certificate, None for those of the system.
    """

    name: str
    provider: str
    model: str
    lane: LaneName
    clearance: Label
    base_url: str = ""
    address: Address | None = None
    api_key: str | None = field(default=None, repr=False)
    context_window: int | None = None
    max_output_tokens: int | None = None
    num_ctx: int | None = None
    price: Price | None = None
    capabilities: frozenset[Capability] = frozenset(Capability)
    allow_fields: frozenset[str] = frozenset()
    params: Mapping[str, str] = field(default_factory=dict, repr=False)
    slots: int | None = None
    limits: DeploymentLimits = UNLIMITED
    first_token_s: float | None = None
    ca_file: str | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """A kind of sensitive thing and where it is. Never the value: `start` and `end` are offsets in code points of the scalar at `position`."""

    kind: str
    tier: Tier
    position: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Hints:
    """What the caller said of the request; a hint can only raise a label."""

    label: Label | None = None
    complexity: ComplexityTier | None = None


@dataclass(slots=True, init=False)
class Facts:
    """What is known of a request before routing. `label_reason` is an enum-like word (`hint`, `findings`, `unscannable`, `scanner_error`, `default`).

    Complexity and tokens come from `measures`, so that a request pays only for what a rule reads; given as values, they are those from the start.
    Nobody writes to facts: the type checker sees to it, for to make a frozen one takes three times as long.
    """

    label: Final[Label]
    label_reason: Final[str]
    findings: Final[tuple[Finding, ...]]
    max_output_tokens: Final[int | None]
    needs: Final[frozenset[Capability]]
    measures: Final[Measures]
    tokens_at_most: int = field(init=False, repr=False, compare=False)  # a bound for every tokenizer: most rules and windows are content with it

    def __init__(  # noqa: PLR0917 -- a value's fields, in their order
        self,
        label: Label,
        label_reason: str,
        findings: tuple[Finding, ...],
        complexity: Complexity | None = None,
        prompt_tokens: int | None = None,
        max_output_tokens: int | None = None,
        needs: frozenset[Capability] = frozenset(),
        measures: Measures | None = None,
    ) -> None:
        """Take either `complexity` and `prompt_tokens`, or `measures`."""
        if measures is None:
            tokens = prompt_tokens or 0
            measures = Measured(complexity or Complexity(0.0, ComplexityTier.SIMPLE), tokens, tokens)
        self.label = label
        self.label_reason = label_reason
        self.findings = findings
        self.max_output_tokens = max_output_tokens
        self.needs = needs
        self.measures = measures
        self.tokens_at_most = measures.tokens_at_most

    @property
    def kinds(self) -> tuple[str, ...]:
        """The findings' kinds, sorted, each once."""
        return tuple(sorted({finding.kind for finding in self.findings}))

    @property
    def complexity(self) -> Complexity:
        """How complex the newest human turn is, computed when first read."""
        return self.measures.complexity

    @property
    def known_complexity(self) -> Complexity | None:
        """The complexity, where anything has read it."""
        return self.measures.known_complexity

    @property
    def prompt_tokens(self) -> int:
        """The prompt's tokens, counted when first read. A rule needs them only where `tokens_at_most` does not decide it."""
        return self.measures.prompt_tokens

    @property
    def known_prompt_tokens(self) -> int | None:
        """The prompt's tokens, where anything has read them."""
        return self.measures.known_prompt_tokens

    @property
    def tokens_about(self) -> int:
        """The prompt's tokens where anything has read them, else an estimate that costs little and leans upwards."""
        return self.measures.tokens_about

    def tokens_for(self, deployment: Deployment) -> TokenCount:
        """Return the prompt's tokens as the deployment's model counts them."""
        return self.measures.tokens_for(deployment.provider, deployment.model)


@dataclass(slots=True)
class Asked:
    """What a caller says beside the conversation. `key` is the API key's name, `tags` are the caller's own words (`X-Gateway-Tags`).

    `no_fallback` (`X-No-Fallback`): no second deployment may hear of the request.
    """

    model: Final[str]
    key: Final[str] = ""
    tags: Final[frozenset[str]] = frozenset()
    hints: Final[Hints] = Hints()
    no_fallback: Final[bool] = False


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What a plan depends on that changes between requests. Given the same snapshot, the dry run and the real run agree byte for byte.

    `now` is Unix time. `resting` are the deployments that may not be asked now, with the seconds until they may (a breaker, a provider's Retry-After, their
    own limits). `first_token_s` and `in_flight` are what was measured of each; a deployment that nobody has asked is in neither. `draw` is a number in
    0..1 of this request's own, `conversation` one that every turn of a conversation shares, and `stays_with` the deployment that its last turn went to.
    `cuts` are those of complexity where they move, by which the request's facts were told; None where they stand still.
    """

    now: float = 0.0
    resting: Mapping[str, float] = field(default_factory=dict)
    first_token_s: Mapping[str, float] = field(default_factory=dict)
    in_flight: Mapping[str, int] = field(default_factory=dict)
    draw: float = 0.0
    conversation: float = 0.0
    stays_with: str = ""
    cuts: Cuts | None = None


@dataclass(frozen=True, slots=True)
class EgressPolicy:
    """Who may be reached for which label. A trusted host's network is None where verified TLS is asked for instead.

    `authorities` are the files of certificate authorities of addresses that have their own, in place of the system's.
    """

    clearances: Mapping[Address, Label]
    local_networks: tuple[IPv4Network | IPv6Network, ...]
    trusted_hosts: Mapping[str, IPv4Network | IPv6Network | None] = field(default_factory=dict)
    authorities: Mapping[Address, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Attempt:
    """One upstream call that a plan allows, and why it stands at its place."""

    deployment: Deployment
    reason: str


@dataclass(frozen=True, slots=True)
class Excluded:
    """A deployment that the plan left out, and why."""

    deployment: str
    reason: str


@dataclass(frozen=True, slots=True)
class Plan:
    """The ordered attempts for a request: a value, computed before anything is called.

    `if_context_exceeded` takes the place of what remains when a provider says that the prompt is too long. `hedge`: where the first attempt is slower than the
    pool usually is, the second is begun beside it. `choice` says how the pool chose, `drawn` the
    number that it drew by, `arm` the side of its experiment (`experiment/arm`); all three are empty for a pool in fixed order.
    """

    rule: str
    pool: str
    attempts: tuple[Attempt, ...]
    excluded: tuple[Excluded, ...] = ()
    if_context_exceeded: tuple[Attempt, ...] = ()
    hedge: bool = False
    choice: str = ""
    arm: str = ""
    drawn: float | None = None


@dataclass(frozen=True, slots=True)
class Tenant:
    """Whose data it is. `name` goes to logs; `key_id` is what stores are keyed by."""

    name: str
    key_id: str
    clearance: Label = Label.CONFIDENTIAL


@dataclass(slots=True)
class Call:
    """What a lane needs to make one attempt. Only who makes one writes to it; it is not frozen because making it would take five times as long.

    `body` is the caller's parsed body without the gateway's own fields, `model` still the caller's: a lane writes its own copy of the top level and never
    changes this one. `headers` are the caller's headers that may go upstream (lower-case names). `timeout_s` bounds the whole answer, or the first token of
    a stream, and within it `connect_s` the connection; `idle_s` the time between two chunks. `tenant` is whose turn it takes where there is a line; `on_wait`
    hears how many seconds that took, `on_seat` that it has its turn.
    """

    deployment: Deployment
    label: Label
    body: Mapping[str, Any] = field(repr=False)
    stream: bool
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    connect_s: float = 5.0
    timeout_s: float = 300.0
    idle_s: float = 60.0
    facts: Facts | None = None
    rule: str = ""
    tenant: str = field(default="", repr=False)
    on_wait: Callable[[float], None] | None = field(default=None, repr=False)
    on_seat: Callable[[], None] | None = field(default=None, repr=False)


@dataclass(slots=True)
class Usage:
    """Tokens that a provider counted, or that the gateway did (`estimated`)."""

    prompt_tokens: Final[int]
    completion_tokens: Final[int]
    cached_tokens: Final[int] = 0
    estimated: Final[bool] = False


class Window(NamedTuple):
    """What a rate limit said of one hit. `reset_s` is the time until the oldest counted hit leaves the window, which frees a slot."""

    allowed: bool
    limit: int
    remaining: int
    reset_s: float
