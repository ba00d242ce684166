"""What the translate lane costs on top of LiteLLM's own translation, in process and without sockets: CPU µs, the fastest of several rounds.

    python -m benchmarks.translate

A request is one of 350 bytes with its whole answer, or a stream of 100 chunks of text; the answers are the simulators'. `lane` is everything from the call to
the caller's bytes, `LiteLLM` what of it was spent inside LiteLLM's functions and in Bedrock's signer, `ours` the rest.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from app.domain import Call, Label
from app.providers.translate import TranslateLane, load
from tests.simulators import DIALECTS
from tests.simulators.faults import HEALTHY
from tests.simulators.script import Stream
from tests.simulators.server import Received
from tests.unit.providers.translate.support import MODELS, FakeWire, deployment

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from app.domain import Deployment

_ROUNDS, _CALLS = 7, 30
_BODY = {
    "model": "auto",
    "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "lorem " * 40}],
    "temperature": 0.2,
    "max_tokens": 200,
}
_SAYS = " ".join("abcdefghij"[i % 10] * 5 for i in range(100))


class _Upstream:
    """The wire and its answer, at once and without a byte of I/O."""

    status = 200

    def __init__(self, parts: Sequence[bytes]) -> None:
        self._parts = parts

    async def request(self, *_: Any, **__: Any) -> _Upstream:
        return self

    async def read(self, _timeout_s: float) -> bytes:
        return self._parts[0]

    async def chunks(self) -> AsyncIterator[bytes]:
        for part in self._parts:
            yield part


class _Watch:
    """Adds up the CPU time inside the functions that it wraps."""

    def __init__(self) -> None:
        self.spent_s = 0.0

    def over(self, owner: Any, *names: str) -> None:
        for name in names:
            setattr(owner, name, self._timed(getattr(owner, name)))

    def _timed(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            start = time.process_time()
            try:
                return function(*args, **kwargs)
            finally:
                self.spent_s += time.process_time() - start

        return call


async def _lane(to: Deployment, *, stream: bool) -> tuple[TranslateLane, _Watch]:
    """Return a lane whose upstream answers at once, and a watch over the functions of others that it calls."""
    from app.providers.translate import gemini  # noqa: PLC0415 -- imports LiteLLM, which `load` must come before

    wire = FakeWire(b"{}")
    await TranslateLane(wire).open(_call(to, stream=stream))  # type: ignore[arg-type]  # stands for the wire
    simulator = DIALECTS[to.provider.removesuffix("_chat")](api_key=None)
    simulator.says = _SAYS
    sent = wire.sent[-1]
    answer = simulator.answer(Received("POST", sent["path"], (("host", "127.0.0.1:1"), *sent["headers"]), sent["body"], 0.0, 0), HEALTHY)
    parts = (*answer.chunks, *answer.end) if isinstance(answer, Stream) else (answer.content,)
    lane, watch = TranslateLane(_Upstream(parts)), _Watch()  # type: ignore[arg-type]  # stands for the wire
    dialect: Any = lane._dialect(to)  # noqa: SLF001 -- a benchmark looks inside
    watch.over(dialect._config, "map_openai_params", "transform_request")  # noqa: SLF001
    match to.provider:
        case "anthropic":
            watch.over(dialect._config, "validate_environment", "transform_parsed_response")  # noqa: SLF001
        case "gemini":
            watch.over(gemini, "transform_request_body")
        case "bedrock":
            watch.over(dialect, "_sign")
    return lane, watch


def _call(to: Deployment, *, stream: bool) -> Call:
    return Call(to, Label.PUBLIC, {**_BODY, "stream": stream}, stream)


async def _measure(to: Deployment, *, stream: bool) -> tuple[float, float]:
    """Return the CPU time of one call, and what of it was spent in the functions of others, in µs."""
    lane, watch = await _lane(to, stream=stream)
    best = (float("inf"), 0.0)
    for _ in range(_ROUNDS):
        watch.spent_s, start = 0.0, time.process_time()
        for _ in range(_CALLS):
            answer = await lane.open(_call(to, stream=stream))
            if stream:
                async for _ in answer.events():
                    pass
            else:
                await answer.body()
        best = min(best, ((time.process_time() - start) / _CALLS * 1e6, watch.spent_s / _CALLS * 1e6))
    return best


def main() -> None:
    load()
    print(f"{'CPU µs':14}{'request':>10}{'LiteLLM':>10}{'ours':>10}{'stream':>10}{'LiteLLM':>10}{'ours':>10}")
    for provider in MODELS:
        figures = [asyncio.run(_measure(deployment(provider), stream=stream)) for stream in (False, True)]
        print(f"{provider:14}" + "".join(f"{lane:10,.0f}{theirs:10,.0f}{lane - theirs:10,.0f}" for lane, theirs in figures))


if __name__ == "__main__":
    main()
