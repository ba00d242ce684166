"""What tests may rely on in every simulator: the record, the faults, the switch."""

from __future__ import annotations

import gzip
import http.client
import json
import socket
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.simulators import OpenAISimulator
from tests.simulators.faults import Faults, parse
from tests.simulators.model import MULTIBYTE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.simulators import Simulator

PATH = "/v1/chat/completions"


@pytest.fixture
def sim() -> Iterator[OpenAISimulator]:
    with OpenAISimulator(tag="cloud") as running:
        yield running


def ask(model: str, text: str = "hello", **more: Any) -> bytes:
    return json.dumps({"model": model, "messages": [{"role": "user", "content": text}], **more}, ensure_ascii=False).encode()


def post(sim: Simulator, body: bytes, path: str = PATH) -> tuple[http.client.HTTPResponse, bytes]:
    connection = http.client.HTTPConnection(sim.host, sim.port, timeout=10)
    try:
        connection.request("POST", path, body, {"content-type": "application/json"})
        answer = connection.getresponse()
        return answer, answer.read()
    finally:
        connection.close()


def dialogue(sim: Simulator, sent: bytes) -> bytes:
    """Send bytes, return everything that comes back until the other side ends."""
    with socket.create_connection((sim.host, sim.port), timeout=10) as link:
        link.sendall(sent)
        return b"".join(iter(lambda: link.recv(65536), b""))


def http_request(body: bytes, *more: str) -> bytes:
    return "\r\n".join([f"POST {PATH} HTTP/1.1", "host: x", f"content-length: {len(body)}", *more, "", ""]).encode() + body


def chunks(sim: Simulator, model: str) -> list[bytes]:
    """Return the HTTP chunks of a stream, without the one that ends it."""
    answer = dialogue(sim, http_request(ask(model, stream=True), "connection: close"))
    rest, found = answer.partition(b"\r\n\r\n")[2], []
    while rest:
        size, _, rest = rest.partition(b"\r\n")
        found.append(rest[: int(size, 16)])
        rest = rest[int(size, 16) + 2 :]
    return found[:-1]


@pytest.mark.parametrize(
    ("model", "faults"),
    [
        ("gpt-4o-mini", {}),
        ("llama3.1", {}),
        ("claude-3.5-sonnet", {}),
        ("status-500", {"status": 500}),
        ("gpt-4.1.status-500", {"status": 500}),
        ("claude--status-429-retry-7", {"status": 429, "retry": 7}),
        ("m.status-429-retryms-70", {"status": 429, "retryms": 70}),
        ("m.slow-stream-50.cut-3", {"slow-stream": 50, "cut": 3}),
        ("m.cut-3.large", {}),
        ("m.cut", {}),
        ("m.hang-3", {}),
        ("m.status-7", {}),
        ("text-embedding-3-small", {}),
        ("m.bigchunk", {"bigchunk": 1024}),
        ("m.bigchunk-2", {"bigchunk": 2}),
        ("m.ok", {"ok": 0}),
        ("", {}),
    ],
)
def test_the_end_of_a_models_name_says_the_faults(model: str, faults: dict[str, int]) -> None:
    assert parse(model) == Faults(faults)


def test_a_request_is_recorded_whole(sim: OpenAISimulator) -> None:
    before = time.monotonic()

    post(sim, ask("m", "wörld"))

    [request] = sim.requests
    assert (request.method, request.path, request.header("Content-Type")) == ("POST", PATH, "application/json")
    assert request.json["messages"][0]["content"] == "wörld"
    assert before <= request.at <= time.monotonic()
    sim.wait_for(lambda: request.finished)


def test_bytes_of_a_request_that_is_never_whole_are_recorded(sim: OpenAISimulator) -> None:
    with socket.create_connection((sim.host, sim.port)) as link:
        link.sendall(http_request(ask("m", "canary-1"))[:-3])
        sim.wait_for(lambda: sim.saw(b"canary-1"))

        assert sim.raw.startswith(b"POST ")
        assert not sim.requests


@pytest.mark.parametrize(
    "sent",
    [
        b"canary",
        json.dumps({"x": ["\u00e9canary"]}).encode(),
        b'{"c\\u0061nary": 1}',
    ],
)
def test_a_canary_is_seen_however_it_is_written(sim: OpenAISimulator, sent: bytes) -> None:
    post(sim, sent)

    assert sim.saw(b"canary")
    assert not sim.saw(b"canary2")


def test_a_canary_is_seen_across_the_chunks_of_a_body(sim: OpenAISimulator) -> None:
    dialogue(sim, f"POST {PATH} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n3\r\ncan\r\n3\r\nary\r\n0\r\n\r\n".encode())

    assert sim.saw(b"canary")


def test_a_canary_is_seen_in_a_url(sim: OpenAISimulator) -> None:
    post(sim, b"", "/v1/x?q=can%61ry")

    assert sim.saw(b"canary")


