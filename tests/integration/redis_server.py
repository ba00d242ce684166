"""A private redis-server on a free port of loopback, without persistence, that a test can stop, start, pause and resume."""

from __future__ import annotations

import asyncio
import math
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

_DEADLINE_S = 20
_TRIES = 5

TIMEOUT_S = 0.25  # of what is made for a test
BOUND_S = 2 * TIMEOUT_S
LAG_S = 0.2  # below the time-out: a loop that waited for Redis would miss it


class RedisServer:
    """One server; its address stays the same over restarts, its content does not."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self.port = 0

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Start the server and wait until it answers. Another program may take a port between its choice and its use, so a few are tried."""
        for _ in range(_TRIES):
            port = self.port or _free_port()
            command = ["redis-server", "--bind", "127.0.0.1", "--port", str(port), "--save", "", "--appendonly", "no", "--dir", self._folder]
            self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            if self._answers(port):
                self.port = port
                return
            self.stop()
        raise RuntimeError("redis-server does not start")

    def stop(self) -> None:
        """Kill the server, as a crash would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(_DEADLINE_S)
            self._process = None

    def pause(self) -> None:
        """Let the server hang: connections stay open and new ones are accepted by the kernel, but nothing answers."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    @contextmanager
    def hanging(self) -> Iterator[None]:
        """Let it hang until the block ends."""
        self.pause()
        try:
            yield
        finally:
            self.resume()

    def command(self, *words: str) -> bytes:
        """Send one command on a connection of its own, and return the answer's bytes as they come."""
        return _ask(self.port, " ".join(words).encode())

    def _answers(self, port: int) -> bool:
        assert self._process is not None
        deadline = time.monotonic() + _DEADLINE_S
        while self._process.poll() is None and time.monotonic() < deadline:
            try:
                if _ask(port, b"PING").startswith(b"+PONG"):
                    return self._process.poll() is None
            except OSError:
                time.sleep(0.01)
        return False


class Clock:
    """The clock, as far `ahead` as a test sets it."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.ahead


@contextmanager
def running_redis() -> Iterator[RedisServer]:
    """Yield a server that answers; the test is skipped where the program is not installed."""
    if shutil.which("redis-server") is None:
        pytest.skip("redis-server is not installed")
    with tempfile.TemporaryDirectory() as folder:
        server = RedisServer(folder)
        try:
            server.start()
            yield server
        finally:
            server.stop()


@dataclass
class Lag:
    """How long the event loop went without a turn, at worst."""

    worst_s: float = math.inf  # until it was measured

    async def tick(self) -> None:
        last, worst_s = time.monotonic(), 0.0
        while True:
            await asyncio.sleep(0.005)
            now = time.monotonic()
            self.worst_s = worst_s = max(worst_s, now - last)
            last = now


@asynccontextmanager
async def measured_lag() -> AsyncIterator[Lag]:
    """Tick beside the body."""
    lag = Lag()
    ticker = asyncio.create_task(lag.tick())
    try:
        yield lag
        await asyncio.sleep(0.02)  # a tick that came late counts too
    finally:
        ticker.cancel()
        await asyncio.gather(ticker, return_exceptions=True)


def _ask(port: int, command: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=2) as connection:
        connection.sendall(command + b"\r\nQUIT\r\n")
        chunks = []
        while chunk := connection.recv(65536):
            chunks.append(chunk)
        return b"".join(chunks)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port
