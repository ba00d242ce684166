from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from app.domain import Deployment, Failure, Label, LaneName
from app.errors import AttemptsFailedError, LabelNotClearedError, UnavailableError, UpstreamError
from app.services.embeddings import RemoteEmbedder, WordLlamaEmbedder

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.services.embeddings import Send


def cosine(one: list[float], other: list[float]) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True))


@pytest.fixture(scope="module")
def builtin() -> WordLlamaEmbedder:
    return WordLlamaEmbedder()


async def test_texts_of_one_meaning_are_nearer_than_texts_of_one_word(builtin: WordLlamaEmbedder) -> None:
    query, same_meaning, same_words = await builtin.embed(
        ["physician treating illness", "The doctor prescribed medicine for a sick patient.", "treating wood with oil"], Label.PUBLIC
    )

    assert cosine(query, same_meaning) > cosine(query, same_words)


async def test_every_vector_has_length_1(builtin: WordLlamaEmbedder) -> None:
    for vector in await builtin.embed(["a", "two words", "x" * 100_000, "\0", "日本語 😀", " \n\t"], Label.CONFIDENTIAL):
        assert len(vector) == 256
        assert math.hypot(*vector) == pytest.approx(1.0, abs=1e-5)


async def test_a_text_without_a_token_has_a_vector_of_zeros(builtin: WordLlamaEmbedder) -> None:
    assert await builtin.embed([""], Label.PUBLIC) == [[0.0] * 256]


async def test_a_texts_vector_does_not_depend_on_its_neighbours(builtin: WordLlamaEmbedder) -> None:
    texts = [f"{'word ' * number}end" for number in range(1, 80)]
    together = await builtin.embed(texts, Label.PUBLIC)

    assert [(await builtin.embed([text], Label.PUBLIC))[0] for text in texts[::13]] == together[::13]


async def test_it_is_cleared_for_everything_because_nothing_leaves_the_process(builtin: WordLlamaEmbedder) -> None:
    assert builtin.clearance is Label.CONFIDENTIAL


async def test_the_event_loop_runs_on_while_many_texts_are_embedded(builtin: WordLlamaEmbedder) -> None:
    work = asyncio.create_task(builtin.embed(["the quick brown fox jumps over the lazy dog " * 200] * 300, Label.PUBLIC))
    ticks = 0
    while not work.done():
        await asyncio.sleep(0.002)
        ticks += 1

    assert ticks >= 5


async def test_an_installation_without_the_wheel_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.services.embeddings.find_spec", lambda _name: None)
    with pytest.raises(UnavailableError, match="make install"):
        await WordLlamaEmbedder().embed(["a"], Label.PUBLIC)


DEPLOYMENT = Deployment(name="vectors", provider="openai", model="text-embedding-3-small", lane=LaneName.RELAY, clearance=Label.INTERNAL)


def answering(answer: Callable[[list[str]], Any], calls: list[tuple[Label, str, dict[str, Any]]] | None = None) -> Send:
    async def send(label: Label, deployment: Deployment, path: str, body: bytes) -> bytes:
        assert deployment is DEPLOYMENT
        parsed = orjson.loads(body)
        if calls is not None:
            calls.append((label, path, parsed))
        return orjson.dumps(answer(parsed["input"]))

    return send


async def test_a_deployment_is_asked_in_openais_dialect() -> None:
    calls: list[tuple[Label, str, dict[str, Any]]] = []
    send = answering(lambda texts: {"data": [{"index": 0, "embedding": [3.0, 4.0]}] * len(texts)}, calls)
    vectors = await RemoteEmbedder(DEPLOYMENT, send).embed(["a text"], Label.INTERNAL)

    assert calls == [(Label.INTERNAL, "/embeddings", {"model": "text-embedding-3-small", "input": ["a text"], "encoding_format": "float"})]
    assert vectors == [[0.6, 0.8]]


async def test_vectors_follow_the_texts_however_the_answer_is_ordered_and_however_many_calls_it_takes() -> None:
    calls: list[tuple[Label, str, dict[str, Any]]] = []
    send = answering(lambda texts: {"data": [{"index": n, "embedding": [1, int(texts[n])]} for n in reversed(range(len(texts)))]}, calls)
    vectors = await RemoteEmbedder(DEPLOYMENT, send).embed([str(n) for n in range(300)], Label.PUBLIC)

    assert [round(vector[1] / vector[0]) for vector in vectors] == list(range(300))
    assert len(calls) == 3


async def test_what_is_above_the_deployments_clearance_is_refused_before_it_is_called() -> None:
    calls: list[tuple[Label, str, dict[str, Any]]] = []
    with pytest.raises(LabelNotClearedError):
        await RemoteEmbedder(DEPLOYMENT, answering(lambda _texts: {}, calls)).embed(["a"], Label.CONFIDENTIAL)

    assert calls == []


@pytest.mark.parametrize(
    "answer",
    [
        {},
        [],
        {"data": []},
        {"data": [{"index": 0, "embedding": []}, {"index": 1, "embedding": []}]},
        {"data": [{"index": 0, "embedding": [1.0]}, {"index": 1, "embedding": [1.0, 2.0]}]},
        {"data": [{"index": 0, "embedding": [1.0]}, {"index": 0, "embedding": [1.0]}]},
        {"data": [{"index": 0, "embedding": "AACAPw=="}, {"index": 1, "embedding": "AACAPw=="}]},
        {"data": [{"index": 0, "embedding": [1e308] * 4}, {"index": 1, "embedding": [1.0] * 4}]},
        {"data": None},
    ],
)
async def test_an_answer_that_is_no_list_of_vectors_is_an_upstream_error(answer: Any) -> None:
    with pytest.raises(AttemptsFailedError) as caught:
        await RemoteEmbedder(DEPLOYMENT, answering(lambda _texts: answer)).embed(["a", "b"], Label.PUBLIC)

    assert (caught.value.status, caught.value.code) == (502, "upstream_error")


async def test_a_failure_is_told_as_one_of_a_chat_is_and_named_in_the_log(capsys: pytest.CaptureFixture[str]) -> None:
    async def send(*_: Any) -> bytes:
        raise UpstreamError(Failure.OPERATOR, remedy="Check the key.")

    with pytest.raises(AttemptsFailedError, match=r"Tried: vectors \(operator\)"):
        await RemoteEmbedder(DEPLOYMENT, send).embed(["a"], Label.PUBLIC)

    event = orjson.loads(capsys.readouterr().out)
    assert (event["event"], event["deployment"], event["remedy"]) == ("embedding_failed", "vectors", "Check the key.")


async def test_all_calls_that_some_texts_take_have_one_deadline() -> None:
    calls = 0

    async def send(*_: Any) -> bytes:
        nonlocal calls
        calls += 1
        await asyncio.sleep(0.03)
        return orjson.dumps({"data": [{"index": n, "embedding": [1.0]} for n in range(128)]})

    with pytest.raises(AttemptsFailedError) as caught:
        await RemoteEmbedder(DEPLOYMENT, send, 0.05).embed(["a"] * 1280, Label.PUBLIC)

    assert (caught.value.status, caught.value.code) == (504, "upstream_timeout")
    assert calls <= 2


async def test_two_deployments_of_one_model_make_one_vector_space() -> None:
    other = Deployment(name="elsewhere", provider="openai", model="text-embedding-3-small", lane=LaneName.RELAY, clearance=Label.PUBLIC)
    send = answering(lambda _texts: {})

    assert RemoteEmbedder(DEPLOYMENT, send).name == RemoteEmbedder(other, send).name != WordLlamaEmbedder.name
