"""Taking a new gateway.yaml while requests are served: everything that follows from it is made first, and then replaced in one step.

A request in flight finishes the attempt that it is in. What it tries after that is held to the new policy by egress, on connections of its own.
"""

from __future__ import annotations

import asyncio
import signal
import threading
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol

from app.assessing import assessor_of, second_opinion_of
from app.config.faults import ConfigError, alternatives
from app.config.settings import waiting_for_a_restart
from app.errors import UnavailableError
from app.gateway.bounds import ChatLimits
from app.providers import translate
from app.providers.egress import Egress
from app.utils import logging, net
from app.utils.monitoring import CONFIGURATION_HASH, CONFIGURATION_LOADED, DEGRADED, RELOADS

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator

    from app.config.settings import Settings
    from app.domain import Label
    from app.gateway.chat import ChatGateway
    from app.loading import Loaded
    from app.policy.assess import Assessor
    from app.providers.wire import Wire

_EMBEDDER_STAYS = "search.embedder: the collection's vectors are the old one's; restart for another"
_CLEARANCE_STAYS = "search.clearance: it is only lowered while serving; restart to raise it"

log = logging.get_logger("reload")


class _Store(Protocol):
    clearance: Label


@dataclass(frozen=True, slots=True)
class Policy:
    """What one configuration comes to in this process."""

    loaded: Loaded
    assessor: Assessor
    limits: ChatLimits
    store_clearance: Label
    waiting: tuple[str, ...] = ()  # settings of .env that have changed since this process read them


def make_policy(settings: Settings, loaded: Loaded, store_clearance: Label) -> Policy:
    """Make all that may take long or fail; nothing is replaced yet. Raises ConfigError."""
    if loaded.assembled.needs_litellm:
        translate.load()
    limits = ChatLimits(
        timeout_s=settings.llm_timeout,
        connect_s=settings.connect_timeout_s,
        idle_s=settings.stream_idle_s,
        commit_s=settings.stream_commit_s,
        cache_ttl_s=settings.cache_ttl,
        first_token_s=settings.first_token_timeout_s,
    )
    waiting = waiting_for_a_restart(settings, loaded.settings) if loaded.settings is not None else ()
    return Policy(loaded, assessor_of(settings, loaded.file), limits, store_clearance, tuple(waiting))


def announce(policy: Policy) -> None:
    """Say in the metrics what this process serves, and which names it may look up from now on."""
    net.announce("deployments", (address.host for address in policy.loaded.assembled.egress.clearances))
    DEGRADED.labels("scanner").set(policy.assessor.health is not None)
    DEGRADED.labels("tokens").set(policy.assessor.counting is not None)
    CONFIGURATION_LOADED.set(policy.loaded.loaded_at)
    CONFIGURATION_HASH.set(int(policy.loaded.version or "0", 16))


class Reloader:
    """Replaces the policy of one process. `make` is make_policy for it, `read` reads the file; both run off the event loop."""

    def __init__(self, policy: Policy, *, chat: ChatGateway, wire: Wire, store: _Store, read: Callable[[], Loaded], make: Callable[[Loaded], Policy]) -> None:
        self.policy = policy
        self._started = policy
        self._chat = chat
        self._wire = wire
        self._store = store
        self._read = read
        self._make = make
        self._next: Policy | None = None
        self._lock = asyncio.Lock()

    @property
    def served(self) -> dict[str, str]:
        """Which configuration is served."""
        return described(self.policy.loaded)

    async def reload(self) -> dict[str, Any]:
        """Read the file and serve by it; say what was taken. Raises ConfigError, and then nothing has changed."""
        async with self._lock:
            try:
                await self.prepare(await asyncio.to_thread(self._read))
            except ConfigError as error:
                refused(error)
                RELOADS.labels("refused").inc()
                raise
            RELOADS.labels("taken").inc()
            return self.commit() | {"workers": 1}

    async def prepare(self, loaded: Loaded) -> None:
        """Make what `commit` puts in place. Raises ConfigError."""
        self._next = await asyncio.to_thread(self._make, loaded)

    def abandon(self) -> None:
        """Forget what was prepared."""
        self._next = None

    def commit(self) -> dict[str, Any]:
        """Serve by what was prepared, from this turn of the event loop on; say what was taken and what stays."""
        policy, self._next = self._next or self.policy, None
        self.policy = policy
        self._wire.replace_egress(Egress(policy.loaded.assembled.egress))
        self._chat.table = policy.loaded.assembled.table
        self._chat.assessor = policy.assessor
        self._chat.limits = policy.limits
        if self._chat.second_opinion is not None:
            self._chat.second_opinion.retire()
        opinion = policy.loaded.assembled.second_opinion
        self._chat.second_opinion = second_opinion_of(policy.loaded.file, opinion, self._wire, self._chat.secret, policy.limits.connect_s)
        self._store.clearance = min(policy.store_clearance, self._started.store_clearance)
        announce(policy)
        log.info("configuration_reloaded", version=policy.loaded.version, deployments=len(policy.loaded.assembled.table.deployments))
        return {"configuration": described(policy.loaded), "not_reloaded": self._kept(policy), "warnings": list(policy.loaded.assembled.warnings)}

    def _kept(self, policy: Policy) -> list[str]:
        old, new = self._started.loaded, policy.loaded
        kept = [f"{alternatives(policy.waiting, quote=False, last='and')} of .env: restart for another value"] if policy.waiting else []
        if old.assembled.embedder != new.assembled.embedder or (old.file.search.embedder is None) != (new.file.search.embedder is None):
            kept.append(_EMBEDDER_STAYS)
        if policy.store_clearance > self._started.store_clearance:
            kept.append(_CLEARANCE_STAYS)
        return kept


def described(loaded: Loaded) -> dict[str, str]:
    """Return which configuration it is, as `/health` and a reload's answer say it."""
    return {"version": loaded.version, "loaded_at": datetime.fromtimestamp(loaded.loaded_at, UTC).isoformat()}


def refused(error: ConfigError) -> None:
    """Log every fault of a file that is not taken."""
    log.warning("reload_refused", faults=[str(fault) for fault in error.faults])


@contextmanager
def on_hangup(reload: Callable[[], Coroutine[Any, Any, Any]]) -> Iterator[None]:
    """Reload for every SIGHUP that this process gets within the block. Not on Windows, which has none, nor outside the main thread, which gets none."""
    loop = asyncio.get_running_loop()
    hangup = getattr(signal, "SIGHUP", None)
    if hangup is None or threading.current_thread() is not threading.main_thread():
        yield
        return
    tasks: set[asyncio.Task[None]] = set()

    async def quietly() -> None:
        with suppress(ConfigError, UnavailableError):  # the log says why
            await reload()

    def start() -> None:
        tasks.add(task := asyncio.ensure_future(quietly()))
        task.add_done_callback(tasks.discard)

    loop.add_signal_handler(hangup, start)
    try:
        yield
    finally:
        loop.remove_signal_handler(hangup)
