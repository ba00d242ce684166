"""Connections that wait for their next request: one pool for each label and address, never shared."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from app.providers.wire_connection import Connection


class Pool:
    """Idle connections of one label to one address, the newest used first. `live` holds every connection there is, idle or not, of all pools."""

    def __init__(self, live: set[Connection], *, max_idle: int, max_idle_s: float) -> None:
        self._live = live
        self._max_idle = max_idle
        self._max_idle_s = max_idle_s
        self._idle: deque[Connection] = deque()
        self._closed = False

    def take(self, now: float) -> Connection | None:
        """Return a connection that a request can be written to; those that went stale are closed on the way."""
        while self._idle:
            connection = self._idle.pop()
            if connection.is_fresh(now, self._max_idle_s):
                return connection
            connection.abort()
        return None

    def greet(self, connection: Connection) -> None:
        """Note a connection that was made."""
        self._live.add(connection)

    def put(self, connection: Connection) -> None:
        """Take a connection back; the oldest is closed when it expired or when there are too many."""
        if self._closed:
            connection.abort()
            return
        now = connection.idle_since = connection.loop.time()
        self._idle.append(connection)
        if len(self._idle) > self._max_idle or now - self._idle[0].idle_since > self._max_idle_s:
            self._idle.popleft().abort()

    def forget(self, connection: Connection) -> None:
        """Drop a connection that was lost."""
        self._live.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)

    def close(self) -> None:
        """Close what is idle now, and what comes back later."""
        self._closed = True
        while self._idle:
            self._idle.pop().abort()
