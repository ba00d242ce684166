"""Several workers that serve one configuration: uvicorn's supervisor, which hands them gateway.yaml as it read it, and reloads it in all or in none.

SIGHUP reloads, SIGUSR1 replaces the workers one by one (rolling.py).

The parent and each worker share a pipe. What goes over it, one pickled tuple a message:

    worker -> parent   ("serving",)                 once, when it does
    worker -> parent   ("reload",)                  a caller asks for a reload
    parent -> worker   ("prepare", Loaded)          answered ("prepared", None), or what stands in the way
    parent -> worker   ("commit",) or ("abandon",)  a commit is answered ("committed", what was taken)
    parent -> worker   ("outcome", Outcome, bool)   to whoever asked, or else to the first; True to the one that counts it
    parent -> worker   ("hurry",)                   at the end, not to wait for a balancer
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from dataclasses import dataclass, field
from functools import partial
from multiprocessing import Pipe
from multiprocessing.connection import wait
from socket import socketpair
from typing import TYPE_CHECKING, Any

from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors.multiprocess import Multiprocess, Process

from app.config.faults import ConfigError
from app.errors import UnavailableError
from app.listening import doors
from app.reload import described, refused
from app.rolling import Rolling
from app.utils import logging
from app.utils.monitoring import RELOADS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from multiprocessing.connection import Connection
    from socket import socket

    from uvicorn import Config

    from app.config.faults import Fault
    from app.loading import Loaded
    from app.reload import Reloader

_PREPARE_S = 60.0  # a first deployment of a dialect imports LiteLLM, an operator's patterns are compiled: seconds on a busy machine
_COMMIT_S = 10.0
_LOOK_S = 0.5  # how often workers are looked at; a signal is heard at once
_START_S = 60.0  # until then one that does not serve yet is held to be starting, not to hang

log = logging.get_logger("supervisor")


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a reload ended: `taken` says by whom and what, `faults` what is wrong with the file, `failed` which step a worker could not do."""

    taken: dict[str, Any] = field(default_factory=dict)
    faults: tuple[Fault, ...] = ()
    failed: str = ""

    @property
    def word(self) -> str:
        """The metric's label."""
        return "taken" if self.taken else "refused" if self.faults else "failed"


class Control:
    """A worker's end of the pipe."""

    def __init__(self, pipe: Connection, reloader: Reloader) -> None:
        self._pipe = pipe
        self._reloader = reloader
        self._waiting: list[asyncio.Future[Outcome]] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._hurry: Callable[[], None] | None = None

    def listen(self, hurry: Callable[[], None]) -> None:
        """Take what the parent says, from now on, on the running event loop, and say that this worker serves. `hurry` ends a wait for a balancer."""
        self._hurry = hurry
        asyncio.get_running_loop().add_reader(self._pipe.fileno(), self._take)
        self._send("serving")

    def close(self) -> None:
        """Stop listening."""
        asyncio.get_running_loop().remove_reader(self._pipe.fileno())

    async def reload(self) -> dict[str, Any]:
        """Have the parent reload all workers; say what was taken. Raises ConfigError and UnavailableError."""
        told: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._waiting.append(told)
        self._send("reload")
        outcome = await told
        if outcome.faults:
            raise ConfigError(outcome.faults)
        if outcome.failed:
            raise UnavailableError(f"The configuration was not taken and the old one stays: {outcome.failed}.", code="reload_failed")
        return outcome.taken

    def _take(self) -> None:
        try:
            kind, *rest = self._pipe.recv()
        except (EOFError, OSError):  # the parent is gone: nobody would replace or reload this one, and its port could not be had again
            self.close()
            log.warning("supervisor_gone")
            signal.raise_signal(signal.SIGTERM)
            return
        if kind == "prepare":
            task = asyncio.ensure_future(self._prepare(rest[0]))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        elif kind == "commit":
            self._send("committed", self._reloader.commit())
        elif kind == "abandon":
            self._reloader.abandon()
        elif kind == "hurry" and self._hurry is not None:
            self._hurry()
        else:
            self._tell(*rest)

    async def _prepare(self, loaded: Loaded) -> None:
        try:
            await self._reloader.prepare(loaded)
        except ConfigError as error:
            self._send("prepared", str(error))
        else:
            self._send("prepared", None)

    def _tell(self, outcome: Outcome, counts: bool) -> None:
        if counts:
            RELOADS.labels(outcome.word).inc()
        waiting, self._waiting = self._waiting, []
        for told in waiting:
            if not told.done():
                told.set_result(outcome)

    def _send(self, *message: Any) -> None:
        self._pipe.send(message)


