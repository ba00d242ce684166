"""A race of two calls: the second begins when the first is late, the first result wins, and the loser is given up."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Any

T = TypeVar("T")


async def race(
    first: Coroutine[Any, Any, T], second: Callable[[], Coroutine[Any, Any, T] | None], *, after_s: float, give_up: Callable[[T], None]
) -> tuple[T, bool | None]:
    """Return the first result, and whether it is the second call's; None where no second call was begun.

    `second` is asked for its call when the first has taken `after_s`, and may have none. A failure is raised only when there is nothing left to wait for, and
    then the first call's. A loser is cancelled; its result, should it have one at that moment, goes to `give_up`. So do both when this is cancelled.
    """
    tasks = [asyncio.ensure_future(first)]
    won: asyncio.Task[T] | None = None
    try:
        await asyncio.wait(tasks, timeout=after_s)
        if not tasks[0].done() and (other := second()) is not None:
            tasks.append(asyncio.ensure_future(other))
        await _settled(tasks)
        won = next((task for task in tasks if _is_well(task)), tasks[0])
        return won.result(), won is tasks[-1] if len(tasks) > 1 else None
    finally:
        for task in tasks:
            if task is not won:
                _abandon(task, give_up)


async def _settled(tasks: list[asyncio.Task[T]]) -> None:
    """Wait until one has a result, or all have failed."""
    pending = set(tasks)
    while pending and not any(_is_well(task) for task in tasks):
        _, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)


def _is_well(task: asyncio.Task[T]) -> bool:
    return task.done() and not task.cancelled() and task.exception() is None


def _abandon(task: asyncio.Task[T], give_up: Callable[[T], None]) -> None:
    def dispose(done: asyncio.Task[T]) -> None:
        if not done.cancelled() and done.exception() is None:
            give_up(done.result())

    task.cancel()
    task.add_done_callback(dispose)
