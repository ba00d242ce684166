"""Which deployments failed when they were last asked: what readiness knows without calling anybody."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_MEMORY_S = 60.0  # a deployment that nobody has asked for so long may be well again


class Vitals:
    """The last failure of each deployment, until it answers or a minute passes. One entry a deployment."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failed: dict[str, float] = {}

    def answered(self, name: str) -> None:
        """Note that a deployment answered."""
        self._failed.pop(name, None)

    def failed(self, name: str) -> None:
        """Note that a deployment could not be reached, or could not serve."""
        self._failed[name] = self._clock()

    def failing(self, names: Iterable[str]) -> list[str]:
        """Return those of `names` whose last attempt failed within the last minute."""
        horizon = self._clock() - _MEMORY_S
        return [name for name in names if self._failed.get(name, -1.0) > horizon]
