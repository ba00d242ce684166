"""Every Prometheus metric of the gateway. Label values come from enums and configuration, never from callers."""

from __future__ import annotations

import os
from bisect import bisect_left
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import prometheus_client as prometheus
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.multiprocess import MultiProcessCollector

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterable

    from prometheus_client.samples import Sample

HOLD_S = 0.1


class _Hold:
    """Whether metrics keep what is added to them for themselves until somebody reads, and the loop on which they do.

    A number of the library's is added to under a lock, or in a file that the workers share: that costs five times as much as an addition.
    """

    def __init__(self) -> None:
        self.on = False
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, loop: asyncio.AbstractEventLoop) -> None:
        """Hold back from now on; where another worker may be the one that is asked, for HOLD_S at most."""
        self.on = True
        if shared_folder() is not None:
            self._settle_again(loop)

    def end(self) -> None:
        """Hand over what is held, and from now on each addition at once."""
        self.on = False
        if self._timer is not None:
            self._timer.cancel()
        settle()

    def _settle_again(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = loop.call_later(HOLD_S, self._settle_again, loop)  # first: a fault in `settle` is not its last time
        settle()


_hold = _Hold()
_holding: list[_Sum | Histogram] = []  # every child of every metric: as bounded as the labels are


class _Sum(MetricWrapperBase):
    """A metric of one number, which holds what is added."""

    _value: Any

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._held = 0.0  # the interpreter changes threads at calls and jumps, so that an addition to it is whole, and so is `settle`
        super().__init__(*args, **kwargs)
        _holding.append(self)

    def settle(self) -> None:
        """Hand over what is held."""
        held, self._held = self._held, 0.0
        if held:
            self._value.inc(held)

    def _child_samples(self) -> Iterable[Sample]:
        self.settle()
        return super()._child_samples()


class Counter(_Sum, prometheus.Counter):
    """A counter that keeps its children by their labels: prometheus_client finds them again under a lock, in 1.7 µs instead of 0.2."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._kept: dict[tuple[object, ...], Self] = {}  # as bounded as the labels are

    def labels(self, *values: Any, **named: Any) -> Self:
        """Return the child that counts for `values`."""
        child = self._kept.get(values)
        if child is None:
            child = super().labels(*values, **named)
            if values:
                self._kept[values] = child
        return child

    def inc(self, amount: float = 1, exemplar: object = None) -> None:  # noqa: ARG002 -- the library's signature; no exemplars here
        """Count. Raises ValueError for a negative amount."""
        if amount < 0:
            raise ValueError("a counter does not count down")
        if _hold.on:
            self._held += amount
        else:
            self._value.inc(amount)


class Gauge(_Sum, prometheus.Gauge):
    """A gauge that goes up and down as Counter counts."""

    def inc(self, amount: float = 1) -> None:
        """Go up."""
        if _hold.on:
            self._held += amount
        else:
            self._value.inc(amount)

    def dec(self, amount: float = 1) -> None:
        """Go down."""
        if _hold.on:
            self._held -= amount
        else:
            self._value.inc(-amount)


class Histogram(prometheus.Histogram):
    """A histogram that keeps its children, as Counter does."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._held_sum = 0.0
        self._held_counts: list[int] = []  # by bucket
        super().__init__(*args, **kwargs)
        self._kept: dict[tuple[object, ...], Self] = {}
        self._held_counts = [0] * len(self._upper_bounds)
        _holding.append(self)

    def labels(self, *values: Any, **named: Any) -> Self:
        """Return the child that observes for `values`."""
        child = self._kept.get(values)
        if child is None:
            child = super().labels(*values, **named)
            if values:
                self._kept[values] = child
        return child

    def observe(self, amount: float, exemplar: object = None) -> None:  # noqa: ARG002 -- as in Counter
        """Take a value in; the bucket is found by halving."""
        bucket = bisect_left(self._upper_bounds, amount)
        if _hold.on:
            self._held_sum += amount
            self._held_counts[bucket] += 1
        else:
            self._sum.inc(amount)
            self._buckets[bucket].inc(1)

    def settle(self) -> None:
        """Hand over what is held."""
        fresh = [0] * len(self._held_counts)  # by itself: at a call another thread may settle, or a fault come up
        counts, self._held_counts = self._held_counts, fresh
        held, self._held_sum = self._held_sum, 0.0
        if any(counts):
            self._sum.inc(held)
            for bucket, count in zip(self._buckets, counts, strict=True):
                bucket.inc(count)

    def _child_samples(self) -> Iterable[Sample]:
        self.settle()
        return super()._child_samples()


_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)

REQUESTS = Counter("sluice_requests_total", "HTTP requests answered.", ("route", "status"))
REQUEST_SECONDS = Histogram("sluice_request_seconds", "From the request's head to the answer's last byte.", ("route",), buckets=_SECONDS)
ERRORS = Counter("sluice_errors_total", "Errors answered, by OpenAI error code.", ("code",))

