from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain import Failure, Usage
from app.errors import GatewayError, UpstreamError
from app.gateway.streaming import StreamWatch, chars_beside, error_event, read_usage
from app.gateway.transcript import Transcript
from app.policy.taint import passage

if TYPE_CHECKING:
    from collections.abc import Mapping

HEAD = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m"}


def event(**fields: Any) -> bytes:
    return b"data: " + json.dumps(HEAD | fields, ensure_ascii=False).encode() + b"\n\n"


def delta(finish: str | None = None, *, index: int = 0, **fields: Any) -> bytes:
    return event(choices=[{"index": index, "delta": fields, "finish_reason": finish}])


USAGE = event(choices=[], usage={"prompt_tokens": 3, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 1}})
WORDS = [delta(role="assistant", content=""), delta(content="Grüße\u2028 "), delta(content="world"), delta("stop")]
DONE = b"data: [DONE]\n\n"


def run(*parts: bytes, include_usage: bool = False) -> bytes:
    watch = StreamWatch(include_usage=include_usage)
    passed = b"".join(watch.feed(part) for part in parts)
    last = watch.finish()
    return passed + (watch.usage_chunk(watch.usage) if watch.usage is not None else b"") + last


@given(st.lists(st.integers(1, 40), min_size=1))
def test_a_stream_cut_anywhere_passes_whole(sizes: list[int]) -> None:
    whole = b"".join([*WORDS, USAGE, DONE])
    parts: list[bytes] = []
    at = 0
    while at < len(whole):
        size = sizes[len(parts) % len(sizes)]
        parts.append(whole[at : at + size])
        at += size

    assert run(*parts, include_usage=True) == whole


@pytest.mark.parametrize("newline", [b"\r\n", b"\r"])
@pytest.mark.parametrize("size", [1, 2, 3, 1000])
def test_every_line_end_of_the_format_is_read(newline: bytes, size: int) -> None:
    whole = b"".join([*WORDS, DONE])
    sent = whole.replace(b"\n", newline)

    assert run(*(sent[at : at + size] for at in range(0, len(sent), size))) == whole


@pytest.mark.parametrize("size", [1, 2, 1000])
def test_a_line_feed_behind_a_crlf_is_a_line_of_its_own(size: int) -> None:
    whole = b"".join([*WORDS, DONE])
    sent = whole.replace(b"\n\n", b"\r\n\n")

    assert run(*(sent[at : at + size] for at in range(0, len(sent), size))) == whole


@pytest.mark.parametrize("size", [1, 2, 1000])
def test_a_byte_order_mark_at_the_beginning_is_no_part_of_the_first_event(size: int) -> None:
    whole = b"".join([*WORDS[1:], DONE])
    sent = b"\xef\xbb\xbf" + whole

    assert run(*(sent[at : at + size] for at in range(0, len(sent), size))) == whole


def test_no_byte_short_of_the_end_is_a_clean_end() -> None:
    whole = b"".join(WORDS)
    for end in range(len(whole) - len(WORDS[-1])):
        watch = StreamWatch(include_usage=False)
        watch.feed(whole[:end])
        with pytest.raises(UpstreamError) as caught:
            watch.finish()
        assert caught.value.failure is Failure.BROKEN


def test_done_is_added_where_every_choice_has_finished() -> None:
    assert run(*WORDS).endswith(WORDS[-1] + DONE)


def test_the_last_event_may_lack_its_blank_line() -> None:
    assert run(*WORDS[:-1], WORDS[-1].rstrip()) == b"".join(WORDS) + DONE


def test_done_without_a_finish_reason_is_a_cut() -> None:
    with pytest.raises(UpstreamError):
        run(*WORDS[:-1], DONE)


def test_one_unfinished_choice_of_two_is_a_cut() -> None:
    with pytest.raises(UpstreamError):
        run(delta(content="a"), delta(index=1, content="b"), delta("stop"), DONE)


def test_what_comes_after_done_is_dropped() -> None:
    assert run(*WORDS, DONE, delta(content="more")) == b"".join([*WORDS, DONE])


def test_the_usage_chunk_is_kept_from_a_caller_who_did_not_ask() -> None:
    watch = StreamWatch(include_usage=False)

    passed = b"".join(watch.feed(part) for part in [*WORDS, USAGE, DONE])

    assert passed == b"".join(WORDS)
    assert watch.usage == Usage(3, 2, cached_tokens=1)
    assert watch.usage_chunk(Usage(3, 2)) == b""


def test_a_missing_usage_chunk_is_made_once_from_what_is_known() -> None:
    watch = StreamWatch(include_usage=True)
    for part in WORDS:
        watch.feed(part)

    made = json.loads(watch.usage_chunk(Usage(5, 1, estimated=True)).removeprefix(b"data: "))

    assert made["id"] == "chatcmpl-1"
    assert made["choices"] == []
    assert made["usage"] == {"prompt_tokens": 5, "completion_tokens": 1, "total_tokens": 6, "estimated": True}


