from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from app.services.taint import MemoryMarks
from app.services.taint_file import _BLOCKS, _WAYS, WorkersMarks
from tests.unit.services.kept import Clock, mark

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def worker(path: Path, clock: Clock, ttl_s: float = 60) -> WorkersMarks:
    return WorkersMarks(path, MemoryMarks(ttl_s, clock=clock), clock=clock)


async def test_what_one_worker_keeps_the_others_know_until_it_expires(tmp_path: Path, clock: Clock) -> None:
    one, two = worker(tmp_path / "marks", clock), worker(tmp_path / "marks", clock)
    assert not two.may_hold("a")
    await one.add("a", [mark(1), mark(2)])

    assert two.may_hold("a")
    assert await two.known("a", [mark(1), mark(3)]) == {mark(1)}
    clock.now += 30
    await two.add("a", [mark(1)])
    clock.now += 31
    assert await one.known("a", [mark(1), mark(2)]) == {mark(1)}
    assert (tmp_path / "marks").stat().st_mode & 0o077 == 0
    assert await one.ping()
    await one.aclose()
    await two.aclose()


async def test_in_a_full_block_what_expires_first_makes_room(tmp_path: Path, clock: Clock) -> None:
    one, two = worker(tmp_path / "marks", clock), worker(tmp_path / "marks", clock)
    same = [(7 + _BLOCKS * number).to_bytes(4, "little") + bytes(12) for number in range(1, _WAYS + 2)]
    for each in same:
        clock.now += 1
        await one.add("a", [each])

    assert await two.known("a", same) == set(same[1:])
    assert await one.known("a", same) == set(same)


async def test_a_mark_that_stands_across_two_slots_is_none(tmp_path: Path, clock: Clock) -> None:
    one = worker(tmp_path / "marks", clock)
    await one.add("a", [bytes(3) + b"\x01" * 13])

    assert await one.known("b", [bytes(16)]) == set()


@given(st.lists(st.binary(min_size=16, max_size=16), max_size=40, unique=True), st.binary(min_size=16, max_size=16))
async def test_what_is_kept_is_known_and_nothing_else(tmp_path_factory: pytest.TempPathFactory, kept: list[bytes], other: bytes) -> None:
    table = worker(tmp_path_factory.mktemp("marks") / "marks", Clock())
    await table.add("a", kept)

    assert await table.known("a", [*kept, other]) == set(kept) | ({other} & set(kept))
    await table.aclose()