ROUTED = Counter("sluice_routed_total", "Chat requests routed.", ("label", "complexity", "rule"))
ARMS = Counter("sluice_experiment_total", "Chat requests of a pool with an experiment, by `experiment/arm`.", ("arm",))
COMPLEX_SHARE = Gauge("sluice_complex_share", "Share of the newest scored requests that were complex.", multiprocess_mode="livemostrecent")
COMPLEX_CUT = Gauge("sluice_complex_cut", "The score from which a request is complex now.", multiprocess_mode="livemostrecent")
SECOND_OPINIONS = Counter("sluice_second_opinions_total", "Second readings: `clear`, `found`, or why there was none.", ("outcome",))
FINDINGS = Counter("sluice_findings_total", "Requests that held a kind of sensitive thing.", ("kind",))
ATTEMPTS = Counter("sluice_attempts_total", "Upstream calls, by how they ended (`ok` or a failure).", ("deployment", "outcome"))
SKIPPED = Counter("sluice_skipped_total", "Calls not made, because the deployment rests or is at its limits.", ("deployment", "reason"))
BREAKER = Gauge("sluice_breaker_open", "1 from when a deployment begins to rest until it has answered again.", ("deployment",), multiprocess_mode="livemax")
HEDGES = Counter("sluice_hedges_total", "Second calls begun beside a slow first one, by which of them answered.", ("pool", "answered"))
FALLBACKS = Counter("sluice_fallbacks_total", "Requests answered by another deployment than the plan's first.", ("deployment",))
FIRST_TOKEN_SECONDS = Histogram("sluice_first_token_seconds", "From the request's head to its first token.", ("deployment",), buckets=_SECONDS)
TOKENS = Counter("sluice_tokens_total", "Tokens that providers counted.", ("deployment", "direction"))
COST_USD = Counter("sluice_cost_usd_total", "Cost at the configured or registry price.", ("deployment",))
CACHE = Counter("sluice_cache_total", "Cache look-ups by outcome.", ("state",))
RATE_LIMITED = Counter("sluice_rate_limited_total", "Requests refused by the gateway's own limit.")
DISCONNECTS = Counter("sluice_client_disconnects_total", "Callers that left before their answer was whole.")
IN_FLIGHT = Gauge("sluice_in_flight", "Chat requests being served.", multiprocess_mode="livesum")

QUEUE_SECONDS = Histogram("sluice_queue_seconds", "Waiting for a slot, of those that had to.", ("queue",), buckets=_SECONDS)
OVERLOADED = Counter("sluice_overloaded_total", "Turned away because no slot came free.", ("queue",))

EGRESS_REFUSED = Counter("sluice_egress_refused_total", "Connections that egress refused, by the request's label.", ("label",))
UNANNOUNCED = Counter("sluice_unannounced_connections_total", "Connections and look-ups by Python code that nobody announced, refused.")
FAULTS = Counter("sluice_faults_total", "Unexpected exceptions caught at an edge, by part.", ("part",))
DEGRADED = Gauge("sluice_degraded", "1 while a part serves from its fallback.", ("part",), multiprocess_mode="livemax")

RELOADS = Counter("sluice_reloads_total", "Reloads of gateway.yaml: `taken`, `refused` (the file is bad) or `failed` (a worker could not).", ("outcome",))
CONFIGURATION_LOADED = Gauge(
    "sluice_configuration_loaded_seconds", "When what is served was read, Unix time; of several workers the oldest.", multiprocess_mode="livemin"
)
CONFIGURATION_HASH = Gauge("sluice_configuration_hash", "The first 48 bits of gateway.yaml's SHA-256.", multiprocess_mode="livemax")


def hold_back(loop: asyncio.AbstractEventLoop | None) -> None:
    """Let the metrics of this process hold back what is added, on `loop`; None: no longer. Whoever reads them here reads all of it.

    What another worker is asked for may be HOLD_S old, and so much is lost with a worker that crashes.
    """
    if loop is None:
        _hold.end()
    else:
        _hold.begin(loop)


def settle() -> None:
    """Hand over what every metric holds."""
    for child in tuple(_holding):
        child.settle()


def shared_folder() -> Path | None:
    """Return the folder that the workers of one gateway share and that ends with them; None where there is one process alone."""
    folder = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
    return None if folder is None else Path(folder)


def exposition() -> tuple[bytes, str]:
    """Return every metric in Prometheus' text format, summed over the workers where there are several, and its media type.

    With several workers this reads a file or more of each: not for an event loop.
    """
    registry = REGISTRY
    folder = shared_folder()
    if folder is not None:
        settle()
        _forget_the_dead(folder)
        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return generate_latest(registry), CONTENT_TYPE_LATEST


def _forget_the_dead(folder: Path) -> None:
    """Drop what workers that are gone said of themselves: nobody else takes a live gauge back when one is killed."""
    for file in folder.glob("gauge_live*_*.db"):
        pid = file.stem.rpartition("_")[2]
        if pid.isdecimal() and not _is_alive(int(pid)):
            file.unlink(missing_ok=True)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # another user's: the number was given out again
        return False
    return True
