from __future__ import annotations

from typing import TYPE_CHECKING

from app.utils import monitoring

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_the_exposition_is_prometheus_text() -> None:
    monitoring.CACHE.labels("miss").inc()

    content, media_type = monitoring.exposition()

    assert b'sluice_cache_total{state="miss"}' in content
    assert media_type.startswith("text/plain")


def test_with_several_workers_it_reads_their_common_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))

    assert monitoring.exposition()[0] == b""
