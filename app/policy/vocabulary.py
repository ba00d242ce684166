"""OpenAI's vocabularies, by which its models count tokens. They come with LiteLLM's package, so that nothing is ever downloaded.

One takes a third of a second to load and 50 MB of memory, so it is loaded when a request first needs an exact count, off the event loop.
"""

from __future__ import annotations

import hashlib
import os
import re
import threading
from contextlib import contextmanager
from enum import StrEnum
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


# More at once can take memory and time that do not grow with the text alone; a cut costs at most a token.
_PIECE_CHARS = 32_768
_OPENAI = frozenset({"openai", "azure", "azure_ai", "github", "openrouter", "text-completion-openai"})
# GPT-4 and GPT-3.5, dated, fine-tuned or under Azure's name, but not 4o, 4.1 and 4.5.
_OLDER = re.compile(r"(?:.*/|ft:)*gpt-(?:4(?![o.\d])|3\.5|35)")
_NEWER = re.compile(r"(?:.*/|ft:)*(?:gpt-|chatgpt-|o\d)")


class Vocabulary(StrEnum):
    """A published vocabulary of tiktoken."""

    O200K = "o200k_base"  # GPT-4o, 4.1, 4.5, 5, gpt-oss and the o series
    CL100K = "cl100k_base"  # GPT-4 and GPT-3.5


# tiktoken keeps a file under the SHA-1 of where it is published, and holds it to a SHA-256.
_FILES = {
    Vocabulary.O200K: ("fb374d419588a4632f3f557e76b4b70aebbca790", "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d"),
    Vocabulary.CL100K: ("9b5ad71b2ce5302211f9c61530b329a4922fc6a4", "223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7"),
}


def vocabulary_of(provider: str, model: str) -> Vocabulary | None:
    """Return the vocabulary that a provider's model counts by; None where it is not known, as under a name that an operator gave it at Azure."""
    if provider not in _OPENAI:
        return None
    model = model.lower()
    if _OLDER.match(model):
        return Vocabulary.CL100K
    return Vocabulary.O200K if _NEWER.match(model) else None


class Vocabularies:
    """Counts tokens by the vocabularies that are loaded. Safe to be used from several threads."""

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._loaded: dict[Vocabulary, Any] = {}
        self._lacking: tuple[Vocabulary, ...] | None = None

    def lacking(self) -> tuple[Vocabulary, ...]:
        """Return those whose file is not here, or is not the published one: tokens are estimated in their place. Reads 5 MB the first time."""
        if self._lacking is None:
            folder = self._folder or _packaged()
            self._lacking = tuple(each for each in Vocabulary if not _is_published(each, folder))
        return self._lacking

    def is_ready(self, vocabulary: Vocabulary) -> bool:
        """Say whether `count` needs nothing more; also so where the vocabulary cannot be had."""
        return vocabulary in self._loaded

    def load(self, vocabulary: Vocabulary) -> None:
        """Make a vocabulary ready: takes a third of a second the first time."""
        with self._lock:
            if vocabulary not in self._loaded:
                self._loaded[vocabulary] = _load(vocabulary, self._folder or _packaged())

    def count(self, vocabulary: Vocabulary, texts: Iterable[str]) -> int | None:
        """Return the tokens of some texts, each on its own; None where the vocabulary is not loaded."""
        encoding = self._loaded.get(vocabulary)
        if encoding is None:
            return None
        encode = encoding.encode_ordinary
        return sum(len(encode(piece)) for text in texts for piece in _pieces(text))


def _pieces(text: str) -> Iterable[str]:
    if len(text) <= _PIECE_CHARS:
        return (text,)
    return (text[start : start + _PIECE_CHARS] for start in range(0, len(text), _PIECE_CHARS))


def _packaged() -> Path | None:
    """Return the folder of LiteLLM's package that holds the vocabularies, without importing it."""
    spec = find_spec("litellm")
    return None if spec is None or spec.origin is None else Path(spec.origin).parent / "litellm_core_utils" / "tokenizers"


def _is_published(vocabulary: Vocabulary, folder: Path | None) -> bool:
    name, digest = _FILES[vocabulary]
    try:
        return folder is not None and hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest
    except OSError:
        return False


def _load(vocabulary: Vocabulary, folder: Path | None) -> Any:
    """Return tiktoken's encoding, or None where its file is missing or not the published one: tiktoken would download it."""
    if folder is None or not _is_published(vocabulary, folder):
        return None
    import tiktoken  # noqa: PLC0415 -- 7 MB that few requests need
    from tiktoken_ext.openai_public import ENCODING_CONSTRUCTORS  # type: ignore[import-untyped]  # noqa: PLC0415 -- it has no types; as above

    with _files_from(folder):
        parts = ENCODING_CONSTRUCTORS[vocabulary]()
    encoding = tiktoken.Encoding(**parts)
    parts["mergeable_ranks"].clear()  # the encoding has its own: 25 MB
    return encoding


@contextmanager
def _files_from(folder: Path) -> Iterator[None]:
    """Let tiktoken look for its files in a folder."""
    before = os.environ.get("TIKTOKEN_CACHE_DIR")
    os.environ["TIKTOKEN_CACHE_DIR"] = str(folder)
    try:
        yield
    finally:
        if before is None:
            del os.environ["TIKTOKEN_CACHE_DIR"]
        else:
            os.environ["TIKTOKEN_CACHE_DIR"] = before
