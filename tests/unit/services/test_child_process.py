from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from app.services.child_process import ChildBusyError, ChildDownError, ChildProcess

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

_CHILD = """
import json, os, struct, sys, time
print_to = os.fdopen(os.dup(1), "wb")
while head := sys.stdin.buffer.read(4):
    call = json.loads(sys.stdin.buffer.read(struct.unpack(">I", head)[0]))
    if call == "exit" or call == {"greeting": "exit"}:
        sys.exit(3)
    if call == "hang":
        time.sleep(600)
    if call == {"greeting": "refuse"}:
        answer = {"error": "not_installed"}
    elif call == "environment":
        answer = dict(os.environ)
    elif isinstance(call, dict) and "sleep" in call:
        time.sleep(call["sleep"])
        answer = call
    else:
        answer = {"echo": call, "pid": os.getpid()}
    raw = json.dumps(answer).encode()
    print_to.write(struct.pack(">I", len(raw)) + raw)
    print_to.flush()
"""


@asynccontextmanager
async def child(tmp_path: Path, greeting: Any = None, **options: Any) -> AsyncIterator[ChildProcess]:
    script = tmp_path / "child.py"
    script.write_text(_CHILD)
    process = ChildProcess((str(script),), orjson.dumps({"greeting": greeting}), **options)
    try:
        yield process
    finally:
        await process.close()


async def call(process: ChildProcess, payload: Any, timeout_s: float = 20.0) -> Any:
    return await process.call(orjson.dumps(payload), timeout_s=timeout_s)


async def gone(pid: int) -> bool:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        await asyncio.sleep(0.01)
    return False


async def heard(process: ChildProcess) -> bool:
    for _ in range(1000):
        if process.pid is None:
            return True
        await asyncio.sleep(0.01)
    return False


async def test_nothing_is_started_before_the_first_call(tmp_path: Path) -> None:
    async with child(tmp_path) as process:
        assert process.pid is None


async def test_calls_are_answered_by_one_process_and_in_order(tmp_path: Path) -> None:
    async with child(tmp_path) as process:
        answers = await asyncio.gather(*(call(process, number) for number in range(20)))

        assert [answer["echo"] for answer in answers] == list(range(20))
        assert {answer["pid"] for answer in answers} == {process.pid}


async def test_a_frame_larger_than_every_pipe_buffer_arrives_whole(tmp_path: Path) -> None:
    async with child(tmp_path) as process:
        answer = await call(process, "x" * 3_000_000)

        assert len(answer["echo"]) == 3_000_000


async def test_the_event_loop_runs_on_while_the_child_is_busy(tmp_path: Path) -> None:
    async with child(tmp_path) as process:
        await call(process, 1)
        busy = asyncio.create_task(call(process, {"sleep": 0.3}))
        ticks = 0
        while not busy.done():
            await asyncio.sleep(0.005)
            ticks += 1

        assert ticks > 20


async def test_a_call_that_takes_too_long_kills_the_child_and_the_next_gets_a_fresh_one(tmp_path: Path) -> None:
    async with child(tmp_path) as process:
        first = (await call(process, 1))["pid"]
        with pytest.raises(ChildDownError) as caught:
            await call(process, "hang", 0.1)
        second = (await call(process, 2))["pid"]

        assert caught.value.reason == "timeout"
        assert await gone(first)
        assert second != first


async def test_a_child_that_was_killed_while_idle_costs_no_call(tmp_path: Path) -> None:
    async with child(tmp_path) as process:
        first = (await call(process, 1))["pid"]
        os.kill(first, signal.SIGKILL)
        assert await heard(process)  # the loop hears of it later than the system knows

        assert (await call(process, 2))["echo"] == 2


async def test_a_child_that_keeps_dying_is_restarted_later_and_later_and_at_last_refused_at_once(tmp_path: Path) -> None:
    now = [1000.0]
    async with child(tmp_path, clock=lambda: now[0]) as process:
        waits = []
        for _ in range(6):
            with pytest.raises(ChildDownError) as caught:
                await call(process, "exit")
            waits.append(caught.value.retry_after_s)
            now[0] += 60.0
        with pytest.raises(ChildDownError):
            await call(process, "exit")

        with pytest.raises(ChildDownError) as refused:
            await call(process, 1)

    assert waits == [1.0, 1.0, 1.0, 2.0, 4.0, 8.0]
    assert refused.value.reason == "restarting"
    assert refused.value.retry_after_s == 16.0


