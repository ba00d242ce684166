"""How many tokens a prompt has: an estimate from its characters that leans upwards."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.policy.collect import Collected

CHARS_PER_TOKEN = 3.2  # with o200k_base, English prose has 4.5, code 3.3 to 4.1, tables of figures 2.5
TOKENS_PER_EXTRA_BYTE = 0.55  # of UTF-8, beyond one a character: Cyrillic has 0.3 tokens a character and one such byte, Chinese 0.8 and two
TOKENS_PER_MESSAGE = 3  # OpenAI's chat format, and as many once for the answer's start
TOKENS_PER_MEDIUM = 1_105  # a 1024 x 1024 image in high detail: 765 by OpenAI's tiles, 1,105 with the largest aspect ratio
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


def _texts(texts: Sequence[str]) -> int:
    plain = extra = 0
    for text in texts:
        size = len(text)
        beyond = 0 if text.isascii() else len(text.encode("utf-8", "surrogatepass")) - size
        plain += max(0, size - beyond)
        extra += beyond
    return round(plain / CHARS_PER_TOKEN + extra * TOKENS_PER_EXTRA_BYTE)
