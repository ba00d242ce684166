"""A worker that does not turn to a new configuration in time is ended and replaced: nobody goes on by the old one."""

from __future__ import annotations

import signal
import socket
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest
from uvicorn import Config
from uvicorn.supervisors.multiprocess import SIGNALS

from app import supervisor
from app.supervisor import Supervisor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from multiprocessing.connection import Connection

    from app.loading import Loaded
    from app.supervisor import Worker

DEADLINE_S = 20


@dataclass(frozen=True)
class FakeLoaded:
    """What a worker is given; `folder` is where the first to come leaves its mark, and is the one that is late."""

    folder: str
    version: str
    loaded_at: float = 0.0


def answering(pipe: Connection, loaded: FakeLoaded) -> Any:
    """Return the application of a worker that takes everything but, where it came first, a commit."""
    with suppress(FileExistsError):
        Path(loaded.folder, "late").touch(exist_ok=False)
        return _app(pipe, {"prepare": ("prepared", None)})
    return _app(pipe, {"prepare": ("prepared", None), "commit": ("committed", {"version": loaded.version})})


def _app(pipe: Connection, answers: dict[str, Any]) -> Any:
    def listen() -> None:
        pipe.send(("serving",))
        while True:
            said = pipe.recv()[0]
            if said in answers:
                pipe.send(answers[said])

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "lifespan"
        threading.Thread(target=listen, daemon=True).start()
        for step in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{step}.complete"})

    return app


@pytest.fixture
def supervising(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Supervisor]:
    monkeypatch.setattr(supervisor, "_COMMIT_S", 0.5)
    before = {number: signal.getsignal(number) for number in SIGNALS}
    with socket.create_server(("127.0.0.1", 0)) as listener:
        config = Config("unused:app", factory=True, workers=2, lifespan="on", log_config=None)
        old, new = (cast("Loaded", FakeLoaded(str(tmp_path), version)) for version in ("old", "new"))
        supervising = Supervisor(config, [listener], loaded=old, serve=answering, read=lambda: new)
        supervising.init_processes()
        try:
            until(lambda: all(serves(worker) for worker in supervising.workers))
            yield supervising
        finally:
            for worker in supervising.workers:
                worker.end()
            for number, handler in before.items():
                signal.signal(number, handler)


def serves(worker: Worker) -> bool:
    while not worker.serving and worker.pipe.poll():
        worker.hear()
    return worker.serving


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_worker_that_does_not_answer_is_replaced_but_not_while_it_starts(supervising: Supervisor, monkeypatch: pytest.MonkeyPatch) -> None:
    starting, hanging = supervising.workers
    starting.serving = False
    for worker in (starting, hanging):
        monkeypatch.setattr(worker, "is_alive", lambda _: False)  # as where nothing answers in time

    supervising.keep_subprocess_alive()
    kept, replacing = supervising.workers
    starting._begun -= 3600
    supervising.keep_subprocess_alive()

    assert kept is starting
    assert replacing is not hanging
    assert supervising.workers[0] is not starting


def test_a_worker_that_is_late_at_the_commit_is_killed_and_replaced_by_one_of_the_new_configuration(supervising: Supervisor) -> None:
    before = {worker.pid for worker in supervising.workers}
    asked = [supervising.workers[0]]

    outcome = supervising._attempt(asked)
    dead = [worker for worker in supervising.workers if not worker.is_running()]
    supervising.keep_subprocess_alive()
    until(lambda: all(serves(worker) for worker in supervising.workers))
    again = supervising._attempt(asked)

    assert (outcome.word, outcome.taken["workers"], outcome.taken["replaced"]) == ("taken", 1, 1)
    assert [worker.exitcode for worker in dead] == [-signal.SIGKILL]
    assert len(before & {worker.pid for worker in supervising.workers}) == 1
    assert {again.taken["workers"], again.taken["replaced"]} == {2, 0}
    assert {worker._loaded.version for worker in supervising.workers} == {"old", "new"}
