"""Frames of `application/vnd.amazon.eventstream`: https://docs.aws.amazon.com/AmazonS3/latest/API/RESTSelectObjectAppendix.html describes them byte by byte."""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_STRING = 7


def frame(headers: Mapping[str, str], payload: bytes) -> bytes:
    """Return one message: lengths, their CRC, headers, payload, and the CRC of it all."""
    named = b"".join(_header(name.encode(), value.encode()) for name, value in headers.items())
    prelude = struct.pack(">II", 16 + len(named) + len(payload), len(named))
    begun = prelude + struct.pack(">I", zlib.crc32(prelude)) + named + payload
    return begun + struct.pack(">I", zlib.crc32(begun))


def _header(name: bytes, value: bytes) -> bytes:
    return bytes([len(name)]) + name + bytes([_STRING]) + struct.pack(">H", len(value)) + value
