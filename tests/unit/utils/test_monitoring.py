from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import prometheus_client
import pytest
from prometheus_client import CollectorRegistry

from app.utils import monitoring

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


def test_the_exposition_is_prometheus_text() -> None:
    monitoring.CACHE.labels("miss").inc()

    content, media_type = monitoring.exposition()

    assert b'sluice_cache_total{state="miss"}' in content
    assert media_type.startswith("text/plain")


def test_with_several_workers_it_reads_their_common_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))

    assert monitoring.exposition()[0] == b""


_WORKER = """
import os, sys
from app.utils import monitoring
monitoring.IN_FLIGHT.inc(3)
monitoring.DEGRADED.labels("cache").set(1)
monitoring.CACHE.labels("hit").inc(2)
print("ready", flush=True)
sys.stdin.read()
"""


def test_what_a_worker_that_is_gone_said_of_itself_is_forgotten_and_what_it_counted_is_not(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    command = [sys.executable, "-c", _WORKER]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=Path(__file__).parents[3]) as worker:
        assert worker.stdout is not None
        assert worker.stdout.readline() == b"ready\n"
        alive = monitoring.exposition()[0]
        worker.kill()
        worker.wait(10)
    dead = monitoring.exposition()[0]

    assert b"sluice_in_flight 3.0" in alive
    assert b'sluice_degraded{part="cache"} 1.0' in alive
    assert b"sluice_in_flight 3.0" not in dead
    assert b'sluice_degraded{part="cache"}' not in dead
    assert b'sluice_cache_total{state="hit"} 2.0' in dead


def test_a_child_is_made_once_for_its_labels_and_found_by_name_too() -> None:
    assert monitoring.CACHE.labels("hit") is monitoring.CACHE.labels("hit")
    assert monitoring.CACHE.labels("hit") is not monitoring.CACHE.labels("miss")
    assert monitoring.CACHE.labels(state="hit") is monitoring.CACHE.labels("hit")
    assert monitoring.REQUEST_SECONDS.labels("a") is monitoring.REQUEST_SECONDS.labels("a")
    assert monitoring.REQUEST_SECONDS.labels(route="b") is monitoring.REQUEST_SECONDS.labels("b")


def test_a_histogram_takes_values_in_as_the_library_does(registry: CollectorRegistry) -> None:
    bounds = (0.1, 1.0)
    own = monitoring.Histogram("own", "Own.", buckets=bounds, registry=registry)
    theirs = prometheus_client.Histogram("theirs", "Theirs.", buckets=bounds, registry=registry)

    for value in (0.05, 0.1, 0.5, 1.0, 7.0):
        own.observe(value)
        theirs.observe(value)

    for name, labels in (("_bucket", {"le": "0.1"}), ("_bucket", {"le": "1.0"}), ("_bucket", {"le": "+Inf"}), ("_sum", {}), ("_count", {})):
        assert registry.get_sample_value(f"own{name}", labels) == registry.get_sample_value(f"theirs{name}", labels)


@pytest.fixture
async def held() -> AsyncIterator[None]:
    monitoring.hold_back(asyncio.get_running_loop())
    yield
    monitoring.hold_back(None)


@pytest.mark.usefixtures("held")
async def test_what_is_held_back_is_there_for_whoever_reads(registry: CollectorRegistry) -> None:
    counter = monitoring.Counter("counted", "Own.", ("a",), registry=registry)
    gauge = monitoring.Gauge("level", "Own.", registry=registry)
    histogram = monitoring.Histogram("seen", "Own.", ("a",), buckets=(0.1, 1.0), registry=registry)
    read = []
    for _ in range(2):
        counter.labels("x").inc(2)
        gauge.inc(3)
        gauge.dec()
        for value in (0.1, 0.5, 7.0):
            histogram.labels("x").observe(value)
        at_once = counter.labels("x")._value.get()
        samples = [("counted_total", {"a": "x"}), ("level", {}), ("seen_sum", {"a": "x"}), ("seen_count", {"a": "x"}), ("seen_bucket", {"a": "x", "le": "0.1"})]
        read.append([at_once, *(registry.get_sample_value(name, labels) for name, labels in samples)])

    assert read == [[0, 2, 2, 7.6, 3, 1], [2, 4, 4, 15.2, 6, 2]]


async def test_nothing_is_held_beyond_the_end(registry: CollectorRegistry) -> None:
    counter = monitoring.Counter("counted", "Own.", registry=registry)
    monitoring.hold_back(asyncio.get_running_loop())
    counter.inc()
    monitoring.hold_back(None)
    counter.inc()

    assert counter._value.get() == 2


async def test_with_several_workers_nothing_is_held_for_long(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, registry: CollectorRegistry) -> None:
    counter = monitoring.Counter("counted", "Own.", registry=registry)
    monkeypatch.setattr(monitoring, "HOLD_S", 0.01)
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    monitoring.hold_back(asyncio.get_running_loop())
    counter.inc()
    held = counter._value.get()
    async with asyncio.timeout(5):
        while not counter._value.get():  # noqa: ASYNC110 -- the timer sets no event
            await asyncio.sleep(0.002)
    monitoring.hold_back(None)

    assert (held, counter._value.get()) == (0, 1)


async def test_a_fault_while_settling_does_not_end_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    settled: list[None] = []
    faults: list[object] = []

    def settle() -> None:
        settled.append(None)
        if len(settled) == 2:
            raise OSError

    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: faults.append(context["exception"]))
    monkeypatch.setattr(monitoring, "settle", settle)
    monkeypatch.setattr(monitoring, "HOLD_S", 0.001)
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    monitoring.hold_back(loop)
    async with asyncio.timeout(5):
        while len(settled) < 4:  # noqa: ASYNC110 -- the timer sets no event
            await asyncio.sleep(0.002)
    monitoring.hold_back(None)

    assert [type(fault) for fault in faults] == [OSError]


@pytest.mark.usefixtures("held")
async def test_what_a_histogram_holds_is_handed_over_once_when_two_settle_at_the_same_time(registry: CollectorRegistry) -> None:
    histogram = monitoring.Histogram("seen", "Own.", buckets=(0.1, 1.0), registry=registry)

    class Counts(list[int]):
        """Lets another settle, and a value come in, at the one call that `settle` makes before it takes what is held."""

        def __len__(self) -> int:
            histogram._held_counts = counts
            histogram.settle()
            histogram.observe(7.0)
            return len(counts)

    histogram.observe(0.5)
    counts = histogram._held_counts
    histogram._held_counts = Counts(counts)
    histogram.settle()

    assert registry.get_sample_value("seen_bucket", {"le": "1.0"}) == 1
    assert registry.get_sample_value("seen_count") == 2
    assert registry.get_sample_value("seen_sum") == 7.5


def test_a_counter_does_not_count_down(registry: CollectorRegistry) -> None:
    counter = monitoring.Counter("own", "Own.", registry=registry)

    with pytest.raises(ValueError, match="count down"):
        counter.inc(-1)


def test_a_gauge_goes_up_and_down(registry: CollectorRegistry) -> None:
    gauge = monitoring.Gauge("own", "Own.", registry=registry)
    gauge.inc(3)
    gauge.dec()

    assert registry.get_sample_value("own") == 2
