"""Undoes a content encoding that an upstream used although it was asked for none (gzip, RFC 1952; deflate, RFC 9110 8.4.1.2), within a bound."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Final

from app.domain import Failure
from app.errors import UpstreamError

if TYPE_CHECKING:
    from collections.abc import Iterator

_PIECE_BYTES: Final = 64 * 1024  # what one step may produce, so that a bomb of 1 : 1,000 costs no more memory than that at a time
_SLICE_BYTES: Final = 64 * 1024  # what one step is given: zlib copies what it leaves, once for each step
_MAX_MEMBERS: Final = 16  # of a gzip body; servers send one, and each costs a copy of what follows it in its slice
_GZIP_WBITS: Final = 16 + zlib.MAX_WBITS
_ZLIB_METHOD: Final = 8  # low nibble of a zlib stream's first byte; what is called deflate comes with and without that wrapper


class Decoder:
    """Decompresses one body, piece by piece. Raises UpstreamError (BROKEN) for bytes that are not in the encoding, and for more than `max_bytes` of them."""

    def __init__(self, encoding: str, max_bytes: int) -> None:
        if encoding not in ("gzip", "x-gzip", "deflate"):
            raise UpstreamError(Failure.BROKEN)
        self._deflate = encoding == "deflate"
        self._room = max_bytes
        self._stream: zlib._Decompress | None = None  # None before the first byte and between two members of a gzip body
        self._members = 0

    def decode(self, data: bytes) -> Iterator[bytes]:
        """Yield what `data` adds to the body, in bounded pieces, none empty."""
        for start in range(0, len(data), _SLICE_BYTES):
            yield from self._decode(data[start : start + _SLICE_BYTES])

    def finish(self) -> None:
        """Say that no more comes; in the middle of a stream that is a fault too."""
        if self._stream is not None:
            raise UpstreamError(Failure.BROKEN)

    def _decode(self, data: bytes) -> Iterator[bytes]:
        while data:
            stream = self._stream = self._stream or self._start(data[0])
            try:
                piece = stream.decompress(data, _PIECE_BYTES)
            except zlib.error:
                raise UpstreamError(Failure.BROKEN) from None
            self._room -= len(piece)
            if self._room < 0:
                raise UpstreamError(Failure.BROKEN)
            if piece:
                yield piece
            data = stream.unconsumed_tail
            if stream.eof:
                data = stream.unused_data
                self._stream = None

    def _start(self, first: int) -> zlib._Decompress:
        self._members += 1
        if self._members > (1 if self._deflate else _MAX_MEMBERS):
            raise UpstreamError(Failure.BROKEN)
        if not self._deflate:
            return zlib.decompressobj(_GZIP_WBITS)
        return zlib.decompressobj(zlib.MAX_WBITS if first & 0x0F == _ZLIB_METHOD else -zlib.MAX_WBITS)


def decoder_for(content_encoding: str | None, max_bytes: int) -> Decoder | None:
    """Return what undoes `content_encoding`, None where there is nothing to undo. Raises UpstreamError (BROKEN) for an unknown or a doubled one."""
    encoding = (content_encoding or "").strip().lower()
    return None if encoding in ("", "identity") else Decoder(encoding, max_bytes)


def decode_whole(decoder: Decoder, body: bytes) -> bytes:
    """Return a whole body decompressed."""
    plain = b"".join(decoder.decode(body))
    decoder.finish()
    return plain
