"""How many tokens a prompt has: an estimate from its characters that leans upwards."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.policy.collect import Collected

CHARS_PER_TOKEN = 3.6  # English prose has 4.5 and code 3.3 with o200k_base; a round figure between them, nearer to code
TOKENS_PER_OTHER_CHAR = 1.1  # of Chinese, Japanese and Korean 0.7 to 1.3, of Cyrillic 0.5
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
    plain = other = 0
    for text in texts:
        size = len(text)
        if text.isascii():
            plain += size
        else:
            foreign = len(text.encode("utf-8", "surrogatepass")) - size  # at least one for each character beyond ASCII
            other += min(foreign, size)
            plain += size - min(foreign, size)
    return round(plain / CHARS_PER_TOKEN + other * TOKENS_PER_OTHER_CHAR)
