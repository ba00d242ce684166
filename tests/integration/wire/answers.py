"""Answers in every framing that HTTP/1.1 has, as bytes, with what a client makes of them."""

from __future__ import annotations

import gzip
import zlib
from dataclasses import dataclass


@dataclass(frozen=True)
class Answer:
    name: str
    raw: bytes
    body: bytes = b"hello world"
    status: int = 200
    until_close: bool = False  # the connection's end is the body's end
    reusable: bool = True
    method: str = "POST"

    def __str__(self) -> str:
        return self.name


def _raw_deflate(data: bytes) -> bytes:
    stream = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return stream.compress(data) + stream.flush()


def by_length(body: bytes, *headers: str, status: str = "200 OK", version: str = "1.1") -> bytes:
    lines = [f"HTTP/{version} {status}", *headers, f"Content-Length: {len(body)}"]
    return "".join(f"{line}\r\n" for line in lines).encode("latin-1") + b"\r\n" + body


def chunked(*chunks: bytes, headers: tuple[str, ...] = (), extension: str = "", trailer: str = "") -> bytes:
    lines = ["HTTP/1.1 200 OK", *headers, "Transfer-Encoding: chunked"]
    head = "".join(f"{line}\r\n" for line in lines).encode("latin-1") + b"\r\n"
    parts = [f"{len(chunk):x}{extension}\r\n".encode() + chunk + b"\r\n" for chunk in chunks]
    return head + b"".join(parts) + f"0\r\n{trailer}\r\n".encode()


_HELLO = b"hello world"