async def test_success_forgets_earlier_crashes(tmp_path: Path) -> None:
    now = [1000.0]
    async with child(tmp_path, clock=lambda: now[0]) as process:
        for _ in range(5):
            with pytest.raises(ChildDownError):
                await call(process, "exit")
            now[0] += 60.0
        await call(process, 1)
        with pytest.raises(ChildDownError) as caught:
            await call(process, "exit")

        assert caught.value.retry_after_s == 1.0


async def test_a_child_that_refuses_its_greeting_says_why(tmp_path: Path) -> None:
    async with child(tmp_path, "refuse") as process:
        with pytest.raises(ChildDownError) as caught:
            await call(process, 1)

        assert caught.value.reason == "not_installed"
        assert process.pid is None


async def test_a_child_that_dies_before_it_is_ready_is_down(tmp_path: Path) -> None:
    async with child(tmp_path, "exit") as process:
        with pytest.raises(ChildDownError):
            await call(process, 1)


async def test_a_program_that_cannot_be_started_is_down(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "no-such-python"))
    async with child(tmp_path) as process:
        with pytest.raises(ChildDownError) as caught:
            await call(process, 1)

        assert caught.value.reason == "not_started"


async def test_more_calls_than_may_wait_are_refused(tmp_path: Path) -> None:
    async with child(tmp_path, max_calls=2) as process:
        waiting = [asyncio.create_task(call(process, {"sleep": 0.1})) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(ChildBusyError):
            await call(process, 1)
        await asyncio.gather(*waiting)

        assert (await call(process, 2))["echo"] == 2


async def test_a_call_whose_turn_does_not_come_is_busy_and_harms_nobody(tmp_path: Path) -> None:
    async with child(tmp_path) as process:
        await call(process, 1)
        slow = asyncio.create_task(call(process, {"sleep": 0.3}))
        await asyncio.sleep(0)
        with pytest.raises(ChildBusyError):
            await call(process, 2, 0.05)

        assert await slow == {"sleep": 0.3}


async def test_a_caller_that_leaves_does_not_shift_the_answers(tmp_path: Path) -> None:
    async with child(tmp_path) as process:
        await call(process, 1)
        leaver = asyncio.create_task(call(process, {"sleep": 0.1}))
        await asyncio.sleep(0.02)
        leaver.cancel()

        assert (await call(process, 2))["echo"] == 2


async def test_the_child_sees_none_of_the_gateways_secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-canary")
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    async with child(tmp_path) as process:
        environment = await call(process, "environment")

        assert "PATH" in environment
        assert not {"OPENAI_API_KEY", "HTTPS_PROXY"} & set(environment)


async def test_close_ends_the_child_and_every_later_call(tmp_path: Path) -> None:
    async with child(tmp_path) as process:
        pid = (await call(process, 1))["pid"]
        await process.close()

        assert await gone(pid)
        with pytest.raises(ChildDownError):
            await call(process, 2)


async def test_close_does_not_wait_for_a_child_that_hangs(tmp_path: Path) -> None:
    async with child(tmp_path) as process:
        pid = (await call(process, 1))["pid"]
        hanging = asyncio.create_task(call(process, "hang", 60.0))
        await asyncio.sleep(0.02)
        await process.close()

        assert await gone(pid)
        with pytest.raises((ChildDownError, asyncio.CancelledError)):
            await hanging


_GATEWAY = """
import asyncio, sys
from app.services.child_process import ChildProcess

async def main():
    process = ChildProcess((sys.argv[1],), b'{"greeting": null}')
    await process.call(b"1", timeout_s=20)
    print("child", process.pid, flush=True)
    await asyncio.sleep(600)

asyncio.run(main())
"""


def test_the_child_ends_when_its_gateway_is_killed(tmp_path: Path) -> None:
    script = tmp_path / "child.py"
    script.write_text(_CHILD)
    root = Path(__file__).parents[3]
    with subprocess.Popen([sys.executable, "-c", _GATEWAY, str(script)], stdout=subprocess.PIPE, cwd=root) as gateway:
        assert gateway.stdout is not None
        pid = 0
        while not pid:
            line = gateway.stdout.readline().split()
            pid = int(line[1]) if line[:1] == [b"child"] else 0
        gateway.kill()

    assert asyncio.run(gone(pid))
