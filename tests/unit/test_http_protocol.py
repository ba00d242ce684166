from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import socket
import struct
import weakref
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import uvicorn
from prometheus_client import REGISTRY
from uvicorn.server import ServerState

from app.domain import Tenant
from app.http_protocol import MAX_HEAD_BYTES, HeldHttpProtocol
from app.shortcut import Known

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

CHUNKED = b"POST /one HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n"
GET = b"GET /two HTTP/1.1\r\nhost: a\r\n\r\n"
FILLER = b"x" * 1000


class Echo:
    """Answers with the request's path and headers once its body is read and `held` allows."""

    def __init__(self) -> None:
        self.served = 0
        self.answer = b""
        self.headers: tuple[tuple[bytes, bytes], ...] = ()
        self.gone = 0
        self.held = asyncio.Event()
        self.held.set()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        while (message := await receive()).get("more_body"):
            continue
        if message["type"] == "http.disconnect":
            self.gone += 1
            return
        self.served += 1
        await self.held.wait()
        body = self.answer or json.dumps([scope["path"], [[name.decode(), value.decode()] for name, value in scope["headers"]]]).encode()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body)), *self.headers]})
        await send({"type": "http.response.body", "body": body})
        await receive()


@contextlib.asynccontextmanager
async def serving(app: Any, app_state: dict[str, Any] | None = None, **given: Any) -> AsyncIterator[tuple[ServerState, Callable[[], Any]]]:
    config = uvicorn.Config(app, http="httptools", ws="none", log_config=None, access_log=False)
    config.load()
    state = ServerState()
    server = await asyncio.get_running_loop().create_server(lambda: HeldHttpProtocol(config, state, app_state or {}, **given), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        yield state, lambda: asyncio.open_connection("127.0.0.1", port)
    finally:
        server.close()
        for connection in list(state.connections):
            connection.transport.abort()
        for task in list(state.tasks):
            task.cancel()


@pytest.fixture
def echo() -> Echo:
    return Echo()


async def answer_of(reader: asyncio.StreamReader) -> tuple[int, dict[str, str], Any]:
    async with asyncio.timeout(5):
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head.split("\r\n")[1:-2])}
        return int(head.split()[1]), headers, json.loads(await reader.readexactly(int(headers["content-length"])))


async def end_of(reader: asyncio.StreamReader, *, within_s: float = 5) -> bytes:
    async with asyncio.timeout(within_s):
        return await reader.read()


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 -- sockets set no event
            await asyncio.sleep(0.002)


async def test_trailers_are_no_headers_of_this_request_nor_of_the_next(echo: Echo) -> None:
    async with serving(echo) as (_, connect):
        reader, writer = await connect()
        writer.write(CHUNKED + b"x-forwarded-for: 203.0.113.9\r\nhost: evil\r\n\r\n" + GET)
        first, second = await answer_of(reader), await answer_of(reader)
        writer.close()

    assert first[2] == ["/one", [["host", "a"], ["transfer-encoding", "chunked"]]]
    assert second[2] == ["/two", [["host", "a"]]]