ANSWERS = (
    Answer("length", by_length(_HELLO)),
    Answer("length and an error status", by_length(_HELLO, status="500 Oops"), status=500),
    Answer("length zero", by_length(b""), body=b""),
    Answer("length, asking to close", by_length(_HELLO, "Connection: close"), reusable=False),
    Answer("length, HTTP/1.0", by_length(_HELLO, version="1.0"), reusable=False),
    Answer("length, HTTP/1.0 with keep-alive", by_length(_HELLO, "Connection: keep-alive", version="1.0")),
    Answer("no reason phrase", b"HTTP/1.1 200\r\nContent-Length: 11\r\n\r\nhello world"),
    Answer("an empty header", by_length(_HELLO, "X-Empty:", "X-After: yes")),
    Answer("chunked", chunked(b"hello", b" ", b"world")),
    Answer("chunked, with whitespace around the word", chunked(b"hello world").replace(b": chunked", b":\t Chunked  ")),
    Answer("chunked with nothing", chunked(), body=b""),
    Answer("chunked with extensions and trailers", chunked(b"hello ", b"world", extension=";a=b", trailer="Content-Type: a/b\r\nX-T: 1\r\n")),
    Answer("chunked, asking to close", chunked(b"hello ", b"world", headers=("Connection: close",)), reusable=False),
    Answer("until close", b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\nhello world", until_close=True, reusable=False),
    Answer("until close, HTTP/1.0", b"HTTP/1.0 200 OK\r\n\r\nhello world", until_close=True, reusable=False),
    Answer("until close with nothing", b"HTTP/1.1 200 OK\r\n\r\n", body=b"", until_close=True, reusable=False),
    Answer("no content", b"HTTP/1.1 204 No Content\r\n\r\n", body=b"", status=204),
    Answer("not modified, which announces what it does not send", by_length(b"", status="304 Not Modified").replace(b": 0", b": 9"), body=b"", status=304),
    Answer("interim answers first", b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\nLink: </y>\r\n\r\n" + by_length(_HELLO)),
    Answer("a redirect", by_length(_HELLO, "Location: http://127.0.0.1:1/", status="307 Temporary Redirect"), status=307),
    Answer("to HEAD", by_length(b"", status="200 OK").replace(b": 0", b": 11"), body=b"", reusable=False, method="HEAD"),
    Answer("gzip", by_length(gzip.compress(_HELLO, mtime=0), "Content-Encoding: gzip")),
    Answer("gzip of two members, chunked", chunked(gzip.compress(b"hello ", mtime=0), gzip.compress(b"world", mtime=0), headers=("Content-Encoding: gzip",))),
    Answer("deflate", by_length(zlib.compress(_HELLO), "Content-Encoding: deflate")),
    Answer("deflate without its wrapper", by_length(_raw_deflate(_HELLO), "Content-Encoding: deflate")),
    Answer("identity", by_length(_HELLO, "Content-Encoding: identity")),
)

BROKEN = {
    "not HTTP": b"SSH-2.0-OpenSSH_9.6\r\n\r\n",
    "another protocol of the same look": b"RTSP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n",
    "a leading line end": b"\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    "HTTP/2.0": b"HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n",
    "HTTP/0.9": b"HTTP/0.9 200 OK\r\n\r\n",
    "bare line feeds": b"HTTP/1.1 200 OK\nContent-Length: 0\n\n",
    "no status": b"HTTP/1.1 OK\r\nContent-Length: 0\r\n\r\n",
    "status 099": b"HTTP/1.1 099 Low\r\nContent-Length: 0\r\n\r\n",
    "status 600": b"HTTP/1.1 600 High\r\nContent-Length: 0\r\n\r\n",
    "another protocol after this": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\n",
    "101 without a word": b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
    "an interim answer with a body": b"HTTP/1.1 105 Odd\r\nContent-Length: 1\r\n\r\nx",
    "two framings": b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "two framings, the other way round": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc",
    "a list of lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 3, 3\r\n\r\nabc",
    "a signed length": b"HTTP/1.1 200 OK\r\nContent-Length: +3\r\n\r\nabc",
    "an empty length": b"HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\nabc",
    "a length beyond 64 bits": b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\nabc",
    "an unknown transfer coding": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nabc",
    "a compressed transfer coding": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "chunked twice": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a tab after the transfer coding": chunked(b"abc").replace(b": chunked", b": chunked\t"),
    "a space before the colon": b"HTTP/1.1 200 OK\r\nX-A : b\r\nContent-Length: 0\r\n\r\n",
    "a folded header": b"HTTP/1.1 200 OK\r\nX-A: b\r\n c\r\nContent-Length: 0\r\n\r\n",
    "a NUL in a header": b"HTTP/1.1 200 OK\r\nX-A: b\0c\r\nContent-Length: 0\r\n\r\n",
    "a head over the limit": b"HTTP/1.1 200 OK\r\nX-A: " + b"a" * 66_000 + b"\r\nContent-Length: 0\r\n\r\n",
    "a head without an end": b"HTTP/1.1 200 OK\r\n" + b"X-A: aaaaaaaaaaaaaaaaaaaaaaa\r\n" * 2_300,
    "interim answers without an end": b"HTTP/1.1 100 Continue\r\n\r\n" * 2_700,
}
"""Heads that make the whole answer unusable."""

BROKEN_BODIES = {
    "a chunk size that is no number": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\nabc\r\n0\r\n\r\n",
    "a chunk longer than it says": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n",
    "a chunk size beyond 64 bits": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\nabc\r\n0\r\n\r\n",
    "a chunk extension without an end": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;" + b"a" * 200_000,
    "a trailer without an end": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-T: " + b"a" * 200_000,
    "a framing in a trailer": chunked(b"abc", trailer="Content-Length: 3\r\n"),
    "an unknown content encoding": by_length(b"abc", "Content-Encoding: br"),
    "two content encodings": by_length(gzip.compress(gzip.compress(b"abc")), "Content-Encoding: gzip, gzip"),
    "not gzip": by_length(b"abcdefghijklmn", "Content-Encoding: gzip"),
    "half of gzip": by_length(gzip.compress(b"abc" * 100)[:-4], "Content-Encoding: gzip"),
    "something after deflate": by_length(zlib.compress(b"abc") + b"abc", "Content-Encoding: deflate"),
}
"""Answers whose head is sound and whose body is not."""
