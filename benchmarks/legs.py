"""What is measured: each leg is one kind of load, sent to every target in turn."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from benchmarks.payloads import json_body, nonce, stream_body
from benchmarks.servers import ROOT, Server

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

Figures = dict[str, float]

_EVERYWHERE = ("direct", "echo", "bare", "fastapi", "sluice", "sluice-unscanned", "sluice-redis", "sluice-redis-2", "litellm", "litellm-on", "portkey")
_RELAYS = ("direct", "bare", "fastapi", "sluice", "litellm", "portkey")
_MANY = tuple(name for name in _RELAYS if name != "litellm")  # which answers some 60 requests a second: hundreds at once would only fail
_PROMPTS = ("direct", "bare", "fastapi", "sluice", "sluice-unscanned", "litellm", "portkey")


@dataclass(frozen=True, slots=True)
class Leg:
    """A load. wrk keeps `concurrency` requests of `size_bytes` going, of streams where there are `chunks`; else streams begin at `rate` a second.

    `key` legs are repeated: ratios are taken from them. With `steps` it is made with ever more streams at once, until they stall.
    """

    name: str
    title: str
    targets: tuple[str, ...] = _RELAYS
    concurrency: int = 0
    size_bytes: int = 1024
    same: bool = False
    rate: float = 0.0
    chunks: int = 0
    pace_ms: int = 0
    large_every_s: float = 0.0
    key: bool = False
    steps: tuple[int, ...] = ()

    def at_once(self, streams: int) -> Leg:
        """Return the leg at a rate that keeps about so many streams going."""
        return replace(self, rate=streams / (self.chunks * self.pace_ms / 1000))


LEGS = (
    Leg("json-1", "1 KB JSON, 1 connection", concurrency=1),
    Leg("json-32", "1 KB JSON, 32 connections", _EVERYWHERE, concurrency=32, key=True),
    Leg("json-256", "1 KB JSON, 256 connections", _MANY, concurrency=256),
    Leg("prompt-100k", "100 KB prompts, 8 connections", _PROMPTS, concurrency=8, size_bytes=100 * 1024),
    Leg("prompt-1m", "1 MB prompts, 4 connections", _PROMPTS, concurrency=4, size_bytes=1024 * 1024),
    Leg("hit", "cache hits, 32 connections", ("echo", "sluice"), concurrency=32, same=True, key=True),
    Leg("stream-1", "2-chunk streams without a pause, 1 connection", concurrency=1, chunks=2),
    Leg("stream-5ms", "100-chunk streams 5 ms apart, about 50 at once", rate=100, chunks=100, pace_ms=5, key=True),
    Leg("stream-100", "64-chunk streams at 20 ms, about 100 at once", _MANY, rate=78, chunks=64, pace_ms=20),
    Leg("stream-500", "64-chunk streams at 20 ms, about 500 at once", _MANY, rate=390, chunks=64, pace_ms=20),
    Leg(
        "stream-most",
        "64-chunk streams at 20 ms, as many at once as do not stall",
        ("direct", "bare", "fastapi", "sluice", "portkey"),
        chunks=64,
        pace_ms=20,
        steps=(125, 250, 375, 500, 625, 750, 1000),
    ),
    Leg("head-of-line", "about 50 streams at 20 ms, a 1 MB prompt each second", _MANY, rate=39, chunks=64, pace_ms=20, large_every_s=1.0),
)

# A stream stalls that pauses for over 100 ms (load.py). One in a hundred may: on a machine that does other work, that says nothing of who serves it.
_MAY_STALL = 0.01
_TRIES = 2


class Bench:
    """Runs legs from the cores of the load."""

    def __init__(self, folder: Path, load_cores: set[int], upstream: Server) -> None:
        self._folder = folder
        self._pin = ["taskset", "-c", ",".join(map(str, sorted(load_cores)))]
        self._upstream = upstream

    def measure(self, leg: Leg, server: Server | None, seconds: float) -> Figures:
        """Load one server for some seconds, after a second to warm up, and return what it did and used."""
        if leg.steps:
            return self._most(leg, server, seconds)
        port = (server or self._upstream).port
        headers = server.target.headers if server is not None else {}
        if leg.concurrency:
            self._wrk(leg, port, headers, 1.0)
        cpu = server.cpu_s() if server is not None else 0.0
        upstream_cpu = self._upstream.cpu_s()
        figures = (self._wrk if leg.concurrency else self._streams)(leg, port, headers, seconds)
        answered = figures["requests"]
        if not answered:
            raise RuntimeError(f"{leg.name}: {server.target.name if server else 'direct'} answered nothing")
        if server is not None:
            figures["cpu_us"] = round((server.cpu_s() - cpu) / answered * 1e6, 1)
            figures["rss_mb"] = round(server.rss_mb(), 1)
        figures["upstream_cpu_us"] = round((self._upstream.cpu_s() - upstream_cpu) / answered * 1e6, 1)
        figures["per_s"] = round(answered / figures["seconds"], 1)
        return figures

    def _most(self, leg: Leg, server: Server | None, seconds: float) -> Figures:
        """Return the figures of the most streams at once that do not stall, with their number; of the fewest where even those do."""
        best: Figures = {}
        for streams in leg.steps:
            figures, held = self._step(replace(leg.at_once(streams), steps=()), server, seconds)
            if figures and (held or not best):
                best = {**figures, "at_once": streams if held else 0}
            if not held:
                break
        return best

    def _step(self, leg: Leg, server: Server | None, seconds: float) -> tuple[Figures, bool]:
        """Return the figures of one step and whether it held. One that did not is made again: a moment of other work on the machine does not come twice."""
        figures: Figures = {}
        for _ in range(_TRIES):
            try:
                figures = self.measure(leg, server, seconds)
            except RuntimeError:  # nothing came whole
                continue
            if not figures["failed"] and figures["stalled"] <= _MAY_STALL * figures["requests"]:
                return figures, True
        return figures, False

    def _wrk(self, leg: Leg, port: int, headers: Mapping[str, str], seconds: float) -> Figures:
        body = self._folder / f"{leg.size_bytes}-{leg.chunks}.json"
        if not body.exists():
            body.write_bytes(stream_body(leg.chunks, leg.pace_ms, leg.size_bytes) if leg.chunks else json_body(leg.size_bytes))
        number = 1 if leg.same else nonce()
        script = ["-s", str(ROOT / "benchmarks/body.lua"), f"http://127.0.0.1:{port}/v1/chat/completions"]
        arguments = [str(body), str(number), "same" if leg.same else "other", *(f"{name}: {value}" for name, value in headers.items())]
        command = ["wrk", "-t1", f"-c{leg.concurrency}", f"-d{max(1, round(seconds))}s", "--timeout", "30s", *script, "--", *arguments]
        return self._run(command, seconds)

    def _streams(self, leg: Leg, port: int, headers: Mapping[str, str], seconds: float) -> Figures:
        load: dict[str, object] = {"port": port, "rate": leg.rate, "seconds": seconds, "count": leg.chunks, "pace_ms": leg.pace_ms}
        load |= {"headers": dict(headers), "large_every_s": leg.large_every_s}
        figures = self._run([sys.executable, "-m", "benchmarks.load", json.dumps(load)], seconds)
        large = figures.pop("large", None)
        return {**figures, **({f"large_{name}": value for name, value in large.items()} if isinstance(large, dict) else {})}

    def _run(self, command: list[str], seconds: float) -> Figures:
        done = subprocess.run([*self._pin, *command], cwd=ROOT, capture_output=True, text=True, timeout=seconds + 60, check=False)
        if done.returncode:
            raise RuntimeError(f"{command[0]} failed: {done.stderr[-500:]}")
        figures: Figures = json.loads(done.stdout.strip().splitlines()[-1])
        return figures