@pytest.mark.parametrize(
    "head",
    [
        b"GET / HTTP/1.1\r\nhost: a\r\nlong: " + b"v" * (MAX_HEAD_BYTES + 1) + b"\r\n\r\n",
        b"GET /" + b"u" * (MAX_HEAD_BYTES + 1) + b" HTTP/1.1\r\nhost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: a\r\n" + b"n: v\r\n" * MAX_HEAD_BYTES + b"\r\n",
        b"GET / HTTP/1.1\r\n" + b"n" * (MAX_HEAD_BYTES + 1) + b": v\r\n\r\n",
    ],
)
@pytest.mark.parametrize("pieces", [1, 20])
async def test_a_head_that_is_too_large_is_431_and_reaches_nobody(echo: Echo, head: bytes, pieces: int) -> None:
    async with serving(echo) as (_, connect):
        reader, writer = await connect()
        step = -(-len(head) // pieces)
        for start in range(0, len(head), step):
            writer.write(head[start : start + step])
            await writer.drain()
            await asyncio.sleep(0)
        status, headers, body = await answer_of(reader)
        rest = await end_of(reader)
        writer.close()

    assert (status, body["error"]["code"], headers["connection"], rest) == (431, "request_head_too_large", "close", b"")
    assert headers["x-request-id"].startswith("req_")
    assert echo.served == 0


@pytest.mark.parametrize("start", [b"GET / HTTP/1.1\r\nhost: a\r\nlong: ", b"GET /", CHUNKED + b"trailer: "])
async def test_a_head_or_a_trailer_without_end_is_431_before_it_ends(echo: Echo, start: bytes) -> None:
    async with serving(echo) as (_, connect):
        reader, writer = await connect()
        writer.write(start)
        for _ in range(300):  # the answer is not lost to a client that goes on sending
            writer.write(FILLER)
            await writer.drain()
        status, _, body = await answer_of(reader)
        writer.close()

    assert (status, body["error"]["code"]) == (431, "request_head_too_large")


async def test_a_head_just_within_the_limit_is_served_and_so_is_a_large_body(echo: Echo) -> None:
    async with serving(echo) as (_, connect):
        reader, writer = await connect()
        writer.write(b"POST / HTTP/1.1\r\nhost: a\r\nlong: " + b"v" * (MAX_HEAD_BYTES - 100) + b"\r\ncontent-length: 500000\r\n\r\n" + FILLER * 500 + GET)
        first, second = await answer_of(reader), await answer_of(reader)
        writer.close()

    assert (first[0], second[0]) == (200, 200)


async def test_the_second_of_two_pipelined_heads_is_held_to_the_limit_too(echo: Echo) -> None:
    async with serving(echo) as (_, connect):
        reader, writer = await connect()
        writer.write(GET + b"GET / HTTP/1.1\r\nlong: " + b"v" * MAX_HEAD_BYTES + b"\r\n\r\n" + GET)
        first = await answer_of(reader)
        await end_of(reader)
        writer.close()

    assert first[0] == 200
    assert echo.served == 1


@pytest.mark.parametrize("start", [b"", b"GET / HT", b"\r\n", GET + b"\r\n", GET + b"GET /"])
async def test_a_head_that_does_not_end_in_time_ends_the_connection(echo: Echo, monkeypatch: pytest.MonkeyPatch, start: bytes) -> None:
    monkeypatch.setattr(HeldHttpProtocol, "head_s", 0.05)
    async with serving(echo) as (state, connect):
        reader, writer = await connect()
        writer.write(start)
        if start.startswith(GET):
            await answer_of(reader)
            writer.write(b"G")
        assert await end_of(reader, within_s=2) == b""
        await until(lambda: not state.connections)
        writer.close()


async def test_a_head_that_drips_is_not_given_more_time(echo: Echo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(HeldHttpProtocol, "head_s", 0.1)
    async with serving(echo) as (_, connect):
        reader, writer = await connect()
        with contextlib.suppress(ConnectionError):
            for byte in b"GET / HTTP/1.1\r\n" * 20:
                writer.write(bytes((byte,)))
                await writer.drain()
                await asyncio.sleep(0.01)
                if reader.at_eof():
                    break

        assert reader.at_eof() or reader.exception() is not None  # reset, where a byte came after the end
        writer.close()


async def test_what_comes_early_does_not_end_an_answer_that_takes_long(echo: Echo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(HeldHttpProtocol, "head_s", 0.02)
    echo.held.clear()
    async with serving(echo) as (_, connect):
        reader, writer = await connect()
        writer.write(GET)
        await until(lambda: echo.served)
        writer.write(b"\r\n")
        await asyncio.sleep(0.1)
        echo.held.set()

        assert (await answer_of(reader))[0] == 200
        writer.close()


@pytest.mark.parametrize("sent", [b"nonsense\r\n\r\n", b"GET / HTTP/1.1\r\nbad header\r\n\r\n", b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n"])
async def test_what_is_not_http_is_400_in_openais_shape(echo: Echo, sent: bytes) -> None:
    async with serving(echo) as (_, connect):
        reader, writer = await connect()
        writer.write(sent)
        status, headers, body = await answer_of(reader)
        await end_of(reader)
        writer.close()

    assert (status, headers["content-type"], headers["connection"]) == (400, "application/json", "close")
    assert body["error"]["code"] == "invalid_http"
    assert set(body["error"]) == {"message", "type", "param", "code"}


async def test_nonsense_behind_a_request_does_not_fall_into_its_answer(echo: Echo) -> None:
    echo.held.clear()
    async with serving(echo) as (_, connect):
        reader, writer = await connect()
        writer.write(GET)
        await until(lambda: echo.served)
        writer.write(b"nonsense\r\n\r\n" + GET)
        await asyncio.sleep(0.02)
        echo.held.set()
        status, _, _ = await answer_of(reader)

        assert status == 200
        assert await end_of(reader) == b""
        assert echo.served == 1
        writer.close()


async def test_a_caller_that_does_not_read_its_answer_is_cut_off(echo: Echo) -> None:
    echo.answer = b"x" * (32 * 2**20)
    async with serving(echo, write_idle_s=0.1) as (state, connect):
        _, writer = await connect()
        writer.write(GET)
        await until(lambda: echo.served)
        await until(lambda: not state.connections)
        writer.close()


async def test_a_caller_that_reads_slowly_gets_its_answer(echo: Echo) -> None:
    echo.answer = b"x" * (16 * 2**20)
    async with serving(echo, write_idle_s=0.2) as (_, connect):
        reader, writer = await connect()
        writer.write(GET)
        read = len(echo.answer)
        await reader.readuntil(b"\r\n\r\n")
        while read:
            read -= len(await reader.read(2**20))
            await asyncio.sleep(0.005)
        writer.close()

    assert read == 0


@pytest.mark.parametrize("together", [True, False], ids=["in one read", "in the next read"])
async def test_a_caller_that_resets_while_its_next_request_waits_is_gone_for_the_one_that_is_served(*, together: bool) -> None:
    told: list[str] = []
    begun: list[str] = []

    async def app(scope: Any, receive: Any, _: Any) -> None:
        begun.append(scope["path"])
        await receive()
        with scope["sluice_cycle"] as cycle:
            await asyncio.Event().wait()
        told.append((await receive())["type"])
        told.extend(["gone"] * cycle.gone)

    async with serving(app) as (state, connect):
        _, writer = await connect()
        writer.write(GET + CHUNKED + b"\r\n" if together else GET)
        await until(lambda: begun)
        connection: Any = next(iter(state.connections))
        writer.write(b"" if together else CHUNKED + b"\r\n")
        await until(lambda: connection._waiting)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()
        await until(lambda: len(told) == 2)

    assert told == ["http.disconnect", "gone"]
    assert begun == ["/two"]
    assert not connection._waiting


@pytest.mark.parametrize("sent", [GET, GET * 2, CHUNKED + b"\r\n", b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 500000\r\n\r\n" + FILLER])
@pytest.mark.parametrize("answered", [True, False], ids=["answered", "left"])
async def test_a_connection_that_has_ended_leaves_nothing_to_the_garbage_collector(sent: bytes, *, answered: bool) -> None:
    begun = asyncio.Event()

    async def app(scope: Any, _: Any, send: Any) -> None:
        begun.set()
        with scope["sluice_cycle"]:
            await asyncio.sleep(0 if answered else 60)
            await send({"type": "http.response.start", "status": 503, "headers": [(b"content-length", b"0")]})
            await send({"type": "http.response.body"})

    async with serving(app) as (state, connect):
        gc.collect()
        gc.disable()
        try:
            reader, writer = await connect()
            writer.write(sent)
            await begun.wait()
            if answered:
                await reader.readuntil(b"\r\n\r\n")
            gone = weakref.ref(next(iter(state.connections)))
            writer.transport.abort()
            await until(lambda: gone() is None)
        finally:
            gc.enable()


async def test_a_request_that_has_come_whole_says_so_in_its_scope() -> None:
    seen: list[bool] = []

    async def app(scope: Any, _: Any, send: Any) -> None:
        seen.append("sluice_whole" in scope)
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async with serving(app) as (_, connect):
        for sent in (b"POST / HTTP/1.1\r\ncontent-length: 2\r\n\r\nhi", b"POST / HTTP/1.1\r\ncontent-length: 2\r\n\r\nh"):
            reader, writer = await connect()
            writer.write(sent)
            await reader.readuntil(b"\r\n\r\n")
            writer.close()

    assert seen == [True, False]


@pytest.mark.parametrize(
    "framing", [b"transfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n", b"content-length: 2\r\n\r\nhi"], ids=["chunked", "with its length"]
)
@pytest.mark.parametrize("version", [b"0.9", b"1.0", b"2.0"])
async def test_a_request_that_is_not_of_http_1_1_is_the_connections_last(echo: Echo, version: bytes, framing: bytes) -> None:
    async with serving(echo) as (_, connect):
        reader, writer = await connect()
        writer.write(b"POST /one HTTP/%b\r\nhost: a\r\nconnection: keep-alive\r\n%b" % (version, framing) + GET)
        status, headers, body = await answer_of(reader)
        rest = await end_of(reader)
        writer.close()

    assert (status, body[0], headers["connection"], rest) == (200, "/one", "close", b"")
    assert echo.served == 1


H2C = b"POST /one HTTP/1.1\r\nhost: a\r\nconnection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABkAAQAAP__\r\n"


@pytest.mark.parametrize("cut", [0, 20, len(H2C) + 21, len(H2C) + 22])
@pytest.mark.parametrize(
    "framing", [b"content-length: 2\r\n\r\nhi", b"Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n"], ids=["with its length", "chunked"]
)
async def test_a_body_is_read_although_its_head_asks_for_http_2_and_so_is_what_follows(framing: bytes, cut: int) -> None:
    seen: list[tuple[str, bytes]] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        body, message = b"", {"more_body": True}
        while message.get("more_body"):
            message = await receive()
            body += message["body"]
        seen.append((scope["path"], body))
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"{}"})

    async with serving(app) as (_, connect):
        reader, writer = await connect()
        writer.write(GET)
        await answer_of(reader)
        sent = H2C + framing + GET + H2C + framing
        writer.write(sent[:cut])
        for _ in range(5):  # turns of the loop, which is the server's too, so that the pieces come one by one
            await asyncio.sleep(0)
        writer.write(sent[cut:])
        async with asyncio.timeout(5):
            answers = [(await answer_of(reader))[0] for _ in range(3)]
        writer.close()

    assert answers == [200, 200, 200]
    assert seen == [("/two", b""), ("/one", b"hi"), ("/two", b""), ("/one", b"hi")]


async def test_a_target_that_is_no_url_as_of_a_caller_that_wants_a_proxy_is_refused_in_words(echo: Echo) -> None:
    async with serving(echo) as (_, connect):
        reader, writer = await connect()
        writer.write(b"CONNECT example.com:443 HTTP/1.1\r\nhost: example.com:443\r\n\r\n")
        async with asyncio.timeout(5):
            status, _, body = await answer_of(reader)
        writer.close()

    assert (status, body["error"]["code"], echo.served) == (400, "invalid_http", 0)


async def test_a_request_for_an_upgrade_that_has_no_body_is_answered_and_so_is_the_next(echo: Echo) -> None:
    async with serving(echo) as (_, connect):
        reader, writer = await connect()
        writer.write(b"GET /one HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n" + GET)
        async with asyncio.timeout(5):
            paths = [(await answer_of(reader))[2][0] for _ in range(2)]
        writer.close()

    assert paths == ["/one", "/two"]


@pytest.mark.parametrize("before", [b"", b"GET /one HTTP/1.1\r\nhost: a\r\n\r\n"], ids=["new", "idle"])
async def test_a_request_that_meets_the_servers_end_is_served_and_told_of_it(before: bytes) -> None:
    async with serving(Echo()) as (state, connect):
        reader, writer = await connect()
        if before:
            writer.write(before)
            await answer_of(reader)
        await until(lambda: state.connections)
        for connection in list(state.connections):
            connection.shutdown()

        writer.write(GET)

        status, headers, _ = await answer_of(reader)
        assert (status, headers["connection"]) == (200, "close")
        assert await end_of(reader) == b""
        writer.close()


async def test_an_idle_connection_is_closed_when_the_server_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.http_protocol._LAST_REQUEST_S", 0.01)
    async with serving(Echo()) as (state, connect):
        reader, writer = await connect()
        await until(lambda: state.connections)

        for connection in list(state.connections):
            connection.shutdown()

        assert await end_of(reader) == b""
        writer.close()


async def test_an_answer_under_way_is_the_connections_last_when_the_server_ends() -> None:
    app = Echo()
    app.held.clear()
    async with serving(app) as (state, connect):
        reader, writer = await connect()
        writer.write(GET)
        await until(lambda: app.served)
        for connection in list(state.connections):
            connection.shutdown()

        app.held.set()

        status, _, _ = await answer_of(reader)
        assert status == 200
        assert await end_of(reader) == b""
        writer.close()


@pytest.mark.parametrize("more", [GET, b""], ids=["a request", "none"])
async def test_an_answer_whose_head_has_left_may_be_followed_by_one_request_when_the_server_ends(more: bytes) -> None:
    held = asyncio.Event()
    echo = Echo()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] != "/halves":
            await echo(scope, receive, send)
            return
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"1", "more_body": True})
        await held.wait()
        await send({"type": "http.response.body", "body": b"2"})

    async with serving(app) as (state, connect):
        reader, writer = await connect()
        writer.write(GET.replace(b"/two", b"/halves"))
        await reader.readuntil(b"\r\n\r\n1")
        for connection in list(state.connections):
            connection.shutdown()
        held.set()
        assert await reader.readexactly(1) == b"2"
        writer.write(more)

        if more:
            status, headers, _ = await answer_of(reader)
            assert (status, headers["connection"]) == (200, "close")
        assert await end_of(reader) == b""
        writer.close()


@pytest.mark.parametrize("own", [(), ((b"connection", b"close"),)], ids=["the protocol alone", "the answer too"])
async def test_the_servers_end_is_told_once_in_an_answer(own: tuple[tuple[bytes, bytes], ...]) -> None:
    app = Echo()
    app.headers = own
    async with serving(app) as (state, connect):
        reader, writer = await connect()
        await until(lambda: state.connections)
        for connection in list(state.connections):
            connection.shutdown()
        writer.write(GET)

        assert (await end_of(reader)).count(b"connection: close\r\n") == 1
        writer.close()


async def test_a_process_that_is_about_to_end_keeps_no_connection_alive() -> None:
    drain = SimpleNamespace(begun=False)
    async with serving(Echo(), {"drain": drain}) as (_, connect):
        reader, writer = await connect()
        writer.write(GET)
        _, first, _ = await answer_of(reader)
        drain.begun = True
        writer.write(GET)
        _, last, _ = await answer_of(reader)

        assert "connection" not in first
        assert last["connection"] == "close"
        assert await end_of(reader) == b""
        writer.close()


KNOWN = Known(Tenant("t", "key:t"), "client")
KNOWN_POST = b"POST /known HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\nhi"


class Empty:
    """A shortcut that knows the heads of `KNOWN_POST`, and nothing that was decided."""

    def __init__(self) -> None:
        self.answered = 0

    def visitor(self, _: str) -> Any:
        return lambda piece: (b"key", KNOWN if piece.startswith(b"POST /known") else None, piece.partition(b"\r\n\r\n")[2])

    def find(self, *_: Any) -> Any:
        return None


class Faulty(Empty):
    """One that fails."""

    def find(self, *_: Any) -> Any:
        raise ValueError("canary")


async def test_the_key_of_a_piece_is_that_of_the_first_request_in_it_alone(echo: Echo) -> None:
    keys: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        keys.append(scope["sluice_cycle"].head_key)
        await echo(scope, receive, send)

    async with serving(app, {"shortcut": Empty()}) as (_, connect):
        reader, writer = await connect()
        for piece in (GET + GET, GET):
            writer.write(piece)
            for _ in range(piece.count(GET)):
                await answer_of(reader)
        writer.close()

    assert keys == [b"key", None, b"key"]


async def test_a_request_whose_head_is_known_is_served_without_reading_it() -> None:
    served: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        message = await receive()
        cycle = scope["sluice_cycle"]
        served.append((scope["path"], scope["headers"], message["body"], message["more_body"], cycle.known, cycle.head_key, cycle.decided))
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"{}"})

    async with serving(app, {"shortcut": Empty()}) as (state, connect):
        reader, writer = await connect()
        for piece in (KNOWN_POST, GET, KNOWN_POST):
            writer.write(piece)
            await answer_of(reader)
        writer.close()

    known = ("/v1/chat/completions", (), b"hi", False, KNOWN, None, False)
    assert served == [known, ("/two", [(b"host", b"a")], b"", False, None, b"key", False), known]
    assert state.total_requests == 3


