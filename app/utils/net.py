"""A net below egress: Python code of this process that looks a name up, or connects, where nobody announced it, is stopped and counted.

It proves nothing: an audit hook (PEP 578) sees what goes through Python's socket module, and not what a library in C or uvloop connects by itself. Egress and
the wire are what holds; this catches a library that begins to make connections of its own.
"""

from __future__ import annotations

import sys
from contextlib import contextmanager
from contextvars import ContextVar
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, ClassVar

from app.utils.logging import get_logger
from app.utils.monitoring import UNANNOUNCED

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_NAMED = frozenset({"socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr"})  # the name is the first argument
_REACHED = frozenset({"socket.connect", "socket.sendto", "socket.sendmsg"})  # the address is the second
_MAX_FRAMES = 40

_log = get_logger("net")
_peer: ContextVar[tuple[str, int] | None] = ContextVar("peer", default=None)


class UnannouncedError(PermissionError):
    """Nobody announced this connection or look-up; nothing was sent."""


class _Net:
    """What is announced. A hook stays for as long as the process, so it asks this, which can be replaced."""

    is_spread = False
    is_hooked = False
    by_whom: ClassVar[dict[str, frozenset[str]]] = {}
    names: frozenset[str] = frozenset()


_net = _Net()


def spread() -> None:
    """Refuse what is not announced, from now on."""
    _net.is_spread = True
    if not _net.is_hooked:
        _net.is_hooked = True
        sys.addaudithook(_audit)


def take_in() -> None:
    """Refuse nothing, until the net is spread again."""
    _net.is_spread = False


def announce(whose: str, names: Iterable[str]) -> None:
    """Allow look-ups of these names, in the place of those that `whose` announced before. Connections are announced one by one, by `reaching`."""
    _net.by_whom[whose] = frozenset(_spelled(name) for name in names)
    _net.names = frozenset().union(*_net.by_whom.values())


@contextmanager
def reaching(address: tuple[Any, ...]) -> Iterator[None]:
    """Announce one connection, which the block makes: its address was checked."""
    token = _peer.set((str(address[0]), int(address[1])))
    try:
        yield
    finally:
        _peer.reset(token)


def _audit(event: str, args: tuple[Any, ...]) -> None:
    if event in _REACHED:
        address = args[1]
        if not _net.is_spread or not isinstance(address, tuple) or _peer.get() == address[:2]:  # what is no tuple stays on this machine
            return
    elif event not in _NAMED or not _net.is_spread or _is_announced(args[0], _net.names):
        return
    UNANNOUNCED.inc()
    _log.warning("unannounced_connection", event_name=event, caller=_caller())  # where to may be content
    raise UnannouncedError("nobody announced this connection")


def _is_announced(host: Any, names: frozenset[str]) -> bool:
    """Say whether a name may be looked up. None names no other machine, and a literal is looked up nowhere: connecting to it is asked about."""
    if host is None:
        return True
    name = _spelled(host.decode("ascii", "replace") if isinstance(host, bytes) else str(host))
    if name in names or not name:
        return True
    try:
        ip_address(name.partition("%")[0])
    except ValueError:
        return False
    return True


def _spelled(name: str) -> str:
    return name.lower().removesuffix(".")


def _caller() -> str:
    """Return the package that asked: the innermost that is not the standard library's."""
    frame = sys._getframe(2)  # noqa: SLF001 -- the documented way to one's caller
    for _ in range(_MAX_FRAMES):
        package = str(frame.f_globals.get("__name__", "")).partition(".")[0]
        if package not in sys.stdlib_module_names:
            return package
        if frame.f_back is None:
            break
        frame = frame.f_back
    return ""
