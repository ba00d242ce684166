from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
import tiktoken
from hypothesis import given, settings
from hypothesis import strategies as st
from tiktoken.model import MODEL_PREFIX_TO_ENCODING, MODEL_TO_ENCODING

from app.policy import vocabulary as module
from app.policy.vocabulary import Vocabularies, Vocabulary, vocabulary_of

if TYPE_CHECKING:
    from pathlib import Path

PROSE = "It was the best of times, it was the worst of times; nobody's cat minded. " * 20
CODE = "def add(left: int, right: int) -> int:\n    return left + right  # naïve\n\n" * 20
CHINESE = "请把这段话翻译成英语，并解释每个词的意思。" * 20
TEXTS = [PROSE, CODE, CHINESE, "", " ", "\n\n", "<|endoftext|>", "😀🎉", "\ud800", "1234567890", "don't DON'T"]


@pytest.fixture(scope="module")
def loaded() -> Vocabularies:
    made = Vocabularies()
    for vocabulary in Vocabulary:
        made.load(vocabulary)
    return made


@pytest.fixture(scope="module")
def published() -> dict[str, tiktoken.Encoding]:
    """tiktoken's own encodings, from the files that LiteLLM's package brings."""
    folder = module._packaged()
    with module._files_from(folder):  # type: ignore[arg-type] # LiteLLM is installed
        return {name: tiktoken.get_encoding(name) for name in Vocabulary}


@pytest.mark.parametrize("vocabulary", Vocabulary)
@pytest.mark.parametrize("text", TEXTS, ids=lambda text: repr(text[:12]))
def test_a_count_is_tiktokens_own(loaded: Vocabularies, published: dict[str, tiktoken.Encoding], vocabulary: Vocabulary, text: str) -> None:
    assert loaded.count(vocabulary, [text]) == len(published[vocabulary].encode(text, disallowed_special=()))


@settings(max_examples=50, deadline=None)
@given(st.lists(st.text(max_size=40), max_size=4))
def test_texts_are_counted_each_on_its_own(loaded: Vocabularies, texts: list[str]) -> None:
    assert loaded.count(Vocabulary.O200K, texts) == sum(loaded.count(Vocabulary.O200K, [text]) or 0 for text in texts)


def test_a_long_text_is_counted_in_pieces_and_off_by_less_than_a_thousandth(loaded: Vocabularies, published: dict[str, tiktoken.Encoding]) -> None:
    text = PROSE * 100

    assert loaded.count(Vocabulary.O200K, [text]) == pytest.approx(len(published["o200k_base"].encode(text)), rel=0.001)


@pytest.mark.parametrize("piece", ["a", " ", "!", "\n", "中", "^", "'s", " \n", "\ud800"])
def test_hostile_texts_are_counted(loaded: Vocabularies, piece: str) -> None:
    for vocabulary in Vocabulary:
        assert (loaded.count(vocabulary, [piece * 100_000]) or 0) > 0


def test_nothing_is_counted_before_it_is_loaded() -> None:
    assert Vocabularies().count(Vocabulary.O200K, ["x"]) is None
    assert not Vocabularies().is_ready(Vocabulary.O200K)


def test_loading_leaves_the_environment_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    for before in (None, "/somewhere"):
        if before is None:
            monkeypatch.delenv("TIKTOKEN_CACHE_DIR", raising=False)
        else:
            monkeypatch.setenv("TIKTOKEN_CACHE_DIR", before)
        made = Vocabularies()
        made.load(Vocabulary.CL100K)
        made.load(Vocabulary.CL100K)

        assert made.is_ready(Vocabulary.CL100K)
        assert os.environ.get("TIKTOKEN_CACHE_DIR") == before


@pytest.mark.parametrize("content", [None, b"IQ== 0\n"])
def test_a_file_that_is_missing_or_another_is_not_used(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "fb374d419588a4632f3f557e76b4b70aebbca790").write_bytes(content)
    made = Vocabularies(tmp_path)

    made.load(Vocabulary.O200K)

    assert made.is_ready(Vocabulary.O200K)
    assert made.count(Vocabulary.O200K, ["x"]) is None


def test_what_is_missing_or_another_is_known_without_loading_and_looked_for_once(tmp_path: Path) -> None:
    assert Vocabularies().lacking() == ()
    made = Vocabularies(tmp_path)

    assert made.lacking() == tuple(Vocabulary)
    tmp_path.rmdir()
    assert made.lacking() is made.lacking()


def test_without_litellm_nothing_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "find_spec", lambda _: None)
    made = Vocabularies()

    made.load(Vocabulary.O200K)

    assert made.count(Vocabulary.O200K, ["x"]) is None
    assert made.lacking() == tuple(Vocabulary)


CHAT = [name for name in MODEL_TO_ENCODING if name.startswith(("gpt-3", "gpt-4", "gpt-5", "o1", "o3", "o4"))]
PREFIXES = [name for name in MODEL_PREFIX_TO_ENCODING if "gpt" in name or name.startswith("o")]


@pytest.mark.parametrize(
    ("model", "name"),
    [*((model, MODEL_TO_ENCODING[model]) for model in CHAT), *((f"{prefix.rstrip('-')}-2026-01-01", MODEL_PREFIX_TO_ENCODING[prefix]) for prefix in PREFIXES)],
)
def test_a_models_vocabulary_is_tiktokens(model: str, name: str) -> None:
    assert vocabulary_of("openai", model) == {"o200k_harmony": "o200k_base"}.get(name, name)


@pytest.mark.parametrize(
    ("provider", "model", "vocabulary"),
    [
        ("openai", "gpt-4.1-mini", Vocabulary.O200K),
        ("openai", "ft:gpt-4o-mini:acme::1", Vocabulary.O200K),
        ("azure", "gpt-35-turbo", Vocabulary.CL100K),
        ("azure", "our-own-name", None),
        ("openrouter", "openai/gpt-4-turbo", Vocabulary.CL100K),
        ("openrouter", "openai/o3-mini", Vocabulary.O200K),
        ("openrouter", "meta-llama/llama-3", None),
        ("anthropic", "claude-sonnet-4-5", None),
        ("ollama_chat", "gpt-oss", None),
    ],
)
def test_other_models_have_none(provider: str, model: str, vocabulary: Vocabulary | None) -> None:
    assert vocabulary_of(provider, model) is vocabulary