def test_usage_is_told_once_at_the_end_however_often_it_comes() -> None:
    watch = StreamWatch(include_usage=True)

    passed = watch.feed(USAGE + USAGE)

    assert passed == b""
    assert watch.usage_chunk(Usage(1, 1)) == USAGE


def spoken(**more: object) -> bytes:
    choice = {"index": 0, "delta": {"content": "a"}, "finish_reason": "stop"} | more.pop("choice", {})  # type: ignore[operator]
    return b"data: " + json.dumps({"id": "c", "model": "m", "choices": [choice]} | more).encode() + b"\n\n"


@pytest.mark.parametrize(
    "chunk",
    [
        spoken(usage={"prompt_tokens": 3, "completion_tokens": 2}),
        spoken(x_groq={"usage": {"prompt_tokens": 3, "completion_tokens": 2}}),
        spoken(choice={"usage": {"prompt_tokens": 3, "completion_tokens": 2}}),
    ],
    ids=["beside choices", "Groq", "Moonshot"],
)
def test_usage_is_found_wherever_it_stands(chunk: bytes) -> None:
    watch = StreamWatch(include_usage=True)

    passed = watch.feed(chunk)
    told = json.loads(watch.usage_chunk(Usage(1, 1)).removeprefix(b"data: "))

    assert watch.usage == Usage(3, 2)
    assert told == {"id": "c", "model": "m", "object": "chat.completion.chunk", "choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2}}
    assert json.loads(passed.removeprefix(b"data: ")).get("usage") is None
    assert json.loads(passed.removeprefix(b"data: "))["choices"][0]["delta"] == {"content": "a"}


def test_usage_that_cannot_be_one_is_not_told() -> None:
    watch = StreamWatch(include_usage=True)

    watch.feed(spoken(usage={"prompt_tokens": -1}))

    assert json.loads(watch.usage_chunk(Usage(1, 1)).removeprefix(b"data: "))["usage"]["total_tokens"] == 2


def test_a_choice_that_never_came_is_missing_unless_the_upstream_ends_itself() -> None:
    cut, ended = StreamWatch(include_usage=False), StreamWatch(include_usage=False)
    cut.feed(spoken())
    ended.feed(spoken() + DONE)

    with pytest.raises(UpstreamError):
        cut.finish(2)
    assert ended.finish(2) == DONE


@pytest.mark.parametrize("choices", [{}, {"choices": None}])
def test_usage_in_a_chunk_without_a_list_of_choices_is_told_in_one_that_has_it(choices: dict[str, Any]) -> None:
    told = run(*WORDS, event(**choices, usage={"prompt_tokens": 3, "completion_tokens": 2}), DONE, include_usage=True).split(b"\n\n")[-3]

    assert json.loads(told.removeprefix(b"data: ")) == HEAD | {"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2}}


def test_usage_in_a_last_chunk_of_groqs_without_choices_is_told() -> None:
    usage = {"prompt_tokens": 3, "completion_tokens": 2}

    assert json.loads(run(*WORDS, event(choices=[], x_groq={"usage": usage}), DONE, include_usage=True).split(b"\n\n")[-3][6:])["usage"] == usage


def test_a_word_that_the_provider_stopped_early_is_no_end() -> None:
    watch = StreamWatch(include_usage=False)
    watch.feed(WORDS[1])

    with pytest.raises(UpstreamError):
        watch.feed(event(choices=[{"index": 0, "delta": {}, "finish_reason": "stop"}], x_groq={"error": "over capacity"}))


def test_usage_beside_choices_is_read() -> None:
    watch = StreamWatch(include_usage=True)
    watch.feed(event(choices=[{"index": 0, "delta": {"content": "a"}}], usage={"prompt_tokens": 7}))

    assert watch.usage == Usage(7, 0)


@pytest.mark.parametrize(
    ("fields", "started"),
    [
        ({"role": "assistant"}, False),
        ({"role": "assistant", "content": ""}, False),
        ({"content": None}, False),
        ({"content": "a"}, True),
        ({"reasoning_content": "hm"}, True),
        ({"tool_calls": [{"index": 0}]}, True),
        ({"refusal": "no"}, True),
    ],
)
def test_the_first_token_is_the_first_delta_that_says_something(fields: dict[str, Any], *, started: bool) -> None:
    watch = StreamWatch(include_usage=False)
    watch.feed(delta(**fields))

    assert watch.started is started


def test_a_finish_reason_starts_an_empty_answer() -> None:
    watch = StreamWatch(include_usage=False)
    watch.feed(delta("stop"))

    assert watch.started


def test_comments_pass_after_the_first_token_only() -> None:
    assert run(b": wait\n\n", *WORDS, b": still here\n\n", DONE) == b"".join([*WORDS, b": still here\n\n", DONE])


def test_data_over_several_lines_without_a_space_is_one_event() -> None:
    raw = b'event: message\ndata:{"choices": [{"index": 0,\ndata:"delta": {"content": "a"}, "finish_reason": "stop"}]}\n\n'

    assert run(raw) == raw + DONE


def test_chunks_without_choices_wait_for_the_first_token() -> None:
    filters = event(choices=[], prompt_filter_results=[])

    assert run(filters, *WORDS, filters) == b"".join([*WORDS, filters, DONE])


@pytest.mark.parametrize(
    "raw",
    [
        b"data: {\n\n",
        b"data: 1\n\n",
        b'data: {"choices": 1}\n\n',
        b'data: {"choices": [1]}\n\n',
        b'data: {"choices": [{"index": [1]}]}\n\n',
        b"data: nonsense\n\n",
    ],
)
def test_what_is_not_the_format_is_broken(raw: bytes) -> None:
    with pytest.raises(UpstreamError) as caught:
        StreamWatch(include_usage=False).feed(raw)

    assert caught.value.failure is Failure.BROKEN


def test_an_error_inside_the_stream_is_what_its_provider_means_by_it() -> None:
    meant: list[Any] = []

    def classify(error: Mapping[str, Any]) -> UpstreamError:
        meant.append(error)
        return UpstreamError(Failure.RATE_LIMITED)

    with pytest.raises(UpstreamError) as caught:
        StreamWatch(include_usage=False, classify=classify).feed(b'data: {"error": {"code": 429}}\n\n')

    assert caught.value.failure is Failure.RATE_LIMITED
    assert meant == [{"code": 429}]


@pytest.mark.parametrize("error", [{"message": "secret text"}, "secret text"])
def test_an_error_that_nobody_can_classify_is_broken_and_not_repeated(error: Any) -> None:
    with pytest.raises(UpstreamError) as caught:
        StreamWatch(include_usage=False).feed(b"data: " + json.dumps({"error": error}).encode() + b"\n\n")

    assert caught.value.failure is Failure.BROKEN
    assert "secret" not in str(caught.value)


def test_a_large_event_in_small_pieces_costs_each_byte_once() -> None:
    watch = StreamWatch(include_usage=False)
    event = delta("stop", content="x" * 4_000_000)

    passed = [watch.feed(event[at : at + 512]) for at in range(0, len(event), 512)]

    assert b"".join(passed) == event
    assert passed.count(b"") == len(passed) - 1


def test_tokens_that_come_with_an_error_still_go_on() -> None:
    watch = StreamWatch(include_usage=False)

    passed = watch.feed(b"".join([*WORDS[:2], b"data: {\n\n"]))

    assert passed == b"".join(WORDS[:2])
    assert watch.broken is not None
    assert watch.broken.__traceback__ is None  # its frames hold the watch


def test_an_event_without_end_is_bounded() -> None:
    watch = StreamWatch(include_usage=False)
    for _ in range(16):
        watch.feed(b"x" * 2**20)

    with pytest.raises(UpstreamError):
        watch.feed(b"x")


@pytest.mark.parametrize("usage", [None, [], {}, {"prompt_tokens": "3"}, {"prompt_tokens": True}, {"prompt_tokens": -5}, {"prompt_tokens": 10**400}])
def test_what_is_no_usage_is_none(usage: Any) -> None:
    assert read_usage(usage) is None


def test_odd_details_of_usage_count_as_nothing() -> None:
    assert read_usage({"prompt_tokens": 1, "completion_tokens": None, "prompt_tokens_details": {"cached_tokens": "x"}}) == Usage(1, 0)


@pytest.mark.parametrize(
    ("said", "chars"),
    [
        ({"reasoning_content": "hm", "reasoning": "hm"}, 2),
        ({"reasoning": "well", "content": "a"}, 4),
        ({"refusal": "no"}, 2),
        ({"tool_calls": [{"function": {"arguments": "{}"}}, {"function": {"name": "f"}}, {"function": None}, "x"]}, 2),
        ({"tool_calls": "x", "refusal": 1, "reasoning": ["x"]}, 0),
    ],
)
def test_what_is_said_beside_content_counts_for_the_estimate(said: dict[str, Any], chars: int) -> None:
    watch = StreamWatch(include_usage=True)

    watch.feed(delta(**said))

    assert watch.said_chars - watch.content_chars == chars == chars_beside(said)


def test_an_error_event_is_openais_body() -> None:
    assert json.loads(error_event(GatewayError("Broken off.", code="upstream_error")).removeprefix(b"data: ")) == {
        "error": {"message": "Broken off.", "type": "server_error", "param": None, "code": "upstream_error"},
    }


def test_every_piece_of_a_stream_is_heard_and_counted() -> None:
    pieces = [f"piece {number} of what is said in confidence, " for number in range(8)]
    transcript = Transcript(texts=True)
    watch = StreamWatch(include_usage=False, transcript=transcript)

    for piece in pieces:
        watch.feed(delta(content=piece))

    assert transcript.passages() == (passage("".join(pieces)),)
    assert watch.content_chars == sum(map(len, pieces))
