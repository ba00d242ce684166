"""Measure the gateway beside what it is compared with, in one run.

    python -m benchmarks.run [--legs json-32,stream-5ms] [--targets sluice,fastapi] [--quick] [--repeats 5] [--soak MINUTES] [--check] [--output FILE]

Prints a table. A run of everything, which takes about 30 minutes, is written to benchmarks/results/latest.json, any other to FILE alone. README.md beside this
file says what the figures mean.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.legs import LEGS, Bench, Figures, Leg
from benchmarks.payloads import MARK, json_body, letters, nonce
from benchmarks.servers import ROOT, Server, Target, cores, free_port, new_folder, start_redis, targets

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

RESULTS = ROOT / "benchmarks/results"
LATEST = RESULTS / "latest.json"
_COLUMNS = (
    ("at_once", "at once"),
    ("per_s", "per s"),
    ("cpu_us", "CPU µs"),
    ("p50_ms", "p50 ms"),
    ("p99_ms", "p99 ms"),
    ("added_ms", "+ ms"),
    ("first_added_ms", "+ first ms"),
    ("gap_p99_ms", "gap ms"),
    ("stalled", "stalls"),
    ("failed", "failed"),
    ("rss_mb", "MB"),
    ("to_echo", "/ echo"),
    ("to_bare", "/ bare"),
    ("to_fastapi", "/ fastapi"),
    ("to_sluice", "/ sluice"),
)
_CHECKED = "json-32"
_TOLERANCE = 1.15
_ENOUGH_SAMPLES = 4
_SOAK_MINUTES = 10.0
_WARM_UP_MINUTES = 5.0  # until the cache is full, and what the rate limit remembers of a minute, and the memory of both
_SOAK_LEGS = (("json-32", 8.0), ("prompt-100k", 2.0), ("stream-5ms", 4.0))
_IDLE_S = 5.0

Results = dict[str, dict[str, Figures]]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--legs", default="", help="names, comma-separated: " + ", ".join(leg.name for leg in LEGS))
    parser.add_argument("--targets", default="", help="names, comma-separated [all that are found]")
    parser.add_argument("--quick", action="store_true", help="two seconds a measurement, once: for a first look")
    parser.add_argument("--seconds", type=float, default=3.0, help="how long a measurement lasts [3]")
    parser.add_argument("--repeats", type=int, default=5, help="how often those are made that ratios are taken from, the others once; medians are reported [5]")
    parser.add_argument(
        "--soak",
        type=float,
        metavar="MINUTES",
        help="load the gateway for so long afterwards, 5 to warm up not counted, and see its memory grow [10 after all legs]",
    )
    parser.add_argument("--output", type=Path, metavar="FILE", help=f"where to write the figures [{LATEST.name} for a run of everything]")
    parser.add_argument("--check", action="store_true", help=f"compare CPU per request with {LATEST.name}; fails above +15 %%, writes nothing")
    options = parser.parse_args()
    if shutil.which("wrk") is None or shutil.which("taskset") is None:
        print("wrk and taskset are needed (Debian, Ubuntu: apt-get install wrk util-linux).", file=sys.stderr)
        return 2
    everything = not (options.quick or options.legs or options.targets)
    if options.quick:
        options.seconds, options.repeats = 2.0, 1
    if options.soak is None:
        options.soak = _SOAK_MINUTES if everything else 0.0
    if options.check:
        return check(options.seconds, options.repeats)
    legs = _chosen(LEGS, options.legs)
    with bench(options.targets) as (running, servers, skipped):
        idle = idle_memory(servers) if everything or options.output else {}
        results = measure(running, legs, servers, options.seconds, options.repeats)
        report = _report(results, servers, skipped, options.seconds, options.repeats) | {"idle": idle}
        print(table(results))
        for name, memory in idle.items():
            print(f"{name} idle: {memory['rss_mb']:.0f} MB, {memory['pss_mb']:.0f} with shared pages in parts")
        for name, why in skipped.items():
            print(f"{name} was left out: {why}")
        sluice = servers.get("sluice")
        if options.soak and sluice is not None:
            report["soak"] = soak(running, sluice, options.soak)
            print(f"soak: {report['soak']}")
    output = options.output or (LATEST if everything else None)
    if output is None:
        print("Not written: this was a part of it (--output FILE writes it).")
        return 0
    output.parent.mkdir(exist_ok=True)
    output.write_text(json.dumps(report, indent=1) + "\n")
    print(f"written to {output}")
    return 0


def check(seconds: float, repeats: int) -> int:
    """Return 1 where the gateway's CPU per request, as a ratio to the FastAPI relay's in the same run, is over the recorded one by more than 15 %."""
    recorded = json.loads(LATEST.read_text())["legs"][_CHECKED]["sluice"]["to_fastapi"]
    with bench("fastapi,sluice") as (running, servers, _):
        results = measure(running, [leg for leg in LEGS if leg.name == _CHECKED], servers, seconds, repeats)
    now = results[_CHECKED]["sluice"]["to_fastapi"]
    print(f"{_CHECKED}: CPU per request is {now:.3f} x the FastAPI relay's; recorded {recorded:.3f}, allowed {recorded * _TOLERANCE:.3f}")
    return int(now > recorded * _TOLERANCE)


@contextmanager
def bench(wanted: str = "") -> Iterator[tuple[Bench, dict[str, Server | None], dict[str, str]]]:
    """Start the upstream and every target, and yield them with what was left out and why."""
    measured, load = cores()
    if measured == load:
        print("One core only: the load takes its time from what is measured; CPU per request still means something, requests per second do not.")
    folder = new_folder()
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        upstream = Server(Target("upstream", (sys.executable, "-m", "benchmarks.upstream", "{port}")), free_port(), folder, load)
        stack.callback(upstream.stop)
        upstream.wait_ready()
        redis = start_redis(load, folder) if not wanted or "redis" in wanted else None
        if redis is not None:
            stack.callback(redis[0].wait)
            stack.callback(redis[0].terminate)
        skipped = {} if redis is not None or wanted else {"sluice-redis": "no redis-server"}
        servers: dict[str, Server | None] = {}
        for target in targets(upstream.port, folder, redis[1] if redis is not None else None):
            if wanted and target.name not in wanted.split(","):
                continue
            if target.missing is not None:
                skipped[target.name] = target.missing
            elif not target.command:
                servers[target.name] = None
            else:
                server = Server(target, free_port(), folder, measured)
                stack.callback(server.stop)
                server.wait_ready()
                servers[target.name] = server
        yield Bench(folder, load, upstream), servers, skipped


def idle_memory(servers: Mapping[str, Server | None]) -> dict[str, dict[str, float]]:
    """Return what each holds that has been asked nothing yet."""
    _say("idle memory")
    time.sleep(_IDLE_S)
    return {name: {"rss_mb": round(server.rss_mb(), 1), "pss_mb": round(server.pss_mb(), 1)} for name, server in servers.items() if server is not None}


def _say(what: str) -> None:
    """Show what is going on, in one line."""
    sys.stderr.write(f"\r\x1b[K{what}")
    sys.stderr.flush()


def _expect_everything_on(name: str, headers: Mapping[str, str]) -> None:
    if not name.startswith("sluice"):
        return
    expected = {"x-gateway-label": "public", "x-gateway-cache": "miss", "x-gateway-attempts": "1"}
    if any(headers.get(key) != value for key, value in expected.items()) or "x-ratelimit-remaining-requests" not in headers:
        raise RuntimeError(f"{name} does not do what is to be measured: {dict(headers)}")


def measure(running: Bench, legs: Sequence[Leg], servers: Mapping[str, Server | None], seconds: float, repeats: int) -> Results:
    """Return the median of each figure. The targets take turns, so that a slow minute of the machine slows them all; ratios are of one turn."""
    for name, server in servers.items():
        if server is not None:
            _expect_everything_on(name, server.ask(json_body(1024).replace(MARK.encode(), letters(nonce()).encode())))
    began = time.monotonic()
    planned = [(leg, name) for leg in legs for _ in range(repeats if leg.key else 1) for name in servers if name in leg.targets]
    runs: dict[str, dict[str, list[Figures]]] = {leg.name: {} for leg in legs}
    for number, (leg, name) in enumerate(planned, 1):
        _say(f"{number} of {len(planned)}, {(time.monotonic() - began) / 60:.1f} min: {leg.name}, {name} ")
        runs[leg.name].setdefault(name, []).append(running.measure(leg, servers[name], seconds))
    _say("")
    for row in runs.values():
        for turn in zip(*row.values(), strict=True):
            _add_ratios(dict(zip(row, turn, strict=True)))
    return {leg: {name: _medians(found) for name, found in row.items()} for leg, row in runs.items()}


def _medians(runs: list[Figures]) -> Figures:
    return {key: statistics.median(run[key] for run in runs) for key in runs[0] if all(key in run for run in runs)}


def _add_ratios(row: dict[str, Figures]) -> None:
    """Add to each target's figures what they are beside those of the others."""
    for base in ("echo", "bare", "fastapi", "sluice"):
        if base in row:
            for figures in row.values():
                if "cpu_us" in figures:
                    figures[f"to_{base}"] = round(figures["cpu_us"] / row[base]["cpu_us"], 3)
    direct = row.get("direct")
    if direct is None:
        return
    time_to, added = ("first_p50_ms", "first_added_ms") if "first_p50_ms" in direct else ("p50_ms", "added_ms")
    for figures in row.values():
        figures[added] = round(figures[time_to] - direct[time_to], 3)


