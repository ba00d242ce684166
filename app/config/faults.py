"""What is wrong with the configuration: one sentence a fault, all faults at once."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing to put right. `file` is empty and `line` 0 for a fault of the environment. The sentence never holds a value that could be a secret."""

    file: str
    line: int
    sentence: str

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}: " if self.line else f"{self.file}: " if self.file else ""
        return where + self.sentence


class ConfigError(Exception):
    """The configuration cannot be used; `faults` says everything that is wrong with it, in the file's order."""

    def __init__(self, faults: str | Iterable[Fault]) -> None:
        found = (Fault("", 0, faults),) if isinstance(faults, str) else tuple(sorted(dict.fromkeys(faults), key=lambda fault: (fault.file, fault.line)))
        super().__init__("\n".join(str(fault) for fault in found))
        self.faults: tuple[Fault, ...] = found


def suggestion(word: str, known: Iterable[str]) -> str:
    """Return `; did you mean "pools"?` where a known word is near, else `; expected a, b or c`."""
    choices = sorted(known)
    near = difflib.get_close_matches(word, choices, n=3, cutoff=0.6)
    if near:
        return f"; did you mean {alternatives(near)}?"
    return f"; expected {alternatives(choices, quote=False)}" if choices else ""


def alternatives(words: Iterable[str], *, quote: bool = True, last: str = "or") -> str:
    """Return the words as a sentence lists them: `a, b or c`."""
    listed = [f'"{word}"' if quote else word for word in words]
    return listed[0] if len(listed) == 1 else f"{', '.join(listed[:-1])} {last} {listed[-1]}" if listed else ""
