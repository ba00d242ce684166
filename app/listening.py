"""The socket that connections arrive at, as an event loop is given it."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from socket import socket

# libuv accepts one connection of a listener in a turn of its loop, and a turn serves everybody who has sent something: of 256 callers that connect at once
# the last were seen to wait 2 s before their first request was read, with 8 for a turn 0.2 s (benchmarks, json-256, for a relay that does nothing else too).
_A_TURN = 8


def doors(listener: socket) -> list[socket]:
    """Return `listener` as often as connections may be accepted in one turn of the event loop; asyncio's own accepts as many as wait.

    Workers share what the socket is open as: one that made it blocking, if only for a moment, would hold the loops of all others at their next look for
    a connection. A socket handed to another process takes itself for blocking, and its copies do. No child of this process gets any of them: libuv closes
    nothing that can be inherited, and the child that holds Chroma would keep the port open past a crash of its parent.
    """
    listener.setblocking(False)
    listener.set_inheritable(False)
    if find_spec("uvloop") is None:
        return [listener]
    return [listener, *(listener.dup() for _ in range(_A_TURN - 1))]