def soak(running: Bench, server: Server, minutes: float) -> dict[str, float | list[float]]:
    """Load the gateway and return what its memory did after a warm-up: every sample, and their slope in MB an hour (least squares)."""
    legs = {leg.name: leg for leg in LEGS}
    samples: list[tuple[float, float]] = []
    began = time.monotonic()
    while (passed := (time.monotonic() - began) / 60 - _WARM_UP_MINUTES) < minutes:
        for name, seconds in _SOAK_LEGS:
            _say(f"soak, {passed:.1f} of {minutes:g} min: {server.rss_mb():.1f} MB ")
            running.measure(legs[name], server, seconds)
        if passed >= 0:
            samples.append(((time.monotonic() - began) / 3600, server.rss_mb()))
    _say("")
    return {"minutes": minutes, "warm_up_minutes": _WARM_UP_MINUTES, "mb": [round(mb, 1) for _, mb in samples], **_slope(samples)}


def _slope(samples: list[tuple[float, float]]) -> dict[str, float]:
    """Return MB an hour (least squares), with how far it may be off by what the samples scatter (its standard error)."""
    if len(samples) < _ENOUGH_SAMPLES:
        return {}
    hours, megabytes = zip(*samples, strict=True)
    slope, start = statistics.linear_regression(hours, megabytes)
    off = sum((mb - start - slope * hour) ** 2 for hour, mb in samples) / (len(samples) - 2)
    spread = statistics.pvariance(hours) * len(samples)
    return {"mb_per_hour": round(slope, 2), "mb_per_hour_error": round((off / spread) ** 0.5, 2)}