async def test_what_comes_behind_a_request_whose_head_is_known_waits_for_its_answer(echo: Echo) -> None:
    echo.held.clear()
    async with serving(echo, {"shortcut": Empty()}) as (_, connect):
        reader, writer = await connect()
        writer.write(KNOWN_POST)
        await until(lambda: echo.served)
        writer.write(KNOWN_POST + GET)
        await asyncio.sleep(0.02)
        echo.held.set()
        paths = [(await answer_of(reader))[2][0] for _ in range(3)]
        writer.close()

    assert paths == ["/v1/chat/completions", "/known", "/two"]


async def test_a_known_head_takes_nothing_over_from_the_request_before(echo: Echo) -> None:
    async with serving(echo, {"shortcut": Empty()}) as (_, connect):
        reader, writer = await connect()
        writer.write(b"POST /one HTTP/1.1\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\n")
        await reader.readuntil(b"100 Continue\r\n\r\n")
        writer.write(b"hi")
        await answer_of(reader)
        writer.write(KNOWN_POST)
        head = await reader.readuntil(b"\r\n\r\n")
        writer.close()

    assert head.startswith(b"HTTP/1.1 200 ")


async def test_a_head_that_is_known_ends_the_time_for_one(echo: Echo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(HeldHttpProtocol, "head_s", 0.05)
    async with serving(echo, {"shortcut": Empty()}) as (_, connect):
        reader, writer = await connect()
        writer.write(KNOWN_POST)
        await answer_of(reader)
        await asyncio.sleep(0.1)
        writer.write(KNOWN_POST)
        status, _, _ = await answer_of(reader)
        writer.close()

    assert status == 200


async def test_a_caller_of_a_known_head_that_leaves_is_gone() -> None:
    begun: list[Any] = []
    left: list[bool] = []

    async def app(scope: Any, *_: Any) -> None:
        with scope["sluice_cycle"] as cycle:
            begun.append(cycle)
            await asyncio.Event().wait()
        left.append(cycle.gone)

    async with serving(app, {"shortcut": Empty()}) as (_, connect):
        _, writer = await connect()
        writer.write(KNOWN_POST)
        await until(lambda: begun)
        writer.transport.abort()
        await until(lambda: left)

    assert left == [True]


async def test_a_fault_of_the_shortcut_leaves_a_request_to_its_application(echo: Echo) -> None:
    before = REGISTRY.get_sample_value("sluice_faults_total", {"part": "shortcut"}) or 0
    async with serving(echo, {"shortcut": Faulty()}) as (_, connect):
        reader, writer = await connect()
        writer.write(KNOWN_POST)
        status, _, _ = await answer_of(reader)
        writer.close()

    assert (status, echo.served) == (200, 1)
    assert REGISTRY.get_sample_value("sluice_faults_total", {"part": "shortcut"}) == before + 1


class Answering(Empty):
    """One that has an answer to what is known."""

    def find(self, *_: Any) -> Any:
        return "a decision"

    def answer(self, *_: Any) -> bytes:
        self.answered += 1
        return b"content-length: 2\r\n\r\n{}"


async def test_an_answer_of_the_shortcut_needs_no_application(echo: Echo) -> None:
    shortcut = Answering()
    async with serving(echo, {"shortcut": shortcut}) as (_, connect):
        reader, writer = await connect()
        writer.write(KNOWN_POST)
        status, _, body = await answer_of(reader)
        writer.close()

    assert (status, body, shortcut.answered, echo.served) == (200, {}, 1, 0)


async def test_a_process_that_is_about_to_end_says_so_to_callers_that_are_known(echo: Echo) -> None:
    shortcut = Answering()
    async with serving(echo, {"shortcut": shortcut, "drain": SimpleNamespace(begun=True)}) as (_, connect):
        reader, writer = await connect()
        writer.write(KNOWN_POST)
        _, headers, body = await answer_of(reader)
        writer.close()

    assert (headers["connection"], body[0], shortcut.answered) == ("close", "/known", 0)


async def test_a_caller_that_does_not_read_gets_no_more_from_the_shortcut(echo: Echo) -> None:
    echo.answer = b"x" * (32 * 2**20)
    shortcut = Answering()
    async with serving(echo, {"shortcut": shortcut}) as (_, connect):
        _, writer = await connect()
        writer.write(GET)
        await until(lambda: echo.served == 1)
        writer.write(KNOWN_POST)
        await until(lambda: echo.served == 2 or shortcut.answered)
        writer.close()

    assert shortcut.answered == 0