class Worker(Process):
    """One worker process, with its pipe."""

    def __init__(self, config: Config, sockets: list[socket], loaded: Loaded, serve: Callable[..., Any]) -> None:
        self.pipe, self._inner = Pipe()
        self._loaded = loaded
        self._serve = serve
        self.serving = False
        self._begun = time.monotonic()
        super().__init__(config, sockets)

    def target(self, sockets: list[socket] | None = None) -> None:
        """Run in the child: the application is made there, of what the parent read."""
        self.pipe.close()  # the parent's end: a copy of it here would keep this one from hearing that the parent is gone
        self.config.app = partial(self._serve, self._inner, self._loaded)
        super().target([door for listener in sockets or () for door in doors(listener)])

    def say(self, *message: Any) -> bool:
        """Send a message; False where nobody is there to read it."""
        try:
            self.pipe.send(message)
        except OSError:
            return False
        return True

    def hear(self) -> tuple[Any, ...]:
        """Return its next message. Raises EOFError and OSError where it is gone."""
        said: tuple[Any, ...] = self.pipe.recv()
        self.serving = self.serving or said[0] == "serving"
        return said

    def is_well(self, within_s: float) -> bool:
        """Say whether the process is there and answers, or is still starting."""
        if not self.serving and time.monotonic() < self._begun + _START_S:
            return self.is_running()
        return self.is_alive(within_s)

    def is_running(self) -> bool:
        """Say whether the process is there, in whatever state."""
        return self.process.is_alive()

    def leave(self) -> None:
        """Have it end when it has served what it serves: by SIGINT, after which it waits for no balancer (shutdown.py), for the others go on."""
        if self.process.pid is not None and self.process.is_alive():
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.process.pid, signal.SIGINT)

    def end(self) -> None:
        """Kill it, in whatever state it is."""
        self.process.kill()
        self.process.join()