def table(results: Results) -> str:
    """Return the figures as text, a leg after the other."""
    lines: list[str] = []
    for leg in LEGS:
        row = results.get(leg.name)
        if row is None:
            continue
        columns = [(key, title) for key, title in _COLUMNS if any(key in figures for figures in row.values())]
        lines += ["", leg.title, " " * 19 + "".join(f"{title:>11}" for _, title in columns)]
        lines += [f"  {name:17}" + "".join(f"{_shown(figures.get(key)):>11}" for key, _ in columns) for name, figures in row.items()]
        if leg.large_every_s:
            lines += [f"  {name:17} the 1 MB prompts: p50 {figures['large_p50_ms']:.0f} ms" for name, figures in row.items() if "large_p50_ms" in figures]
    return "\n".join([*lines, ""])


def _shown(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.2f}"


def _report(results: Results, servers: Mapping[str, Server | None], skipped: Mapping[str, str], seconds: float, repeats: int) -> dict[str, object]:
    return {
        "when": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "commit": subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip(),
        "machine": {"cpu": _cpu_name(), "cores": len(os.sched_getaffinity(0)), "python": platform.python_version(), "load": os.getloadavg()[0]},
        "seconds": seconds,
        "repeats": repeats,
        "targets": list(servers),
        "skipped": dict(skipped),
        "legs": results,
    }


def _cpu_name() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def _chosen(legs: Sequence[Leg], wanted: str) -> Sequence[Leg]:
    names = [name for name in wanted.split(",") if name]
    unknown = set(names) - {leg.name for leg in legs}
    if unknown:
        raise SystemExit(f"There is no leg {', '.join(sorted(unknown))}. There are {', '.join(leg.name for leg in legs)}.")
    return [leg for leg in legs if leg.name in names] if names else legs


if __name__ == "__main__":
    raise SystemExit(main())
