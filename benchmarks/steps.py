"""What each step of a chat request costs, in process and without sockets: CPU µs, the fastest of several rounds.

    python -m benchmarks.steps [--size BYTES]

The figures say where the time goes; they are not those of the server, whose caches are colder and whose garbage is collected.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.config.settings import Settings
from app.domain import CacheState, Hints, Usage
from app.gateway.beginning import take_whole
from app.gateway.cache_key import cache_key
from app.gateway.deadlines import Deadlines, Within
from app.gateway.receipt import Receipt
from app.gateway.snapshot import ask
from app.http_io import read_headers
from app.limits import limit_headers
from app.middleware import account, begin_fields
from app.parts import compose
from app.policy.collect import collect
from app.policy.complexity import score
from app.policy.planner import decide
from app.policy.tokens import estimate_tokens
from app.routers.chat import read_request
from app.utils import logging, monitoring
from benchmarks.payloads import ANSWER, json_body
from benchmarks.servers import KEY, ROOT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_ROUNDS, _CALLS = 7, 2000
_NOT_READ: Any = None  # an answer of which the bytes are given
_SCOPE = {
    "type": "http",
    "client": ("127.0.0.1", 50000),
    "headers": [
        (b"host", b"127.0.0.1:8000"),
        (b"content-type", b"application/json"),
        (b"content-length", b"1024"),
        (b"authorization", f"Bearer {KEY.partition(':')[2]}".encode()),
    ],
}


def cost(step: Callable[[], Any], calls: int) -> float:
    """Return the CPU time of one call in µs."""
    best = float("inf")
    for _ in range(_ROUNDS):
        start = time.process_time()
        for _ in range(calls):
            step()
        best = min(best, time.process_time() - start)
    return best / calls * 1e6


@contextmanager
def composed() -> Iterator[Any]:
    """Yield the gateway's parts, with everything on, and the log in /dev/null."""
    env = {"BENCH_UPSTREAM": "http://127.0.0.1:9/v1"}
    os.environ["GATEWAY_CONFIG"] = str(ROOT / "benchmarks/gateway.yaml")
    os.environ["GATEWAY_API_KEYS"] = KEY
    os.environ["RATE_LIMIT_PER_MINUTE"] = "100000000"
    with Path(os.devnull).open("w") as sink:
        logging.configure("info", readable=False, stream=sink)
        yield compose(Settings(), env)


def steps(parts: Any, raw: bytes) -> Iterator[tuple[str, Callable[[], Any]]]:
    """Yield each step of a request that the cache does not know, in its order."""
    headers = read_headers(_SCOPE)
    tenant = parts.guard.access.tenant(headers["authorization"], "127.0.0.1")
    request = read_request(raw, headers, tenant)
    assessor = parts.chat.assessor
    collected = collect(request.body)
    facts = assessor.assess(request.body, Hints())
    chat, terms = parts.chat, parts.chat.terms
    plan = decide(terms.table, facts, request.body, ask(terms.table, request), chat.snapshot(terms, request))
    window = parts.guard.limit.hit_local("10.0.0.1")
    deployment = plan.attempts[0].deployment
    usage = Usage(210, 80)
    receipt = Receipt()
    receipt.facts, receipt.rule, receipt.cache, receipt.deployment, receipt.attempts = facts, plan.rule, CacheState.MISS, deployment.name, 1
    receipt.usage, receipt.cost_usd = usage, 0.0001
    receipt.assess_s = receipt.cache_s = receipt.upstream_s = 0.001
    loop, vital = asyncio.new_event_loop(), chat.vitals.of(deployment)

    def metrics() -> None:
        monitoring.ROUTED.labels(facts.label, facts.known_complexity.tier if facts.known_complexity is not None else "unread", plan.rule).inc()
        monitoring.CACHE.labels(CacheState.MISS).inc()
        monitoring.ATTEMPTS.labels(deployment.name, "ok").inc()
        monitoring.IN_FLIGHT.inc()
        monitoring.IN_FLIGHT.dec()
        vital.spend(deployment, usage)

    def tell() -> None:
        fields = begin_fields("req_benchmark", "POST", "/v1/chat/completions", 200)
        receipt.note(fields)
        account(fields, seconds=0.002)

    deadlines = Deadlines()

    def limits() -> None:
        async def wait() -> None:
            with Within(deadlines, 30):
                return

        loop.run_until_complete(wait())

    yield "headers into a dict", lambda: read_headers(_SCOPE)
    yield "rate limit: hit and window", lambda: parts.guard.limit.hit_local("127.0.0.1")
    yield "rate limit: headers", lambda: limit_headers(window)
    yield "key check", lambda: parts.guard.access.tenant(headers["authorization"], "127.0.0.1")
    yield "parse and check the body", lambda: read_request(raw, headers, tenant)
    yield "assess, whole", lambda: assessor.assess(request.body, request.hints)
    yield "  collect", lambda: collect(request.body)
    yield "  scan", lambda: assessor._scanner.scan(collected.scalars, collected.joins)  # noqa: SLF001 -- a benchmark looks inside
    yield "  complexity", lambda: score(collected.human_turns)
    yield "  estimate tokens", lambda: estimate_tokens(collected)
    yield "plan", lambda: decide(terms.table, facts, request.body, ask(terms.table, request), chat.snapshot(terms, request))
    yield "cache key", lambda: cache_key(b"k" * 32, tenant=tenant.key_id, plan_id="small\x1egpt", body=request.body, headers=())
    yield "limit of an attempt, with the run of a loop", limits
    yield "metrics", metrics
    yield "receipt headers", receipt.lines
    yield "log line, count and time of a request", tell
    yield "read the answer's usage", lambda: take_whole(deployment, _NOT_READ, ANSWER, moves_on=False)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=1024, help="bytes of the request [1024]")
    parser.add_argument("--calls", type=int, help=f"of each step in each of {_ROUNDS} rounds [{_CALLS}, of longer requests fewer]")
    options = parser.parse_args()
    calls = options.calls or max(20, _CALLS * 1024 // options.size)
    with composed() as parts:
        for name, step in steps(parts, json_body(options.size)):
            print(f"{name:42}{cost(step, calls):9.1f}")


if __name__ == "__main__":
    main()
