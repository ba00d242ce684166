"""The compiled multi-pattern databases: made once for a machine and a set of patterns, kept on disk, scanned with one scratch for each thread."""

from __future__ import annotations

import hashlib
import os
import platform
import tempfile
import threading
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

try:
    import hyperscan
except ImportError:
    hyperscan = None  # type: ignore[assignment]  # the way to say that a package is not there

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

Trigger = tuple[str, bool]  # an expression, and whether it ignores case
_MAX_HITS = 200_000  # 8 MiB of logs with an address a line have fewer; each costs about a microsecond to look at
Hit = tuple[int, int]  # index of the pattern, offset of the hit's end


class UnavailableError(Exception):
    """The scanner's library cannot be loaded or does not take the patterns."""


class TooManyHitsError(Exception):
    """A text has more places to look at than anything that a person wrote."""


class Database:
    """Scans bytes for all triggers.

    `apart` are groups of triggers (by index) that get a database each, beside the one that holds the rest. Hyperscan looks for literals where it can, and
    has an automaton read every byte where a trigger has none. Put together these automata become a slower kind: the scanner's triggers take 14.5 ms a MiB in
    one database, and 11 ms in four.

    Hyperscan's databases are specific to its version and to the processor, so both are part of the cached file's name. The file is a copy of what
    compiling gives (about two seconds): one that is missing, damaged or cannot be written costs time and nothing else.
    """

    def __init__(self, patterns: Sequence[Trigger], *, apart: Sequence[Collection[int]] = (), cache: Path | None = None) -> None:
        if hyperscan is None:
            raise UnavailableError("The package hyperscan cannot be imported; install requirements.txt.")
        self._threads = threading.local()
        folder = cache_folder() if cache is None else cache
        groups = [set(range(len(patterns))).difference(*apart), *apart]
        try:
            self._databases = [_load({number: patterns[number] for number in sorted(group)}, folder) for group in groups if group]
        except hyperscan.error as exc:
            raise UnavailableError("Hyperscan does not run on this processor or does not take the patterns.") from exc

    def hits(self, text: bytes) -> list[Hit]:
        """Return where each trigger hits, those of one trigger in the order of their ends. Raises TooManyHitsError."""
        found: list[Hit] = []
        append = found.append

        def on_hit(pattern: int, _start: int, end: int, _flags: int, _context: object) -> bool:
            append((pattern, end))
            return len(found) > _MAX_HITS

        try:
            scanned = self._threads.scanned
        except AttributeError:
            scanned = self._threads.scanned = [(database.scan, hyperscan.Scratch(database)) for database in self._databases]
        try:
            for scan, scratch in scanned:
                scan(text, on_hit, 0, None, scratch)  # by place: keywords take as long again as the call
        except hyperscan.ScanTerminated:
            raise TooManyHitsError from None
        return found


class Literals:
    """Tells which of some byte strings a text has. Where Hyperscan cannot run each is looked for by itself: slow, and the same."""

    def __init__(self, literals: Sequence[bytes]) -> None:
        self._literals = literals
        self._threads = threading.local()
        self._database: hyperscan.Database | None = None
        self._is_prepared = False

    def prepare(self) -> None:
        """Compile once, which takes 10 ms for a thousand; the first look does it otherwise."""
        if hyperscan is not None and self._literals and not self._is_prepared:
            database = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
            once = [hyperscan.HS_FLAG_SINGLEMATCH] * len(self._literals)
            with suppress(hyperscan.error):
                database.compile(expressions=self._literals, ids=range(len(once)), elements=len(once), flags=once, literal=True)
                self._database = database
        self._is_prepared = True

    def within(self, text: bytes) -> list[int]:
        """Return the indexes of those that a text has."""
        database = self._database
        if database is None:
            if self._is_prepared:
                return [number for number, literal in enumerate(self._literals) if literal in text]
            self.prepare()
            return self.within(text)
        found: list[int] = []
        append = found.append

        def on_hit(number: int, _start: int, _end: int, _flags: int, _context: object) -> None:
            append(number)

        try:
            scratch = self._threads.scratch
        except AttributeError:
            scratch = self._threads.scratch = hyperscan.Scratch(database)
        database.scan(text, on_hit, 0, None, scratch)
        return found


def refusal(expression: str) -> str | None:
    """Return why Hyperscan does not take an expression, in its own words; None where it does, or cannot be asked."""
    if hyperscan is None:
        return None
    try:
        _compile({0: (expression, False)})
    except hyperscan.error as exc:
        return str(exc)
    return None


def cache_folder() -> Path | None:
    """Return the user's own cache folder (XDG base directory specification); None for a user without a home."""
    base = os.environ.get("XDG_CACHE_HOME")
    try:
        return (Path(base) if base else Path("~/.cache").expanduser()) / "sluice"
    except RuntimeError:
        return None


def _load(patterns: Mapping[int, Trigger], folder: Path | None) -> hyperscan.Database:
    file = None if folder is None else folder / f"patterns-{_fingerprint(patterns)}.hsdb"
    database = None if file is None else _stored(file)
    if database is None:
        database = _compile(patterns)
        if file is not None:
            with suppress(OSError):
                _write(file, hyperscan.dumpb(database))
    return database


def _compile(patterns: Mapping[int, Trigger]) -> hyperscan.Database:
    database = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
    database.compile(
        expressions=[expression.encode("ascii") for expression, _ in patterns.values()],
        ids=list(patterns),
        elements=len(patterns),
        flags=[hyperscan.HS_FLAG_CASELESS if caseless else 0 for _, caseless in patterns.values()],
    )
    return database


def _stored(file: Path) -> hyperscan.Database | None:
    """Return the database that a file holds; None where it is missing or damaged."""
    with suppress(OSError, hyperscan.error):
        digest, _, stored = file.read_bytes().partition(b"\n")
        if digest == _digest(stored):
            return hyperscan.loadb(stored, hyperscan.HS_MODE_BLOCK)
    return None


def _write(file: Path, stored: bytes) -> None:
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=file.parent)
    try:
        with os.fdopen(handle, "wb") as temporary:
            temporary.write(_digest(stored) + b"\n" + stored)
        Path(name).replace(file)
    except OSError:
        Path(name).unlink(missing_ok=True)
        raise


def _digest(stored: bytes) -> bytes:
    return hashlib.sha256(stored).hexdigest().encode()


def _fingerprint(patterns: Mapping[int, Trigger]) -> str:
    """Name a database: by Hyperscan's version, the processor and the patterns with their numbers."""
    parts = [version("hyperscan"), _processor(), *(f"{number} {caseless:d}{expression}" for number, (expression, caseless) in patterns.items())]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]


def _processor() -> str:
    """Return what tells processors apart whose instructions differ."""
    with suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace").splitlines()
        return platform.machine() + next((line for line in lines if line.startswith(("flags", "Features"))), "")
    return platform.machine() + platform.processor()