class Supervisor(Multiprocess):
    """Keeps the workers. `serve` (a function of a module, given a pipe and the configuration) makes a worker's application; `read` reads the file anew."""

    def __init__(self, config: Config, sockets: list[socket], *, loaded: Loaded, serve: Callable[..., Any], read: Callable[[], Loaded]) -> None:
        super().__init__(config, sockets)
        self._loaded = loaded
        self._serve = serve
        self._read = read
        self._wanted = False
        self._hurries = False
        self._heard: socket | None = None  # a byte for each signal
        self._rolling = Rolling(self._start, grace_s=config.timeout_graceful_shutdown or 0)

    @property
    def workers(self) -> list[Worker]:
        """The processes, as what they are here."""
        return [process for process in self.processes if isinstance(process, Worker)]

    def run(self) -> None:
        """Serve until a signal says to stop, and then until everything that was begun is served."""
        self._heard, wake = socketpair()
        with self._heard, wake:
            wake.setblocking(False)
            signal.set_wakeup_fd(wake.fileno(), warn_on_full_buffer=False)
            self.init_processes()
            while not self.should_exit.is_set():
                self._look()
                self.handle_signals()
                self.keep_subprocess_alive()
            self.terminate_all()
            self.join_all()
            signal.set_wakeup_fd(-1)

    def init_processes(self) -> None:
        """Start all."""
        self.processes = [self._start() for _ in range(self.processes_num)]

    def keep_subprocess_alive(self) -> None:
        """Replace workers that died or hang; one that cannot start stops all, for the others could not be replaced either."""
        for place, worker in enumerate(self.workers):
            if self.should_exit.is_set() or worker.is_well(self.config.timeout_worker_healthcheck):
                continue
            worker.end()
            if worker.exitcode == STARTUP_FAILURE:
                log.warning("worker_failed_to_start", pid=worker.pid)
                self.should_exit.set()
                return
            log.warning("worker_died", pid=worker.pid)
            self.processes[place] = self._start()

    def handle_signals(self) -> None:
        """Do what signals and workers ask for."""
        super().handle_signals()
        asking = [worker for worker in self._all if self._asks(worker)]
        if asking or self._wanted:
            self._wanted = False
            self._reload(asking)
        kept = self.workers
        self._rolling.step(kept)
        self.processes = [*kept]

    def handle_hup(self) -> None:
        """Reload; the workers stay."""
        self._wanted = True

    def handle_int(self) -> None:
        """Stop, without a wait for a balancer."""
        self._hurries = True
        super().handle_int()

    def handle_usr1(self) -> None:
        """Replace all workers, one by one."""
        self._rolling.begin(self.workers)

    def terminate_all(self) -> None:
        """End all; those that leave already do so. The listener is theirs alone from here on, or a connection that none of them accepts would hang."""
        self._rolling.stop()
        super().terminate_all()
        for listener in self.sockets:
            listener.close()
        if self._hurries:
            self._hurry()

    def join_all(self) -> None:
        """Wait for all; a second signal ends what is left of their wait for a balancer."""
        while running := [worker.process.sentinel for worker in self._all if worker.is_running()]:
            self._look(*running)
            if signal.SIGTERM in self.signal_queue or signal.SIGINT in self.signal_queue:
                self.signal_queue.clear()
                self._hurry()

    def handle_ttin(self) -> None:
        """Add a worker."""
        self.processes_num += 1
        self.processes.append(self._start())

    @property
    def _all(self) -> list[Worker]:
        """Every process, those included that come or leave."""
        return [*self.workers, *self._rolling.beside]

    def _look(self, *sentinels: int) -> None:
        """Wait until a signal comes, a process of `sentinels` ends, or it is time to look at the workers."""
        assert self._heard is not None  # noqa: S101 -- `run` comes first
        if self._heard in wait([self._heard, *sentinels], _LOOK_S):
            self._heard.recv(4096)

    def _hurry(self) -> None:
        for worker in self._all:
            worker.say("hurry")

    def _start(self) -> Worker:
        worker = Worker(self.config, self.sockets, self._loaded, self._serve)
        worker.start()
        return worker

    def _asks(self, worker: Worker) -> bool:
        """Say whether a worker asked for a reload; whatever else it says now comes too late."""
        asks = False
        try:
            while worker.pipe.poll():
                asks = worker.hear()[0] == "reload" or asks
        except (EOFError, OSError):  # it died; keep_subprocess_alive replaces it
            return False
        return asks

    def _reload(self, asking: list[Worker]) -> None:
        outcome = self._attempt(asking)
        for place, worker in enumerate(asking or self.workers[:1]):
            worker.say("outcome", outcome, place == 0)

    def _attempt(self, asking: list[Worker]) -> Outcome:
        try:
            loaded = self._read()
        except ConfigError as error:
            refused(error)
            return Outcome(faults=error.faults)
        workers = [worker for worker in self._all if worker.say("prepare", loaded)]
        prepared = self._answers(workers, "prepared", _PREPARE_S, asking)
        obstacles = [why for why in prepared.values() if why is not None]
        missing = [worker for worker in workers if worker not in prepared and worker.process.is_alive()]
        if obstacles or missing:
            for worker in workers:
                worker.say("abandon")
            failed = obstacles[0] if obstacles else f"{len(missing)} of {len(workers)} workers did not answer within {_PREPARE_S:g} s"
            log.warning("reload_failed", reason=failed)
            return Outcome(failed=failed)
        self._loaded = loaded  # a worker that starts from here on has it
        ready = [worker for worker in prepared if worker.say("commit")]
        taken = self._answers(ready, "committed", _COMMIT_S, asking)
        late = [worker for worker in self._all if worker not in taken]
        for worker in late:
            worker.end()  # and is replaced: no worker may go on by the old policy
        log.info("reloaded", version=loaded.version, workers=len(taken), replaced=len(late))
        return Outcome(taken=next(iter(taken.values()), {"configuration": described(loaded)}) | {"workers": len(taken), "replaced": len(late)})

    def _answers(self, workers: Iterable[Worker], kind: str, limit_s: float, asking: list[Worker]) -> dict[Worker, Any]:
        """Return what each worker answered in time; one that dies meanwhile answers nothing."""
        waiting = {worker.pipe: worker for worker in workers}
        answers: dict[Worker, Any] = {}
        deadline = time.monotonic() + limit_s
        while waiting and (left := deadline - time.monotonic()) > 0:
            for pipe in wait(list(waiting), min(left, 1.0)):
                worker = waiting[pipe]  # type: ignore[index] # typeshed: any waitable comes back
                try:
                    said, *rest = worker.hear()
                except (EOFError, OSError):
                    del waiting[worker.pipe]
                    continue
                if said == kind:
                    answers[worker] = rest[0]
                    del waiting[worker.pipe]
                elif said == "reload" and worker not in asking:
                    asking.append(worker)  # asked meanwhile: this reload is its answer
            for worker in [worker for worker in waiting.values() if not worker.process.is_alive()]:
                del waiting[worker.pipe]
        return answers
