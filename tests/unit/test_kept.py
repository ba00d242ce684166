from __future__ import annotations

from ipaddress import ip_network
from typing import TYPE_CHECKING, Any

import pytest

from app.config.faults import ConfigError
from app.config.settings import load_settings
from app.domain import EgressPolicy
from app.kept import Kept, keep
from app.services.taint import NOT_CLEARED, MemoryMarks, RedisMarks

if TYPE_CHECKING:
    from pathlib import Path

EGRESS = EgressPolicy({}, (ip_network("127.0.0.0/8"),), {})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def kept(folder: Path, **settings: Any) -> Kept:
    return keep(load_settings(dotenv=folder / "none.env", **settings), EGRESS)


def test_without_redis_everything_is_kept_in_process_with_a_secret_of_its_own(folder: Path) -> None:
    one, other = kept(folder), kept(folder, cache_ttl=0)

    assert isinstance(one.conversations.marks, MemoryMarks)
    assert (one.quota, other.cache) == (None, None)
    assert len(one.secret) == 32
    assert one.secret != other.secret
    assert repr(one.secret) not in repr(one)


async def test_a_redis_on_this_machine_shares_everything(folder: Path) -> None:
    shared = kept(folder, redis_url="redis://127.0.0.1:1", gateway_secret="s" * 32)

    assert isinstance(shared.conversations.marks, RedisMarks)
    assert {type(store).__name__ for store in shared.stores} >= {"RedisCache", "RedisQuota", "RedisMarks"}
    for store in shared.stores:
        await store.aclose()


def test_a_redis_that_is_not_cleared_for_confidential_gets_no_marks(folder: Path) -> None:
    marks = kept(folder, redis_url="redis://redis.example.com", gateway_secret="s" * 32).conversations.marks

    assert isinstance(marks, MemoryMarks)
    assert marks.status == NOT_CLEARED


def test_a_url_that_is_not_redis_is_refused(folder: Path) -> None:
    with pytest.raises(ConfigError, match="REDIS_URL must look like"):
        kept(folder, redis_url="redis://127.0.0.1:port", gateway_secret="s" * 32)
