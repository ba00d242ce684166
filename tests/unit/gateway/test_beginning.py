from __future__ import annotations

import json

import pytest

from app.domain import Failure, Usage
from app.errors import UpstreamError
from app.gateway.beginning import Served, begin_stream, take_whole
from app.gateway.vitals import Vitals
from tests.unit.gateway.test_attempts import ROLE, TOKEN, FakeAnswer, deployment, streamed, whole

REFUSED = json.dumps({"choices": [{"index": 0, "finish_reason": "content_filter"}], "usage": {"prompt_tokens": 3, "completion_tokens": 0}}).encode()
REFUSED_STREAM = b'data: {"choices": [{"index": 0, "delta": {}, "finish_reason": "content_filter"}]}\n\n'


async def begin(answer: FakeAnswer, *, stream: bool, moves_on: bool) -> Served:
    if stream:
        return await begin_stream(deployment("a"), answer, include_usage=False, moves_on=moves_on)
    return take_whole(deployment("a"), answer, await answer.body(), moves_on=moves_on)


async def test_an_answer_begins_with_all_of_it_or_with_its_first_token() -> None:
    one = await begin(whole(), stream=False, moves_on=True)
    many = await begin(streamed(ROLE, TOKEN, TOKEN), stream=True, moves_on=True)

    assert one.usage == Usage(1, 2)
    assert many.head == ROLE + TOKEN


@pytest.mark.parametrize(("answer", "stream"), [(whole(REFUSED), False), (streamed(ROLE, REFUSED_STREAM), True)])
async def test_a_refusal_of_the_providers_filter_is_an_answer_unless_the_walk_moves_on(answer: FakeAnswer, *, stream: bool) -> None:
    assert await begin(answer, stream=stream, moves_on=False)

    with pytest.raises(UpstreamError) as caught:
        await begin(answer, stream=stream, moves_on=True)

    assert caught.value.failure is Failure.CONTENT_REFUSED


@pytest.mark.parametrize("choices", [[{"finish_reason": "error"}], [{"finish_reason": "stop"}, {"index": 1, "finish_reason": "error"}]])
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
async def test_an_answer_that_its_provider_ends_with_an_error_is_broken(choices: list[object], *, stream: bool) -> None:
    said = json.dumps({"choices": choices}).encode()

    with pytest.raises(UpstreamError) as caught:
        await begin(streamed(ROLE, b"data: " + said + b"\n\n") if stream else whole(said), stream=stream, moves_on=False)

    assert caught.value.failure is Failure.BROKEN


async def test_a_stream_that_says_nothing_within_bounds_is_broken() -> None:
    comment = b": " + b"x" * 700_000 + b"\n\n"
    role = b'data: {"choices": [{"index": 0, "delta": {"role": "' + b"r" * 1_100_000 + b'"}}]}\n\n'

    with pytest.raises(UpstreamError) as caught:
        await begin(streamed(comment, role, TOKEN), stream=True, moves_on=False)

    assert caught.value.failure is Failure.BROKEN


async def test_an_answer_that_is_given_up_is_closed_and_its_call_ended() -> None:
    answer = whole()
    vitals = Vitals()
    served = await begin(answer, stream=False, moves_on=False)
    served.lease = vitals.of(deployment("a")).take(0)

    served.give_up()

    assert answer.closed
    assert vitals.in_flight == {"a": 0}


@pytest.mark.parametrize(
    ("choices", "chars"),
    [
        ([{"message": {"content": "four"}}, {"message": {"content": "five!"}}], 9),
        ([{"message": {"content": None, "tool_calls": [{"function": {"arguments": "{}"}}]}}, {"message": "no message"}, {}, "no choice"], 2),
    ],
)
def test_what_a_whole_answer_says_is_counted_in_characters(choices: list[object], chars: int) -> None:
    answer = whole()

    silent = take_whole(deployment("a"), answer, json.dumps({"choices": choices}).encode(), moves_on=False)
    counted = take_whole(deployment("a"), answer, json.dumps({"choices": choices, "usage": {"prompt_tokens": 1}}).encode(), moves_on=False)

    assert (silent.usage, silent.said_chars) == (None, chars)
    assert (counted.usage, counted.said_chars) == (Usage(1, 0), chars)
