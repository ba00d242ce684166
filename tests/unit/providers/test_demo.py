from __future__ import annotations

import json
from typing import Any

from app.domain import Call, Deployment, Finding, Label, LaneName, Tier
from app.gateway.streaming import StreamWatch
from app.providers.demo import DemoLane
from tests.unit.policy.table import facts

DEMO = Deployment(name="demo", provider="demo", model="demo", lane=LaneName.DEMO, clearance=Label.CONFIDENTIAL)
EMAIL = Finding("email", Tier.HARD, "messages[0].content", 0, 9)


def call(**body: Any) -> Call:
    known = facts(Label.CONFIDENTIAL, findings=(EMAIL,))
    return Call(deployment=DEMO, label=Label.CONFIDENTIAL, body=body, stream=bool(body.get("stream")), facts=known, rule="rule-1")


async def test_the_answer_says_what_was_decided() -> None:
    answer = json.loads(await (await DemoLane().open(call(n=2))).body())

    assert answer["object"] == "chat.completion"
    assert [choice["index"] for choice in answer["choices"]] == [0, 1]
    text = answer["choices"][0]["message"]["content"]
    assert "label: confidential, label_reason: default, findings: email" in text
    assert answer["usage"]["total_tokens"] == answer["usage"]["prompt_tokens"] + answer["usage"]["completion_tokens"]


async def test_json_is_answered_with_json() -> None:
    answer = json.loads(await (await DemoLane().open(call(response_format={"type": "json_object"}))).body())

    assert json.loads(answer["choices"][0]["message"]["content"])["label"] == "confidential"


async def test_the_stream_is_whole_for_every_choice() -> None:
    watch = StreamWatch(include_usage=True)
    answer = await DemoLane().open(call(n=2, stream=True))

    passed = b"".join([watch.feed(event) async for event in answer.events()])

    assert passed + watch.finish() == passed + b"data: [DONE]\n\n"
    assert watch.usage is not None
    answer.close()


async def test_without_facts_it_still_answers() -> None:
    bare = Call(deployment=DEMO, label=Label.PUBLIC, body={}, stream=False)

    assert b"demo model" in await (await DemoLane().open(bare)).body()
