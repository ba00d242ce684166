"""Structured events, and a muzzle for every other logger of the process.

An event is a name and fields: identifiers, counts, durations, enums. Content never: third-party loggers are reduced to their name, level and the place of
the call (their messages hold prompts, URLs and keys), exceptions to classes and frames, warnings to the place that gave them.
"""

from __future__ import annotations

import atexit
import json
import logging
import sys
import threading
import time
import traceback
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, TextIO

import orjson

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Mapping
    from types import TracebackType

HOLD_S = 0.1
_HOLD_LINES = 256

_LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}
_SAID = ("time", "level", "logger", "event")  # by every event, before its fields
_COLOURS = {"debug": "\x1b[2m", "info": "\x1b[32m", "warning": "\x1b[33m", "error": "\x1b[31m"}


def _line(event: Mapping[str, Any]) -> bytes:
    """Return one line of JSON: by orjson, which takes a quarter of the time, unless an integer is too large for it."""
    try:
        return orjson.dumps(event, default=_type_name, option=orjson.OPT_APPEND_NEWLINE)
    except TypeError:
        return json.dumps(event, default=_type_name).encode() + b"\n"


def _type_name(value: object) -> str:
    """Stand for a value that is no JSON: its text could be content (an exception's message, say)."""
    return f"<{type(value).__name__}>"


request_id: ContextVar[str | None] = ContextVar("request_id", default=None)
"""The request that is being served; every event written meanwhile carries it."""


class _Sink:
    """Where events go. One per process, set by `configure`.

    While it holds back (`hold_back`), lines of ordinary service that come from the loop's own thread wait up to HOLD_S for others: they are spelled one after
    another, and one write carries all of them. A line of its own costs three times as much. What an operator should look at is written at once, with all that
    waits.
    """

    def __init__(self) -> None:
        self.stream: TextIO | None = None  # standard output, whatever that is by then
        self.threshold = _LEVELS["info"]
        self.readable = False
        self.colour = False
        self.may_hold = False
        self._waiting: list[Mapping[str, Any]] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = 0

    def hold_back(self, loop: asyncio.AbstractEventLoop | None) -> None:
        """Let lines wait for one another on `loop`, from whose thread this is called; None: write what waits, and from now on each at once."""
        self._loop, self._thread = loop, threading.get_ident()
        self.flush()

    def emit(self, event: Mapping[str, Any]) -> None:
        """Write an event, which begins with what `_SAID` names."""
        if self.readable:
            self._write(self._readable(event))
            return
        if self._loop is None or threading.get_ident() != self._thread:
            self._write(_line(event).decode())
            return
        if not self._waiting:
            self._loop.call_later(HOLD_S, self.flush)
        self._waiting.append(event)
        if len(self._waiting) >= _HOLD_LINES or _LEVELS[event["level"]] > _LEVELS["info"]:
            self.flush()

    def _readable(self, event: Mapping[str, Any]) -> str:
        level = event["level"]
        clock = time.strftime("%H:%M:%S", time.localtime(event["time"]))
        fields = [(key, value if isinstance(value, str) else json.dumps(value, default=_type_name)) for key, value in event.items() if key not in _SAID]
        pairs = " ".join([f"{key}={text}" for key, text in fields])
        dim, tint, plain = ("\x1b[2m", _COLOURS[level], "\x1b[0m") if self.colour else ("", "", "")
        return f"{dim}{clock}{plain} {tint}{level:7}{plain} {event['event']} {pairs}".rstrip() + "\n"

    def flush(self) -> None:
        """Write what waits."""
        if self._waiting:
            waiting, self._waiting = self._waiting, []
            self._write(b"".join([_line(event) for event in waiting]).decode())

    def _write(self, text: str) -> None:
        try:
            stream = self.stream if self.stream is not None else sys.stdout
            stream.write(text)
            stream.flush()
        except (OSError, ValueError):  # the reader of the log is gone; serving goes on
            return


_sink = _Sink()
atexit.register(_sink.flush)


