"""A child process that answers framed calls, one at a time: started at the first, started again after a crash with a growing delay."""

from __future__ import annotations

import asyncio
import contextlib
import os
import struct
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from app.utils.logging import get_logger

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from collections.abc import Callable, Sequence

_LENGTH = struct.Struct(">I")
_ENVIRONMENT = ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "LANG", "LC_ALL", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR")
_ROOT = str(Path(__file__).parents[2])
_FIRST_DELAY_S = 0.25
_LONGEST_DELAY_S = 30.0
_WORTH_WAITING_S = 1.0

log = get_logger("child_process")


class ChildDownError(Exception):
    """The child cannot be started, died, or did not answer in time (and was killed for it)."""

    def __init__(self, reason: str, *, retry_after_s: float = 1.0) -> None:
        super().__init__(reason)
        self.reason = reason
        self.retry_after_s = retry_after_s


class ChildBusyError(Exception):
    """Too many calls wait already, or this one waited its whole time."""


class ChildProcess:
    """Runs this interpreter with `arguments` and exchanges frames with it: 4 bytes of length, big-endian, then JSON.

    `greeting` is the first frame of every child. The child gets none of the gateway's environment but what an interpreter needs, its own session (a Ctrl-C
    or SIGTERM to the terminal's group is the gateway's to handle), and no standard error: what a library prints may hold content.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        greeting: bytes,
        *,
        max_calls: int = 64,
        start_timeout_s: float = 60.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._command = (sys.executable, "-P", *arguments)
        self._greeting = greeting
        self._max_calls = max_calls
        self._start_timeout_s = start_timeout_s
        self._clock = clock
        self._lock = asyncio.Lock()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._process: Process | None = None
        self._failures = 0
        self._not_before = 0.0
        self._closed = False

    @property
    def pid(self) -> int | None:
        """The child's process id while it runs."""
        return self._process.pid if self._process is not None and self._process.returncode is None else None

    async def call(self, payload: bytes, *, timeout_s: float) -> Any:
        """Return the child's answer. Raises ChildDownError and ChildBusyError.

        `timeout_s` bounds the wait for one's turn and, again, the exchange. A caller that leaves does not break the exchange: it is finished for nobody.
        """
        if self._closed:
            raise ChildDownError("closed")
        if len(self._tasks) >= self._max_calls:
            raise ChildBusyError
        task = asyncio.create_task(self._take_turn(payload, timeout_s))
        self._tasks.add(task)
        task.add_done_callback(self._finished)
        return await asyncio.shield(task)

    async def close(self) -> None:
        """End the child: by the end of its input, or by force after 5 s. Calls under way fail."""
        self._closed = True
        process, self._process = self._process, None
        if process is not None:
            await _end(process, patience_s=0.0 if self._lock.locked() else 5.0)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _finished(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # its caller may have left: it counts as seen

    async def _take_turn(self, payload: bytes, timeout_s: float) -> Any:
        try:
            async with asyncio.timeout(timeout_s):
                await self._lock.acquire()
        except TimeoutError:
            raise ChildBusyError from None
        try:
            process = await self._running()
            answer = await self._exchange(process, payload, timeout_s)
        finally:
            self._lock.release()
        self._failures = 0
        return answer

    async def _exchange(self, process: Process, payload: bytes, timeout_s: float) -> Any:
        if process.stdin is None or process.stdout is None:
            raise ChildDownError("no pipes")
        try:
            async with asyncio.timeout(timeout_s):
                process.stdin.write(_LENGTH.pack(len(payload)))
                process.stdin.write(payload)
                await process.stdin.drain()
                (length,) = _LENGTH.unpack(await process.stdout.readexactly(_LENGTH.size))
                return orjson.loads(await process.stdout.readexactly(length))
        except (TimeoutError, OSError, EOFError) as exc:  # whatever it says later would answer another call
            reason = "timeout" if isinstance(exc, TimeoutError) else "died"
            await self._lost(process, reason)
            raise ChildDownError(reason, retry_after_s=max(1.0, self._not_before - self._clock())) from exc
        except asyncio.CancelledError:
            await self._lost(process, "cancelled")
            raise

    async def _running(self) -> Process:
        if self._closed:
            raise ChildDownError("closed")
        if self._process is not None:
            if self._process.returncode is None:
                return self._process
            await self._lost(self._process, "died")
        delay_s = self._not_before - self._clock()
        if delay_s > _WORTH_WAITING_S:
            raise ChildDownError("restarting", retry_after_s=delay_s)
        if delay_s > 0:
            await asyncio.sleep(delay_s)
        return await self._start()

    async def _start(self) -> Process:
        environment = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, (_ROOT, environment.get("PYTHONPATH"))))
        pipe, nowhere = asyncio.subprocess.PIPE, asyncio.subprocess.DEVNULL
        try:
            process = await asyncio.create_subprocess_exec(
                *self._command, stdin=pipe, stdout=pipe, stderr=nowhere, cwd=os.sep, env=environment, start_new_session=True
            )
        except OSError as exc:
            self._count_failure()
            raise ChildDownError("not_started") from exc
        self._process = process
        answer = await self._exchange(process, self._greeting, self._start_timeout_s)
        if "error" in answer:
            await self._lost(process, answer["error"])
            raise ChildDownError(answer["error"], retry_after_s=max(1.0, self._not_before - self._clock()))
        log.info("child_started", pid=process.pid)
        return process

    async def _lost(self, process: Process, reason: str) -> None:
        if self._process is process:
            self._process = None
        self._count_failure()
        if not self._closed:
            log.warning("child_lost", reason=reason, failures=self._failures)
        await _end(process, patience_s=0.0)

    def _count_failure(self) -> None:
        self._failures += 1
        self._not_before = self._clock() + min(_LONGEST_DELAY_S, _FIRST_DELAY_S * 2 ** min(self._failures - 1, 16))


async def _end(process: Process, *, patience_s: float) -> None:
    if process.stdin is not None:
        process.stdin.close()
    if process.returncode is None and patience_s > 0:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience_s):
                await process.wait()
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
    await process.wait()
