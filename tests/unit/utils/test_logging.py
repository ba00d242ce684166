from __future__ import annotations

import asyncio
import io
import json
import logging as standard
import sys
import threading
import time
import warnings
from typing import TYPE_CHECKING, Any

import pytest

from app.utils import logging

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def output(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    stream = io.StringIO()
    logging.configure("info", readable=False, stream=stream)
    monkeypatch.setattr(standard.Logger, "callHandlers", standard.Logger.callHandlers)
    for owner, hook in ((sys, "unraisablehook"), (threading, "excepthook")):
        monkeypatch.setattr(owner, hook, getattr(owner, hook))
    logging.muzzle()
    yield stream
    standard.captureWarnings(capture=False)
    logging.configure("info", readable=False)


def events(output: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in output.getvalue().splitlines()]


def test_an_event_is_one_json_object_a_line(output: io.StringIO) -> None:
    log = logging.get_logger("part")
    log.info("began", deployment="d", count=2)
    log.warning("slowed")
    log.error("stopped")
    log.debug("unseen")

    assert [(event["level"], event["logger"], event["event"]) for event in events(output)] == [
        ("info", "part", "began"),
        ("warning", "part", "slowed"),
        ("error", "part", "stopped"),
    ]
    assert events(output)[0]["count"] == 2


@pytest.mark.parametrize("colour", [True, False])
def test_readable_lines_have_colours_where_these_are_wanted(*, colour: bool) -> None:
    stream = io.StringIO()
    logging.configure("debug", readable=True, colour=colour, stream=stream)
    logging.get_logger("part").debug("began", deployment="d")
    logging.configure("info", readable=False)

    assert "began deployment=d" in stream.getvalue()
    assert ("\x1b[" in stream.getvalue()) is colour


def test_an_exception_is_its_classes_and_frames(output: io.StringIO) -> None:
    def fail() -> None:
        try:
            int("canary-1")
        except ValueError as exc:
            raise KeyError("canary-2") from exc

    try:
        fail()
    except KeyError as exc:
        logging.get_logger("part").fault("failed", exc)

    written = output.getvalue()
    assert "canary" not in written
    assert "builtins.KeyError" in written
    assert "builtins.ValueError" in written
    assert "fail" in written


@pytest.mark.parametrize("readable", [False, True])
def test_a_field_that_is_no_json_is_its_type(*, readable: bool) -> None:
    stream = io.StringIO()
    logging.configure("info", readable=readable, stream=stream)
    logging.get_logger("part").error("failed", cause=ValueError("canary"))
    logging.configure("info", readable=False)

    assert "<ValueError>" in stream.getvalue()
    assert "canary" not in stream.getvalue()


def test_a_librarys_logger_is_reduced_to_its_name_and_place(output: io.StringIO) -> None:
    library = standard.getLogger("some.library")
    library.addHandler(standard.StreamHandler(output))
    library.propagate = False

    library.info("canary-0")
    library.warning("canary-1 %s", "canary-2")
    try:
        int("canary-3")
    except ValueError:
        library.exception("canary-4")

    assert "canary" not in output.getvalue()
    assert [event["source"] for event in events(output)] == ["some.library", "some.library"]


def test_a_warning_is_reduced_to_its_place(output: io.StringIO) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        standard.captureWarnings(capture=False)
        standard.captureWarnings(capture=True)
        warnings.warn("canary", UserWarning, stacklevel=1)
        standard.captureWarnings(capture=False)

    assert "canary" not in output.getvalue()
    assert events(output)[0]["source"] == "py.warnings"


def test_an_exception_that_nobody_catches_is_its_classes(output: io.StringIO) -> None:
    class Bad:
        def __del__(self) -> None:
            raise ValueError("canary-1")

    def fail() -> None:
        raise ValueError("canary-2")

    Bad()
    thread = threading.Thread(target=fail)
    thread.start()
    thread.join()

    assert "canary" not in output.getvalue()
    assert [event["event"] for event in events(output)] == ["exception_ignored", "thread_failed"]


def test_an_event_carries_the_request_that_is_served(output: io.StringIO) -> None:
    token = logging.request_id.set("req_1")
    logging.get_logger("part").info("began")
    logging.request_id.reset(token)

    assert events(output)[0]["request_id"] == "req_1"


def test_a_log_that_nobody_reads_any_more_stops_nothing() -> None:
    stream = io.StringIO()
    logging.configure("info", readable=False, stream=stream)
    stream.close()

    logging.get_logger("part").info("began")

    logging.configure("info", readable=False)


async def test_lines_wait_for_one_another_and_not_for_long(output: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logging, "HOLD_S", 0.01)
    log = logging.get_logger("part")
    logging.configure("info", readable=False, stream=output, may_hold=True)
    logging.hold_back(asyncio.get_running_loop())
    log.info("one")
    log.info("two")
    at_once = output.getvalue()
    async with asyncio.timeout(5):
        while not output.getvalue():  # noqa: ASYNC110 -- the sink sets no event
            await asyncio.sleep(0.002)
    logging.hold_back(None)

    assert at_once == ""
    assert [event["event"] for event in events(output)] == ["one", "two"]


async def test_what_an_operator_should_see_does_not_wait_and_takes_what_waits_along(output: io.StringIO) -> None:
    log = logging.get_logger("part")
    logging.configure("info", readable=False, stream=output, may_hold=True)
    logging.hold_back(asyncio.get_running_loop())
    log.info("one")
    log.warning("two")
    written = [event["event"] for event in events(output)]
    logging.hold_back(None)

    assert written == ["one", "two"]


async def test_lines_of_other_threads_much_and_the_end_do_not_wait(output: io.StringIO) -> None:
    log = logging.get_logger("part")
    logging.configure("info", readable=False, stream=output, may_hold=True)
    logging.hold_back(asyncio.get_running_loop())
    await asyncio.to_thread(log.info, "elsewhere")
    elsewhere = len(events(output))
    for _ in range(256):
        log.info("one of many")
    many = len(events(output))
    log.info("last")
    before_the_end = len(events(output))
    logging.hold_back(None)
    log.info("after")

    assert (elsewhere, many, before_the_end, len(events(output))) == (1, 257, 257, 259)


async def test_a_line_that_waited_says_when_and_for_which_request_it_was_written(output: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    log = logging.get_logger("part")
    logging.configure("info", readable=False, stream=output, may_hold=True)
    logging.hold_back(asyncio.get_running_loop())
    monkeypatch.setattr(time, "time", lambda: 1.5)
    token = logging.request_id.set("req_1")
    log.info("one", status=200)
    logging.request_id.reset(token)
    monkeypatch.setattr(time, "time", lambda: 9.5)
    logging.hold_back(None)

    assert events(output) == [{"time": 1.5, "level": "info", "logger": "part", "event": "one", "request_id": "req_1", "status": 200}]


async def test_lines_do_not_wait_where_that_is_not_allowed(output: io.StringIO) -> None:
    logging.hold_back(asyncio.get_running_loop())
    logging.get_logger("part").info("one")

    assert len(events(output)) == 1


def test_what_is_put_is_an_event_of_ordinary_service(output: io.StringIO) -> None:
    said = {"time": 0.0, "level": "info", "logger": "part", "event": "one", "request_id": "req_1", "status": 200}
    logging.put(dict(said))
    logging.configure("warning", readable=False, stream=output)
    logging.put(dict(said))

    assert [but_time(event) for event in events(output)] == [but_time(said)]
    assert events(output)[0]["time"] > 0


def but_time(event: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in event.items() if name != "time"}
