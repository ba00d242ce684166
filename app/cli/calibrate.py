"""`python -m app calibrate LOG`: cuts of complexity from the gateway's own log."""

from __future__ import annotations

import gzip
import json
import sys
import zlib
from contextlib import closing
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final, cast

from app.cli.terminal import Progress, say, say_what_is_waited_for
from app.config.gateway_file import load_gateway_file
from app.config.settings import environment, load_settings
from app.gateway.calibration import TOO_LONG, Calibration, Tally
from app.gateway.calibration_text import skipped_text, to_json, to_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from io import BufferedReader

_GZIP: Final = b"\x1f\x8b"  # RFC 1952, 2.3.1
_MAX_LINE: Final = 1 << 20  # the gateway's own lines have some 500 bytes
_TELL_EVERY: Final = 4_096  # lines
_SHARE: Final = 0.3


def calibrate(logs: Sequence[str], share: float | None, *, as_json: bool) -> int:
    """Print the cuts that would give `share`, and return the exit status: 1 where the logs hold no score. Raises ConfigError."""
    settings = load_settings()
    complexity = load_gateway_file(settings.gateway_config, {**environment(), **settings.variables()}).complexity
    target = complexity.target
    tally = Tally()
    for log in logs:
        if log == "-":
            say_what_is_waited_for("a log")
        try:
            _read(log, tally)
        except (EOFError, zlib.error, gzip.BadGzipFile):
            say(f"{log} is cut short or damaged: what could be read of it counts.")
        except OSError as exc:
            say(f"{log} cannot be read ({exc.strerror}): name a file of the gateway's log, or - for standard input.")
            return 2
    wanted = share if share is not None else target.share if target is not None else _SHARE
    bounds = (target.low, target.high) if target is not None else (0.0, 1.0)
    found = Calibration(tally, wanted, complexity.cuts, target.share if target is not None else None, bounds)
    if not tally.requests:
        say(f"No scores in {' '.join(logs)}: {skipped_text(found)}.")
        say("Lines of the log are JSON unless LOG_FORMAT=text, and have a score where a rule reads `complexity`, `min_score` or `max_score`.")
        return 1
    sys.stdout.write(json.dumps(to_json(found), indent=2) + "\n" if as_json else to_text(found))
    return 0


def _read(log: str, tally: Tally) -> None:
    """Take in a log, plain or compressed. Raises OSError, and what gzip raises for a damaged file."""
    progress = Progress(sys.stderr)
    size = 0 if log == "-" else Path(log).stat().st_size
    with sys.stdin.buffer if log == "-" else Path(log).open("rb") as raw, closing(_plain(raw)) as lines:
        for number, line in enumerate(_lines(lines), 1):
            if line is None:
                tally.skipped[TOO_LONG] += 1
            else:
                tally.read(line)
            if number % _TELL_EVERY == 0:
                part = f", {raw.tell() / size:.0%}" if size else ""
                progress.tell(f"{log}: {number:,} lines{part}")
    progress.end()


def _plain(raw: IO[bytes]) -> IO[bytes]:
    """Return the log uncompressed, whatever its name."""
    compressed = cast("BufferedReader", raw).peek(len(_GZIP)).startswith(_GZIP)
    return cast("IO[bytes]", gzip.GzipFile(fileobj=raw)) if compressed else raw


def _lines(log: IO[bytes]) -> Iterator[bytes | None]:
    """Yield each line, and None for one that is longer than any of the gateway's."""
    while line := log.readline(_MAX_LINE):
        if len(line) < _MAX_LINE or line.endswith(b"\n"):
            yield line
            continue
        while line and not line.endswith(b"\n"):
            line = log.readline(_MAX_LINE)
        yield None
