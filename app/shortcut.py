"""The short way of a chat request from a caller that was met before: its bytes are looked up, and an answer that was given before is written at once.

A caller sends the same head with every request, but for the length of its body. One that httptools has parsed, and whose request passed every layer to the
chat endpoint, is known again by its bytes: what it said then it says now. Where its whole body has come with it, the head is not read again, and the request
goes to the chat endpoint past the layers that it passed then; and where the body's answer is stored (gateway/decided.py), there is nothing to wait for or to
fail at, and so no task or event. Whatever is in doubt is a request like any other.

What is kept of a head is whose request it was, under a hash with a key of this process alone.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from collections import OrderedDict
from typing import TYPE_CHECKING, Final, NamedTuple

from app.gateway.decided import DECIDING, is_plain
from app.gateway.receipt import Receipt
from app.gateway.stored import read_head
from app.limits import limit_lines
from app.middleware import account, begin_fields

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from app.domain import Tenant
    from app.gateway.admission import Admission
    from app.gateway.chat import ChatGateway
    from app.gateway.decided import Decision
    from app.http_io import RequestIds
    from app.limits import RateLimit

MAX_KNOWN: Final = 4096  # some 400 bytes each, 2 MB in all

_LONGEST_HEAD: Final = 4096
_LONGEST_BODY: Final = 64 * 1024  # what is longer costs more to read than its head
_LENGTH: Final = b"\r\ncontent-length: "
_LENGTH_END: Final = b"ength: "  # so far no client spells it otherwise

_ANSWER: Final = b"content-type: application/json\r\ncontent-length: %d\r\n%b%bx-request-id: %b\r\n\r\n%b"

# With one of these a head is another each time, or says more than whose request it is and how long (CORSMiddleware reads Origin).
_TELLING: Final = DECIDING | {"expect", "origin", "transfer-encoding", "upgrade", "x-request-id"}


class Known(NamedTuple):
    """Whose request a head makes, and by which address it is limited."""

    tenant: Tenant
    client: str


# Of a request of which all has come: what its head is known by, whose it is where the head is known, and the body then.
Visit = tuple[bytes, Known | None, bytes]


class Shortcut:
    """What is known of heads, those `max_known` that were met last, and the answers to them.

    `look` returns what is stored under a key, without waiting; where it is None there are no answers, but heads are known.
    """

    def __init__(
        self,
        gateway: ChatGateway,
        limit: RateLimit,
        admission: Admission,
        *,
        look: Callable[[bytes], bytes | None] | None,
        ids: RequestIds,
        path: str,
        max_known: int = MAX_KNOWN,
    ) -> None:
        self._gateway = gateway
        self._limit = limit
        self._admission = admission
        self._look = look
        self.ids = ids
        self._path = path
        self._line = b"POST %b HTTP/1.1\r\n" % path.encode()
        self._max_known = max_known
        self._secret = secrets.token_bytes(32)
        self._known: OrderedDict[bytes, Known] = OrderedDict()  # the head met longest ago first

    def __len__(self) -> int:
        return len(self._known)

    def visitor(self, peer: str) -> Callable[[bytes], Visit | None]:
        """Return what tells of each piece of bytes from a connection with `peer` what request it is: None unless a whole, short one with its length."""
        whose = peer.encode()
        begun = hashlib.blake2b(b"%d:%b" % (len(whose), whose), key=self._secret, digest_size=16, person=b"sluice/head/1")
        known, line = self._known, self._line

        def visit(piece: bytes) -> Visit | None:
            if not piece.startswith(line):
                return None
            body_at = piece.find(b"\r\n\r\n", 0, _LONGEST_HEAD) + 4
            start = piece.rfind(_LENGTH_END, 0, body_at) + len(_LENGTH_END)
            end = piece.find(b"\r", start, body_at)
            digits = piece[start:end]
            length = len(piece) - body_at
            if length > _LONGEST_BODY or digits != b"%d" % length or piece[start - len(_LENGTH) : start].lower() != _LENGTH:
                return None
            digest = begun.copy()
            digest.update(piece[:start])
            digest.update(piece[end:body_at])
            key = digest.digest()
            found = known.get(key)
            if found is None:
                return key, None, b""
            known.move_to_end(key)
            return key, found, piece[body_at:]

        return visit

    def remember(self, key: bytes, headers: Mapping[str, str], version: str, known: Known) -> None:
        """Know a head again that made this request, where it says nothing but whose it is. The caller answers for it that it passed every layer."""
        if version != "1.1" or not _TELLING.isdisjoint(headers) or not is_plain(headers) or headers.get("connection", "keep-alive").lower() != "keep-alive":
            return
        if len(self._known) >= self._max_known and key not in self._known:
            self._known.popitem(last=False)
        self._known[key] = known

    def find(self, known: Known, body: bytes) -> Decision | None:
        """Return what was decided over a body of a known caller's before."""
        return self._gateway.recallable(known.tenant, body)

    def answer(self, known: Known, decision: Decision) -> bytes | None:
        """Return the answer's headers and body, behind its first line; None for a request like any other, of which nothing is counted then.

        Raises what a fault of ours raises; the caller's limit has not been touched then, so that the request can be one like any other.
        """
        look, gateway = self._look, self._gateway
        if look is None or decision.stream or not self._admission.is_open:
            return None
        receipt = Receipt()
        raw = look(decision.key)
        stored = None if raw is None else read_head(raw)
        if raw is None or stored is None:
            return None
        window = self._limit.take(known.client)
        if window is not None and not window.allowed:
            return None
        try:
            gateway.note_replay(decision, stored, receipt, receipt.started)
            request_id = self.ids.new()
            limits = b"" if window is None else limit_lines(window)
            told = _ANSWER % (len(raw) - stored.body_at, receipt.lines(), limits, request_id, raw[stored.body_at :])
            fields = begin_fields(request_id.decode(), "POST", self._path, 200)
            fields["tenant"] = known.tenant.name
            receipt.note(fields)
            account(fields, seconds=time.perf_counter() - receipt.started)
        except BaseException:
            self._limit.give_back(known.client)
            raise
        return told
