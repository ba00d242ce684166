from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import threading
from typing import TYPE_CHECKING, Any

import pytest

from app.shutdown import Drain, telling_of_the_cut

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def heard() -> Iterator[list[int]]:
    """Stand in for the server, and note what it hears."""
    heard: list[int] = []
    before = {number: signal.signal(number, lambda number, _: heard.append(number)) for number in (signal.SIGTERM, signal.SIGINT)}
    yield heard
    for number, handler in before.items():
        signal.signal(number, handler)


async def until(condition: Any) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - a signal sets no event
            await asyncio.sleep(0.001)


async def test_readiness_is_red_before_the_server_hears_of_the_end(heard: list[int]) -> None:
    drain = Drain(0.02)

    with drain.watching():
        os.kill(os.getpid(), signal.SIGTERM)
        await until(lambda: drain.begun)
        assert heard == []
        await until(lambda: heard)

    assert heard == [signal.SIGTERM]


async def test_a_second_signal_is_not_waited_with(heard: list[int]) -> None:
    drain = Drain(60)

    with drain.watching():
        os.kill(os.getpid(), signal.SIGTERM)
        await until(lambda: drain.begun)
        os.kill(os.getpid(), signal.SIGTERM)
        await until(lambda: heard)


@pytest.mark.parametrize("begun", [False, True])
async def test_a_wait_can_be_ended_before_it_begins_and_while_it_lasts(heard: list[int], *, begun: bool) -> None:
    drain = Drain(60)

    with drain.watching():
        if not begun:
            drain.hurry()
        os.kill(os.getpid(), signal.SIGTERM)
        await until(lambda: drain.begun)
        await asyncio.sleep(0)  # the wait begins in a turn of the loop
        if begun:
            assert heard == []
            drain.hurry()
        await until(lambda: heard)

    assert heard == [signal.SIGTERM]


async def test_without_a_delay_the_server_hears_it_at_once(heard: list[int]) -> None:
    drain = Drain(0)

    with drain.watching():
        os.kill(os.getpid(), signal.SIGTERM)
        await until(lambda: heard)

    assert drain.begun


async def test_an_interrupt_is_not_waited_with_and_ends_connections_too(heard: list[int]) -> None:
    drain = Drain(60)

    with drain.watching():
        os.kill(os.getpid(), signal.SIGINT)
        await until(lambda: heard)

    assert heard == [signal.SIGINT]
    assert drain.begun


async def test_afterwards_signals_go_where_they_went_before(heard: list[int]) -> None:
    drain = Drain(60)
    with drain.watching():
        pass

    os.kill(os.getpid(), signal.SIGTERM)
    await until(lambda: heard)

    assert not drain.begun


def test_a_server_in_another_thread_is_left_alone(heard: list[int]) -> None:
    before = signal.getsignal(signal.SIGTERM)
    seen: list[Any] = []

    def serve() -> None:
        with Drain(1).watching():
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=serve)
    thread.start()
    thread.join()

    assert seen == [before]
    assert heard == []


def test_what_the_server_ends_is_counted_in_our_words_and_its_other_lines_pass(capsys: pytest.CaptureFixture[str]) -> None:
    passed: list[str] = []
    server = logging.getLogger("uvicorn.error")
    handler = logging.Handler()
    handler.emit = lambda record: passed.append(record.getMessage())  # type: ignore[method-assign]
    server.addHandler(handler)
    try:
        with telling_of_the_cut():
            server.error("Cancel %s running task(s), timeout graceful shutdown exceeded", 3)
            server.error("Cancel 2 running task(s), timeout graceful shutdown exceeded")  # as a record factory that writes out leaves it
            server.error("another")
        server.error("Cancel %s running task(s)", 4)
    finally:
        server.removeHandler(handler)

    assert passed == ["another", "Cancel 4 running task(s)"]
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(event["event"], event["requests"]) for event in events] == [("shutdown_grace_over", 3), ("shutdown_grace_over", 2)]