class Logger:
    """Writes events under one name."""

    def __init__(self, name: str) -> None:
        self._name = name

    def debug(self, event: str, **fields: Any) -> None:
        """Write an event that only a developer wants."""
        self._emit("debug", event, fields)

    def info(self, event: str, **fields: Any) -> None:
        """Write an event of ordinary service."""
        self._emit("info", event, fields)

    def warning(self, event: str, **fields: Any) -> None:
        """Write an event that an operator should look at."""
        self._emit("warning", event, fields)

    def error(self, event: str, **fields: Any) -> None:
        """Write something that an operator must look at."""
        self._emit("error", event, fields)

    def fault(self, event: str, exc: BaseException, **fields: Any) -> None:
        """Write a fault of ours; `exc` is reduced to classes and frames."""
        self._emit("error", event, {**fields, "exception": describe(exc)})

    def _emit(self, level: str, event: str, fields: dict[str, Any]) -> None:
        if _LEVELS[level] >= _sink.threshold:
            _sink.emit(_event(level, self._name, event, fields))


def _event(level: str, name: str, event: str, fields: dict[str, Any]) -> dict[str, Any]:
    said: dict[str, Any] = {"time": _now(), "level": level, "logger": name, "event": event}
    serving = request_id.get()
    if serving is not None:
        said["request_id"] = serving
    return said | fields


def _now() -> float:
    return int(time.time() * 1000) / 1000


def put(event: dict[str, Any]) -> None:
    """Write an event of ordinary service that says all of `_SAID` itself but the time, and is not copied."""
    if _LEVELS["info"] >= _sink.threshold:
        event["time"] = _now()
        _sink.emit(event)


def get_logger(name: str) -> Logger:
    """Return the logger of a module; `name` is what the events carry."""
    return Logger(name)


def describe(exc: BaseException) -> list[str]:
    """Return an exception's chain as `Class at file:line in function` entries; never its message."""
    chain: list[str] = []
    seen: set[int] = set()
    link: BaseException | None = exc
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        chain.append(f"{type(link).__module__}.{type(link).__qualname__}{_place(link.__traceback__)}")
        link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)
    return chain


def _place(tb: TracebackType | None) -> str:
    frames = traceback.extract_tb(tb)[-4:]
    return "".join(f" < {'/'.join(frame.filename.split('/')[-2:])}:{frame.lineno} {frame.name}" for frame in reversed(frames))


def _muzzled(_: logging.Logger, record: logging.LogRecord) -> None:
    """Turn a standard-library record into an event without its message, arguments or exception text, whatever handlers its logger has."""
    if record.levelno < logging.WARNING:
        return
    level = record.levelname.lower() if record.levelname.lower() in _LEVELS else "error"
    fields: dict[str, Any] = {"source": record.name, "where": f"{record.module}:{record.lineno}"}
    if record.exc_info and record.exc_info[1] is not None:
        fields["exception"] = describe(record.exc_info[1])
    if _LEVELS[level] >= _sink.threshold:
        _sink.emit(_event(level, "third_party", "library_log", fields))


def _unraisable(unraisable: sys.UnraisableHookArgs) -> None:
    if unraisable.exc_value is not None:
        get_logger("process").fault("exception_ignored", unraisable.exc_value)


def _in_thread(args: threading.ExceptHookArgs) -> None:
    if args.exc_value is not None:
        get_logger("process").fault("thread_failed", args.exc_value)


def hold_back(loop: asyncio.AbstractEventLoop | None) -> None:
    """Let lines of ordinary service wait up to HOLD_S seconds for others, on `loop`, where `configure` allowed it; None: no longer.

    What waits is what a crash may lose.
    """
    if _sink.may_hold:
        _sink.hold_back(loop)


def configure(level: str, *, readable: bool, colour: bool = False, stream: TextIO | None = None, may_hold: bool = False) -> None:
    """Send events of `level` and above to `stream` (standard output by default), one JSON object a line, or readable lines, with `colour` where that is wanted.

    `may_hold` allows `hold_back`, which readable lines never are.
    """
    _sink.may_hold = may_hold and not readable
    _sink.threshold = _LEVELS[level.lower()]
    _sink.readable, _sink.colour = readable, colour
    _sink.stream = stream


def muzzle() -> None:
    """Hold every other way to the output to names, levels and places: library loggers, warnings, and exceptions that nobody catches.

    Loggers are muzzled where their records are handed out, so that a handler that a library adds later sees none.
    """
    setattr(logging.Logger, "callHandlers", _muzzled)  # noqa: B010 -- mypy knows no assignment to a method
    logging.captureWarnings(capture=True)
    sys.unraisablehook = _unraisable
    threading.excepthook = _in_thread