def test_connections_are_counted_and_kept_alive(sim: OpenAISimulator) -> None:
    connection = http.client.HTTPConnection(sim.host, sim.port)
    for _ in range(2):
        connection.request("POST", PATH, ask("m"))
        connection.getresponse().read()

    assert (sim.connections, sim.open_connections, len(sim.requests)) == (1, 1, 2)
    connection.close()
    sim.wait_for(lambda: sim.open_connections == 0)
    assert not sim.disconnects


@pytest.mark.parametrize("model", ["hang", "m.stall-2", "m.slow-first-60000", "m.slow-stream-60000", "m.slow-body-60000"])
def test_a_caller_that_leaves_before_the_end_is_a_disconnect(sim: OpenAISimulator, model: str) -> None:
    with socket.create_connection((sim.host, sim.port)) as link:
        link.sendall(http_request(ask(model, stream="body" not in model)))
        sim.wait_for(lambda: sim.requests)
        left = time.monotonic()
    sim.wait_for(lambda: sim.disconnects)

    [disconnect] = sim.disconnects
    assert left <= disconnect.at < left + 1
    assert disconnect.request is sim.requests[0]


async def test_a_coroutine_can_wait_for_the_record(sim: OpenAISimulator) -> None:
    with pytest.raises(TimeoutError):
        await sim.until(lambda: sim.requests, timeout_s=0.01)


def test_a_killed_simulator_resets_and_refuses_until_it_is_revived(sim: OpenAISimulator) -> None:
    link = socket.create_connection((sim.host, sim.port), timeout=10)
    link.sendall(b"POST ")
    sim.wait_for(lambda: sim.raw)

    sim.kill()

    with pytest.raises(ConnectionResetError):
        link.recv(1)
    link.close()
    for _ in range(3):
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((sim.host, sim.port))
    port = sim.port
    sim.revive()
    assert sim.port == port
    assert post(sim, ask("m"))[0].status == 200


def test_two_simulators_have_two_ports() -> None:
    with OpenAISimulator() as one, OpenAISimulator() as other:
        assert one.port != other.port


def test_the_switch_overrides_the_models_name(sim: OpenAISimulator) -> None:
    sim.fault = "status-503"

    assert post(sim, ask("m.ok"))[0].status == 503
    sim.fault = None
    assert post(sim, ask("m"))[0].status == 200


def test_refuse_as_the_switch_resets_before_a_byte_is_read(sim: OpenAISimulator) -> None:
    sim.fault = "refuse"

    with pytest.raises(OSError):  # noqa: PT011 - a reset or a broken pipe, as the race between both sides goes
        dialogue(sim, http_request(ask("m")))
    assert not sim.requests


def test_refuse_as_the_model_resets_after_the_request(sim: OpenAISimulator) -> None:
    with pytest.raises(ConnectionResetError):
        dialogue(sim, http_request(ask("m.refuse")))
    assert len(sim.requests) == 1


def test_faults_can_hold_for_the_first_requests_only(sim: OpenAISimulator) -> None:
    statuses = [post(sim, ask("m.status-500.times-2"))[0].status for _ in range(3)]

    assert statuses == [500, 500, 200]


def test_a_status_carries_what_it_says_of_retrying(sim: OpenAISimulator) -> None:
    seconds, _ = post(sim, ask("m.status-429-retry-7"))
    milliseconds, _ = post(sim, ask("m.status-429-retryms-70"))

    assert (seconds.status, seconds.headers["retry-after"], milliseconds.headers["retry-after-ms"]) == (429, "7", "70")


@pytest.mark.parametrize(
    ("model", "status", "kind", "start"),
    [
        ("m.html-502", 502, "text/html", b"<html>"),
        ("m.text-503", 503, "text/plain", b"upstream"),
        ("m.detail-422", 422, "application/json", b'{"detail":[{'),
        ("m.detail-400", 400, "application/json", b'{"detail":"simulated'),
        ("m.echo-400", 400, "application/json", b'{"error":{"message":"simulated 400: hello"'),
        ("m.empty-500", 500, "application/json", b""),
    ],
)
def test_errors_in_no_dialect(sim: OpenAISimulator, model: str, status: int, kind: str, start: bytes) -> None:
    answer, body = post(sim, ask(model))

    assert (answer.status, answer.headers["content-type"]) == (status, kind)
    assert body.startswith(start)


def test_a_redirect_points_where_the_test_says(sim: OpenAISimulator) -> None:
    sim.redirect_to = "http://127.0.0.1:1/x"

    answer, _ = post(sim, ask("m.redirect-307"))

    assert (answer.status, answer.headers["location"]) == (307, "http://127.0.0.1:1/x")


@pytest.mark.parametrize("count", [0, 3])
def test_a_cut_stream_ends_without_the_last_chunk(sim: OpenAISimulator, count: int) -> None:
    answer = dialogue(sim, http_request(ask(f"m.cut-{count}", stream=True)))

    assert answer.count(b"data: {") == count
    assert not answer.endswith(b"0\r\n\r\n")


