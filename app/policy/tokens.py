"""How many tokens a prompt has: an estimate from its characters that leans upwards."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.policy.collect import Collected

CHARS_PER_TOKEN = 3.2  # with o200k_base, English prose has 4.5, code 3.3 to 4.1
FIGURES_PER_TOKEN = 1.6  # of digits and what parts them: a table of short numbers has 1.6, a number of many digits 3
TOKENS_PER_EXTRA_BYTE = 0.55  # of UTF-8, beyond one a character: Cyrillic has 0.3 tokens a character and one such byte, Chinese 0.8 and two
TOKENS_PER_MESSAGE = 3  # OpenAI's chat format, and as many once for the answer's start
TOKENS_PER_MEDIUM = 1_105  # a 1024 x 1024 image in high detail: 765 by OpenAI's tiles, 1,105 with the largest aspect ratio
_MOST_PER_MESSAGE = 16  # what a chat format puts around a message: OpenAI's 4, Llama's 5, and the names of roles
_MOST_PER_SCALAR = 8  # what a chat format puts around a piece: a tool call, a parameter of a tool
_NO_FIGURES = bytes(set(range(256)) - set(b"0123456789.,\n"))
_CHARS_PER_SCHEMA_TOKEN = 3.0  # JSON has more punctuation


def estimate_tokens(collected: Collected) -> int:
    """Return the estimated tokens of a request's prompt: messages, tools and media."""
    media = sum(part.kind != "part" for part in collected.opaque)
    return (
        _texts(collected.spoken)
        + round(collected.schema_chars / _CHARS_PER_SCHEMA_TOKEN)
        + TOKENS_PER_MESSAGE * (collected.messages + 1)
        + TOKENS_PER_MEDIUM * media
    )


def most_tokens(collected: Collected, size_bytes: int) -> int:
    """Return a bound for the tokens of a prompt whose scalars have `size_bytes` in UTF-8: a byte-level tokenizer spends at least a byte on each token."""
    media = sum(part.kind != "part" for part in collected.opaque) if collected.opaque else 0
    return (
        size_bytes
        + collected.schema_chars
        + _MOST_PER_SCALAR * len(collected.scalars)
        + _MOST_PER_MESSAGE * (collected.messages + 1)
        + TOKENS_PER_MEDIUM * media
    )


def _texts(texts: Sequence[str]) -> int:
    plain = figures = extra = 0
    for text in texts:
        raw = text.encode("utf-8", "surrogatepass")
        beyond, dense = len(raw) - len(text), len(raw.translate(None, _NO_FIGURES))
        plain += max(0, len(text) - beyond - dense)
        figures += dense
        extra += beyond
    return round(plain / CHARS_PER_TOKEN + figures / FIGURES_PER_TOKEN + extra * TOKENS_PER_EXTRA_BYTE)
