"""Marks that the workers of one machine share without a Redis: a table in a file that all map into memory. A mark is a keyed hash; no text comes here."""

from __future__ import annotations

import mmap
import os
import struct
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from app.services.taint import MemoryMarks

_MARK_BYTES: Final = 16
_EXPIRES: Final = struct.Struct("<I")  # Unix time in seconds
_SLOT_BYTES: Final = _MARK_BYTES + _EXPIRES.size
_WAYS: Final = 8  # places that one mark may have: a block is read at once
_BLOCK_BYTES: Final = _WAYS * _SLOT_BYTES
_BLOCKS: Final = 2**14  # with eight marks each: 131,072 in 2.6 MB
_SIZE_BYTES: Final = _BLOCKS * _BLOCK_BYTES + 1  # the last byte says whether there is any mark


class WorkersMarks:
    """Shares marks between the workers of one machine, through a file that ends with them; each keeps its own in `memory` too.

    In a full block the mark that expires first makes room. Nothing is locked: two workers that write one slot at the same moment may lose a mark there, which
    the one that made it still has in memory.
    """

    status = "ok"

    def __init__(self, path: Path, memory: MemoryMarks, *, clock: Callable[[], float] = time.time) -> None:
        self._memory = memory
        self._clock = clock
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.ftruncate(file, _SIZE_BYTES)
            self._table = mmap.mmap(file, _SIZE_BYTES)
        finally:
            os.close(file)

    def may_hold(self, tenant: str) -> bool:  # noqa: ARG002 -- the port's signature
        """Say whether any worker has kept anything."""
        return self._table[-1] != 0

    async def known(self, tenant: str, marks: Sequence[bytes]) -> frozenset[bytes]:
        """Return those of `marks` that a worker keeps and that have not expired."""
        now = self._clock()
        return self._memory.find(tenant, marks) | {mark for mark in marks if self._expires(mark) > now}

    async def add(self, tenant: str, marks: Sequence[bytes]) -> None:
        """Keep these marks, anew where they are kept already."""
        self._memory.keep(tenant, marks)
        expires = _EXPIRES.pack(min(int(self._clock() + self._memory.ttl_s), 2**32 - 1))
        for mark in marks:
            at = self._place_for(mark)
            self._table[at : at + _SLOT_BYTES] = mark + expires
        self._table[-1] = 1

    async def ping(self) -> bool:
        """Say that the marks can be asked for, as RedisMarks does."""
        return True

    async def aclose(self) -> None:
        """Let go of the file."""
        self._table.close()

    def _expires(self, mark: bytes) -> int:
        start = _start(mark)
        block = self._table[start : start + _BLOCK_BYTES]
        at = block.find(mark)
        while at >= 0 and at % _SLOT_BYTES:
            at = block.find(mark, at + 1)
        return -1 if at < 0 else int(_EXPIRES.unpack_from(block, at + _MARK_BYTES)[0])

    def _place_for(self, mark: bytes) -> int:
        start = _start(mark)
        slots = [self._table[at : at + _SLOT_BYTES] for at in range(start, start + _BLOCK_BYTES, _SLOT_BYTES)]
        for way, slot in enumerate(slots):
            if slot.startswith(mark):
                return start + way * _SLOT_BYTES
        ends = [_EXPIRES.unpack_from(slot, _MARK_BYTES)[0] for slot in slots]
        return start + ends.index(min(ends)) * _SLOT_BYTES


def _start(mark: bytes) -> int:
    return int.from_bytes(mark[:4], "little") % _BLOCKS * _BLOCK_BYTES
