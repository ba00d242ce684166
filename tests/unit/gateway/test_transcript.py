from __future__ import annotations

import json
from typing import Any

import pytest

from app.gateway import transcript as module
from app.gateway.transcript import Transcript, may_hold_blobs
from app.policy.taint import passage

SECRET = "The Aurora acquisition closes on the fourteenth of May."
THOUGHT = "They ask about the acquisition, so the date is wanted."
SEAL = "EqQBCgIYAhIM/c2lnbmF0dXJl+Q=="


def whole(*messages: Any) -> list[Any]:
    return [{"index": 0, "message": message} for message in messages]


def test_a_stream_cut_anywhere_says_what_the_whole_answer_says() -> None:
    arguments = json.dumps({"text": SECRET})
    message = {"role": "assistant", "content": SECRET, "reasoning_content": THOUGHT, "tool_calls": [{"function": {"name": "send", "arguments": arguments}}]}
    streamed, at_once = Transcript(texts=True), Transcript(texts=True)
    streamed.hear(0, {"role": "assistant", "content": ""})
    for text in SECRET:
        streamed.hear(0, {"content": text})
    for text in THOUGHT:
        streamed.hear(0, {"reasoning_content": text})
    for text in arguments:
        streamed.hear(0, {"tool_calls": [{"index": 0, "function": {"arguments": text}}]})

    at_once.hear_whole(whole(message))

    assert set(streamed.passages()) == set(at_once.passages())
    assert {passage(SECRET), passage(THOUGHT)} < set(at_once.passages())
    assert len(at_once.passages()) == 3


def test_choices_and_calls_are_kept_apart() -> None:
    transcript = Transcript(texts=True)
    for choice, text in ((0, SECRET[:30]), (1, THOUGHT[:30]), (0, SECRET[30:]), (1, THOUGHT[30:])):
        transcript.hear(choice, {"content": text})
        transcript.hear(choice, {"tool_calls": [{"index": 4, "function": {"arguments": text}}, {"index": 5, "function": None}, "?"]})
        transcript.hear(choice, {"function_call": {"arguments": text}})

    assert set(transcript.passages()) == {passage(SECRET), passage(THOUGHT)}


def test_what_a_custom_tool_is_given_is_said() -> None:
    streamed, at_once = Transcript(texts=True), Transcript(texts=True)
    for text in SECRET:
        streamed.hear(0, {"tool_calls": [{"index": 0, "custom": {"input": text}}]})

    at_once.hear_whole(whole({"tool_calls": [{"type": "custom", "custom": {"name": "run", "input": SECRET}}]}))

    assert streamed.passages() == at_once.passages() == (passage(SECRET),)


def test_without_texts_only_blobs_are_kept() -> None:
    transcript = Transcript(texts=False)
    transcript.hear_whole(whole({"content": SECRET, "thinking_blocks": [{"type": "thinking", "thinking": THOUGHT, "signature": SEAL}]}))
    transcript.hear(0, {"content": SECRET})

    assert transcript.passages() == ()
    assert transcript.blobs() == (SEAL,)


def test_a_blob_that_a_stream_cut_is_known_whole() -> None:
    transcript = Transcript(texts=False)
    for part in (SEAL[:9], SEAL[9:20], SEAL[20:]):
        transcript.hear(0, {"thinking_blocks": [{"type": "thinking", "signature": part}]})

    assert SEAL in transcript.blobs()


def test_a_content_of_parts_is_one_text() -> None:
    transcript = Transcript(texts=True)
    transcript.hear_whole(whole({"content": [{"type": "text", "text": SECRET[:20]}, {"type": "text", "text": SECRET[20:]}, {"type": "thinking"}]}))

    assert transcript.passages() == (passage(SECRET),)


@pytest.mark.parametrize("choices", [[], [1], [None], ["text"], [{}], [{"message": None}], [{"message": [SEAL]}]])
def test_what_is_no_message_says_nothing(choices: list[Any]) -> None:
    transcript = Transcript(texts=True)
    transcript.hear_whole(choices)

    assert not may_hold_blobs(choices)
    assert (transcript.passages(), transcript.blobs()) == ((), ())


@pytest.mark.parametrize("empty", [None, [], {}, ""])
def test_a_text_with_empty_fields_beside_it_holds_no_blob(empty: Any) -> None:
    assert not may_hold_blobs(whole({"role": "assistant", "content": SEAL, "refusal": None, "annotations": empty, "signature": empty}))


@pytest.mark.parametrize("field", ["signature", "tool_calls", "reasoning_details", "extra_content", "thinking_blocks"])
def test_an_answer_of_several_messages_holds_a_blob_where_one_may(field: str) -> None:
    assert may_hold_blobs(whole({"content": SECRET}, {"content": SECRET, field: [SEAL]}))


def test_an_endless_answer_is_kept_within_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MAX_CHARS", 100)
    transcript = Transcript(texts=True)
    for _ in range(1000):
        transcript.hear(0, {"content": SECRET[:50], "encrypted_content": SEAL})

    assert sum(map(len, transcript.passages())) <= 100