def test_a_clean_end_ends_http_and_not_the_dialect(sim: OpenAISimulator) -> None:
    answer = dialogue(sim, http_request(ask("m.endclean-3", stream=True), "connection: close"))

    assert answer.endswith(b"0\r\n\r\n")
    assert answer.count(b"data: {") == 3
    assert b"[DONE]" not in answer


def test_a_reset_stream_is_reset(sim: OpenAISimulator) -> None:
    with pytest.raises(ConnectionResetError):
        dialogue(sim, http_request(ask("m.reset-1", stream=True)))


@pytest.mark.parametrize("fault", ["cut-1", "reset-1"])
def test_a_whole_answer_is_cut_half_way(sim: OpenAISimulator, fault: str) -> None:
    with pytest.raises((http.client.IncompleteRead, ConnectionResetError)):
        post(sim, ask(f"m.{fault}"))


@pytest.mark.parametrize("fault", ["endclean-1", "malformed-1"])
def test_a_whole_answer_is_no_json(sim: OpenAISimulator, fault: str) -> None:
    answer, body = post(sim, ask(f"m.{fault}"))

    assert answer.status == 200
    with pytest.raises(ValueError, match="line 1"):
        json.loads(body)


def test_one_chunk_of_a_stream_is_no_json(sim: OpenAISimulator) -> None:
    healthy, spoilt = chunks(sim, "m"), chunks(sim, "m.malformed-2")

    assert len(spoilt) == len(healthy)
    with pytest.raises(ValueError, match="line 1"):
        json.loads(spoilt[1].removeprefix(b"data: "))
    json.loads(spoilt[0].removeprefix(b"data: "))
    json.loads(spoilt[2].removeprefix(b"data: "))


@pytest.mark.parametrize("count", [0, 2])
def test_an_error_inside_a_stream(sim: OpenAISimulator, count: int) -> None:
    spoilt = chunks(sim, f"m.error-{count}")

    assert len(spoilt) == count + 1
    assert json.loads(spoilt[count].removeprefix(b"data: "))["error"]["message"]


def test_a_stream_without_its_last_word(sim: OpenAISimulator) -> None:
    assert b"".join(chunks(sim, "m.nodone")).count(b"[DONE]") == 0
    assert b'"finish_reason":"stop"' in b"".join(chunks(sim, "m.nodone"))


def test_a_comment_comes_first(sim: OpenAISimulator) -> None:
    assert chunks(sim, "m.commentfirst")[0].startswith(b": ")


def test_writes_end_inside_characters(sim: OpenAISimulator) -> None:
    torn = chunks(sim, "m.splitutf8")

    def undecodable(chunk: bytes) -> bool:
        return chunk.decode(errors="ignore").encode() != chunk

    assert sum(undecodable(chunk) for chunk in torn) > 10
    texts = [json.loads(line[6:])["choices"][0]["delta"].get("content", "") for line in b"".join(torn).split(b"\n") if line.startswith(b"data: {")]
    assert "".join(texts).endswith(MULTIBYTE)


def test_a_chunk_can_be_large(sim: OpenAISimulator) -> None:
    assert max(len(chunk) for chunk in chunks(sim, "m.bigchunk-300")) > 300 * 1024


@pytest.mark.parametrize("stream", [True, False])
def test_an_answer_can_be_compressed(sim: OpenAISimulator, stream: bool) -> None:
    answer, body = post(sim, ask("m.gzip", stream=stream))

    assert answer.headers["content-encoding"] == "gzip"
    assert b"[cloud]" in gzip.decompress(body)


def test_a_body_can_end_with_the_connection(sim: OpenAISimulator) -> None:
    answer, body = post(sim, ask("m.connclose"))

    assert answer.headers["content-length"] is None
    assert answer.headers["transfer-encoding"] is None
    assert json.loads(body)["object"] == "chat.completion"


@pytest.mark.parametrize(("model", "stream"), [("m.slow-first-40", False), ("m.slow-token-40", True), ("m.slow-stream-10", True), ("m.slow-body-10", False)])
def test_slow_answers_are_slow_and_whole(sim: OpenAISimulator, model: str, stream: bool) -> None:
    begun = time.monotonic()

    _, body = post(sim, ask(model, stream=stream))

    assert time.monotonic() - begun >= 0.04
    assert (b"[DONE]" if stream else b'"usage"') in body


def test_requests_that_are_pipelined_are_answered_in_order(sim: OpenAISimulator) -> None:
    answers = dialogue(sim, http_request(ask("m", "one")) + http_request(ask("m", "two"), "connection: close"))

    assert 0 < answers.index(b"echo: one") < answers.index(b"echo: two")


def test_what_is_no_http_is_answered_400(sim: OpenAISimulator) -> None:
    assert dialogue(sim, b"\x16\x03\x01 hello\r\n\r\n").startswith(b"HTTP/1.1 400 ")


def test_a_fault_of_the_simulator_itself_is_raised() -> None:
    class Broken(OpenAISimulator):
        def model_of(self, _request: object) -> str:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), Broken() as sim, pytest.raises(ConnectionResetError):
        dialogue(sim, http_request(ask("m")))
