"""Where Chroma keeps documents: a folder that several processes may share, or a server. For the child process alone."""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
import struct
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_STATE = struct.Struct("<Q?")  # how often the folder was written to, and whether deleted text is still in its files
_LOCK_WAIT_S = 8.0
_SCRUB_LIMIT_BYTES = 512 << 20  # a vacuum rewrites the file: about 100 MB/s on a small machine


class RefusedError(Exception):
    """A call that is answered with `code`."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class Folder:
    """A folder that embedded Chroma keeps, shared safely with other processes.

    Chroma itself supports one process a folder. So every call holds an exclusive lock on one file, and who finds that another has written meanwhile opens
    Chroma anew (10 ms) instead of trusting what it has in memory.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd = -1
        self._seen: int | None = None
        self._state = (0, False)

    def client(self) -> Any:
        """Open Chroma."""
        import chromadb  # noqa: PLC0415 - half a second that only the child may spend
        from chromadb.config import Settings  # noqa: PLC0415 - likewise

        settings = Settings(anonymized_telemetry=False, _env_file=None)
        return chromadb.PersistentClient(str(self._path), settings=settings)

    def close(self, client: Any) -> None:
        """Let go of the files."""
        client.close()

    @contextlib.contextmanager
    def held(self) -> Iterator[bool]:
        """Keep every other process out; yields whether one of them has written since the last time (or the folder is a new one)."""
        self._acquire()
        try:
            raw = os.pread(self._fd, _STATE.size, 0)
            self._state = _STATE.unpack(raw) if len(raw) == _STATE.size else (0, False)
            changed = self._seen != self._state[0]
            self._seen = self._state[0]
            yield changed
        finally:
            fcntl.flock(self._fd, fcntl.LOCK_UN)

    def wrote(self, *, dropped_text: bool) -> None:
        """Tell the others, before the write, that what they have in memory is old; `dropped_text` that a scrub is due."""
        self._save(self._state[0] + 1, self._state[1] or dropped_text)

    @property
    def scrub_due(self) -> bool:
        """Whether text that was deleted is still in the files."""
        return self._state[1]

    def scrub(self, collection: Any) -> None:
        """Remove deleted and replaced text from the files. To be called while held.

        Chroma keeps it in three places: free pages of the database, the full-text index, and the write-ahead queue, where the metadata half of an entry
        is dead once the metadata segment has applied it. What remains are the vectors of up to `sync_threshold` (1,000) writes.
        """
        file = self._path / "chroma.sqlite3"
        with contextlib.closing(sqlite3.connect(file, isolation_level=None, timeout=_LOCK_WAIT_S)) as database:
            database.execute(
                "UPDATE embeddings_queue SET metadata = NULL WHERE metadata IS NOT NULL AND topic LIKE '%' || :collection AND seq_id <= (SELECT seq_id"
                " FROM max_seq_id JOIN segments ON segment_id = segments.id WHERE scope = 'METADATA' AND collection = :collection)",
                {"collection": str(collection.id)},
            )
            if file.stat().st_size <= _SCRUB_LIMIT_BYTES:
                database.execute("INSERT INTO embedding_fulltext_search(embedding_fulltext_search) VALUES ('optimize')")
                database.execute("VACUUM")
        self._save(self._state[0], due=False)

    def forget_scrub(self) -> None:
        """Give a scrub up that fails: it is due again after the next delete."""
        self._state = (self._state[0], False)

    def _save(self, generation: int, due: bool) -> None:
        os.pwrite(self._fd, _STATE.pack(generation, due), 0)
        self._state, self._seen = (generation, due), generation

    def _acquire(self) -> None:
        deadline = time.monotonic() + _LOCK_WAIT_S
        while True:
            self._open()
            if _try_lock(self._fd):
                if os.fstat(self._fd).st_nlink:
                    return
                fcntl.flock(self._fd, fcntl.LOCK_UN)  # the folder was removed under us: begin again in a new one
                os.close(self._fd)
                self._fd, self._seen = -1, None
            if time.monotonic() > deadline:
                raise RefusedError("locked")
            time.sleep(0.002)

    def _open(self) -> None:
        if self._fd >= 0 and os.fstat(self._fd).st_nlink:
            return
        if self._fd >= 0:
            os.close(self._fd)
            self._seen = None
        self._path.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.environ["SQLITE_TMPDIR"] = str(self._path)  # a vacuum's working copy holds documents: it stays where they are allowed
        self._fd = os.open(self._path / ".sluice-lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


class Server:
    """A Chroma server; it does its own locking."""

    scrub_due = False

    def __init__(self, url: str) -> None:
        self._url = url

    def client(self) -> Any:
        """Connect."""
        import chromadb  # noqa: PLC0415 - half a second that only the child may spend
        from chromadb.config import Settings  # noqa: PLC0415 - likewise

        settings = Settings(anonymized_telemetry=False, _env_file=None)
        return chromadb.HttpClient(host=self._url, settings=settings)  # a whole URL: a bare host that starts with "http" or is IPv6 is misread

    def close(self, client: Any) -> None:
        """Disconnect: closing the client leaves its connections open."""
        servers = (client._server, client._admin_client._server)  # noqa: SLF001 - there is no other way to them
        client.close()
        for server in servers:
            server._session.close()  # noqa: SLF001 - likewise

    def held(self) -> contextlib.AbstractContextManager[bool]:
        """Hold nothing."""
        return contextlib.nullcontext(enter_result=False)

    def wrote(self, *, dropped_text: bool) -> None:
        """Tell nobody."""

    def scrub(self, collection: Any) -> None:
        """Leave the server's files to the server."""

    def forget_scrub(self) -> None:
        """Do nothing: nothing is ever due."""


def _try_lock(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
