from __future__ import annotations

import math

import pytest

from app.gateway.cache_control import CacheControl, parse_cache_control


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (None, CacheControl()),
        ("", CacheControl()),
        ("private, unknown=3", CacheControl()),
        ("no-cache", CacheControl(no_cache=True)),
        ("No-Store", CacheControl(no_cache=True, no_store=True)),
        ("max-age=60", CacheControl(max_age_s=60)),
        ('max-age = "60"', CacheControl(max_age_s=60)),
        ("max-age=0", CacheControl(no_cache=True, max_age_s=0)),
        ("max-age=soon", CacheControl(no_cache=True, max_age_s=0)),
        ("max-age", CacheControl(no_cache=True, max_age_s=0)),
        ("max-age=60, no-cache", CacheControl(no_cache=True, max_age_s=60)),
    ],
)
def test_directives_are_read(header: str | None, expected: CacheControl) -> None:
    assert parse_cache_control(header) == expected


def test_without_max_age_no_answer_is_too_old() -> None:
    assert parse_cache_control(None).max_age_s == math.inf
