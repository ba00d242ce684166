from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from prometheus_client import REGISTRY

from app.services.quota import RedisQuota

if TYPE_CHECKING:
    from pathlib import Path


async def test_without_redis_it_cannot_say_and_the_fault_is_counted_once(tmp_path: Path) -> None:
    faults = REGISTRY.get_sample_value("sluice_faults_total", {"part": "limits"}) or 0
    quota = RedisQuota(f"unix://{tmp_path}/none.sock", 60)
    before = quota.status
    windows = [await quota.hit("203.0.113.9") for _ in range(3)]

    assert before == "ok"
    assert windows == [None] * 3
    assert quota.status == "degraded"
    assert not await quota.ping()
    assert REGISTRY.get_sample_value("sluice_degraded", {"part": "limits"}) == 1
    assert REGISTRY.get_sample_value("sluice_faults_total", {"part": "limits"}) == faults + 1
    await quota.aclose()


def test_a_url_that_is_not_redis_is_refused_without_repeating_it() -> None:
    with pytest.raises(ValueError, match="scheme") as caught:
        RedisQuota("http://user:hunter2@localhost", 60)

    assert "hunter2" not in str(caught.value)
