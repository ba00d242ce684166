"""Bodies that come compressed although nobody asked: at every cut, damaged, and meant to burst."""

from __future__ import annotations

import gzip
import os
import time
import zlib
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain import Failure
from app.errors import UpstreamError
from app.providers.wire_encoding import Decoder, decoder_for

PLAIN = b"The quick brown fox jumps over the lazy dog. " * 3


def raw_deflate(data: bytes) -> bytes:
    stream = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return stream.compress(data) + stream.flush()


ENCODED = {
    "gzip": gzip.compress(PLAIN, mtime=0),
    "x-gzip": gzip.compress(PLAIN[:50], mtime=0) + gzip.compress(PLAIN[50:], mtime=0),
    "deflate": zlib.compress(PLAIN),
    "Deflate ": raw_deflate(PLAIN),
}


def decode(encoding: str, *pieces: bytes, max_bytes: int = 10_000_000) -> bytes:
    decoder = decoder_for(encoding, max_bytes)
    assert decoder is not None
    plain = b"".join(part for piece in pieces for part in decoder.decode(piece))
    decoder.finish()
    return plain


@pytest.mark.parametrize("encoding", ENCODED)
def test_a_body_is_the_same_wherever_it_is_cut(encoding: str) -> None:
    data = ENCODED[encoding]

    assert all(decode(encoding, data[:cut], data[cut:]) == PLAIN for cut in range(len(data) + 1))
    assert decode(encoding, *(data[i : i + 1] for i in range(len(data)))) == PLAIN


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "Deflate "])
def test_a_body_that_stops_in_the_middle_is_broken(encoding: str) -> None:
    data = ENCODED[encoding]

    for cut in range(1, len(data)):
        with pytest.raises(UpstreamError) as caught:
            decode(encoding, data[:cut])
        assert caught.value.failure is Failure.BROKEN


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_an_empty_body_is_whole(encoding: str) -> None:
    assert decode(encoding) == b""


@pytest.mark.parametrize("encoding", ENCODED)
def test_bytes_after_the_end_are_broken(encoding: str) -> None:
    with pytest.raises(UpstreamError):
        decode(encoding, ENCODED[encoding], b"rest")


@pytest.mark.parametrize("encoding", ["br", "zstd", "gzip, gzip", "identity, gzip", "compress", "*"])
def test_an_encoding_that_nobody_asked_for_and_we_do_not_know_is_broken(encoding: str) -> None:
    with pytest.raises(UpstreamError) as caught:
        decoder_for(encoding, 100)

    assert caught.value.failure is Failure.BROKEN


@pytest.mark.parametrize("encoding", [None, "", " ", "identity", "Identity "])
def test_without_an_encoding_there_is_nothing_to_undo(encoding: str | None) -> None:
    assert decoder_for(encoding, 100) is None


def test_the_bound_is_on_what_comes_out() -> None:
    data = gzip.compress(b"a" * 1000)

    assert decode("gzip", data, max_bytes=1000) == b"a" * 1000
    with pytest.raises(UpstreamError):
        decode("gzip", data, max_bytes=999)


def test_a_bomb_comes_in_bounded_pieces_and_stops_at_the_bound() -> None:
    decoder = Decoder("gzip", 1_000_000)
    sizes: list[int] = []

    with pytest.raises(UpstreamError):
        sizes.extend(len(piece) for piece in decoder.decode(gzip.compress(b"\0" * 50_000_000)))

    assert max(sizes) <= 65_536
    assert 900_000 < sum(sizes) <= 1_000_000


@given(st.sampled_from(["gzip", "deflate"]), st.lists(st.binary(max_size=40), max_size=4))
def test_any_bytes_decode_or_are_broken(encoding: str, pieces: list[bytes]) -> None:
    with suppress(UpstreamError):
        decode(encoding, *pieces)


def test_many_empty_members_are_refused_and_take_no_time() -> None:
    member = gzip.compress(b"", mtime=0)
    decoder = Decoder("gzip", 1_000_000)
    started = time.process_time()

    with pytest.raises(UpstreamError):
        list(decoder.decode(member * 250_000))

    assert time.process_time() - started < 0.5  # copying what follows each of them took 14 s


def test_sixteen_members_are_one_body_and_seventeen_are_none() -> None:
    member = gzip.compress(b"ab", mtime=0)

    assert decode("gzip", member * 16) == b"ab" * 16
    assert decode("gzip", *[member] * 16) == b"ab" * 16
    with pytest.raises(UpstreamError):
        decode("gzip", *[member] * 17)


def test_a_large_body_is_the_same_in_one_piece() -> None:
    plain = os.urandom(300_000)

    assert decode("gzip", gzip.compress(plain[:150_000], mtime=0) + gzip.compress(plain[150_000:], mtime=0)) == plain
    assert decode("deflate", zlib.compress(plain)) == plain
