"""What happens to the parts when the process ends."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

from prometheus_client import REGISTRY

from app.parts import close


class Part:
    def __init__(self, fault: Exception | None = None) -> None:
        self._fault = fault
        self.closed = False

    async def aclose(self) -> None:
        if self._fault is not None:
            raise self._fault
        self.closed = True

    close = aclose


async def test_a_part_that_fails_to_close_is_counted_and_keeps_no_other_open() -> None:
    pool = ThreadPoolExecutor(1)
    parts: Any = SimpleNamespace(
        store=Part(OSError("secret")), kept=SimpleNamespace(stores=[Part(ValueError("secret")), quota := Part()]), wire=Part(), scan_pool=pool
    )
    before = REGISTRY.get_sample_value("sluice_faults_total", {"part": "close"}) or 0

    await close(parts)

    assert (quota.closed, parts.wire.closed, pool._shutdown) == (True, True, True)
    assert REGISTRY.get_sample_value("sluice_faults_total", {"part": "close"}) == before + 2


async def test_parts_that_are_not_configured_are_left_out() -> None:
    parts: Any = SimpleNamespace(store=Part(), kept=SimpleNamespace(stores=[]), wire=Part(), scan_pool=ThreadPoolExecutor(1))

    await close(parts)

    assert (parts.store.closed, parts.wire.closed) == (True, True)
