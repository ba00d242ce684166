"""Where a stand-in was asked: on the event loop, or in a thread beside it."""

from __future__ import annotations

import asyncio


class Watched:
    """Notes of each call whether it ran on the event loop."""

    def __init__(self) -> None:
        self.in_loop: list[bool] = []

    def note(self) -> None:
        """Note one call."""
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            self.in_loop.append(False)
        else:
            self.in_loop.append(True)
