"""What a command writes to a terminal: sentences, colour where it is wanted, and how far a long reading is."""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from collections.abc import Callable

_TELL_EVERY_S = 0.25


def say(sentence: str) -> None:
    """Write a sentence to standard error, so that standard output holds the answer alone."""
    sys.stderr.write(sentence + "\n")
    sys.stderr.flush()


def say_what_is_waited_for(what: str) -> None:
    """Say that standard input is read, where that is a keyboard: a command that waits looks like one that hangs."""
    if sys.stdin.isatty():
        say(f"Reading {what} from the terminal; end it with Ctrl-D on a line of its own.")


def wants_colour(stream: TextIO) -> bool:
    """Say whether to write colours: to a terminal that has them, unless NO_COLOR is set (https://no-color.org)."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


class Progress:
    """Tells on one line of a terminal how far a reading is, a few times a second; anywhere else nothing."""

    def __init__(self, stream: TextIO, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream if stream.isatty() else None
        self._clock = clock
        self._next = clock() + _TELL_EVERY_S
        self._told = False

    def tell(self, what: str) -> None:
        """Say how far it is, unless that was said a moment ago."""
        if self._stream is None or self._clock() < self._next:
            return
        self._next = self._clock() + _TELL_EVERY_S
        self._told = True
        self._stream.write(f"\r{what}\x1b[K")
        self._stream.flush()

    def end(self) -> None:
        """Take the line away."""
        if self._stream is not None and self._told:
            self._stream.write("\r\x1b[K")
            self._stream.flush()
