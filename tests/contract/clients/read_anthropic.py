# mypy: ignore-errors
# ruff: noqa: ANN001, ANN002, ANN003, ANN201 - types would name packages that only .venv-clients has
"""Reads an Anthropic dialect with today's Anthropic SDK: `python read_anthropic.py BASE_URL [SCENARIO ...]`. Runs in `.venv-clients`."""

from __future__ import annotations

import sys

import anthropic
from _report import SCHEMA, fault, run, scenario

CLIENT = anthropic.Anthropic(base_url=sys.argv[1], api_key="sk-ant-test", max_retries=0, timeout=10)
TOOLS = [{"name": "weather", "input_schema": SCHEMA}]


def request(text="hello wörld", model="m", **more):
    return {"model": model, "max_tokens": 200, "messages": [{"role": "user", "content": text}], **more}


def create(*args, **more):
    return CLIENT.messages.create(**request(*args, **more))


def final(*args, **more):
    with CLIENT.messages.stream(**request(*args, **more)) as stream:
        return stream.get_final_message()


def plain(message):
    return message.model_dump(mode="json")


@scenario
def chat():
    return plain(create())


@scenario
def models():
    return [model.id for model in CLIENT.models.list(limit=1)]  # page by page


@scenario
def stream():
    return plain(final())


@scenario
def tools():
    return {"whole": plain(create("call the tool", tools=TOOLS)), "streamed": plain(final("call twice", tools=TOOLS))}


@scenario
def forced():
    choice = {"type": "tool", "name": "weather", "disable_parallel_tool_use": True}
    return plain(create("call twice", tools=TOOLS, tool_choice=choice))


@scenario
def tool_round():
    first = create("call the tool", tools=TOOLS)
    result = {"type": "tool_result", "tool_use_id": first.content[0].id, "content": "sunny"}
    messages = [{"role": "user", "content": "call the tool"}, {"role": "assistant", "content": first.content}, {"role": "user", "content": [result]}]
    return plain(create(messages=messages, tools=TOOLS))


@scenario
def thinking():
    enabled = {"type": "enabled", "budget_tokens": 1024}
    return {"whole": plain(create(thinking=enabled)), "streamed": plain(final(model="m-think"))}


@scenario
def schema():
    return plain(create(output_config={"format": {"type": "json_schema", "schema": SCHEMA}}))


@scenario
def limits():
    return {"length": plain(create(max_tokens=2)), "stop": plain(create("one STOP two", stop_sequences=["STOP"]))}


@scenario
def image():
    source = {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}
    content = [{"type": "text", "text": "look"}, {"type": "image", "source": source}]
    return plain(create(messages=[{"role": "user", "content": content}]))


@scenario
def errors():
    names = ("status-400", "status-401", "status-403", "status-404", "status-413", "status-429", "status-500", "status-529", "context", "html-502")
    return {name: fault(lambda name=name: create(model=f"m.{name}"), "status_code", "type", "request_id") for name in names}


@scenario
def refused():
    return {
        "unknown field": fault(lambda: create(extra_body={"foo": 1}), "message"),
        "no answer to a call": fault(
            lambda: create(messages=[{"role": "assistant", "content": [{"type": "tool_use", "id": "a", "name": "b", "input": {}}]}]), "message"
        ),
        "system role": fault(lambda: create(messages=[{"role": "system", "content": "x"}]), "message"),
    }


@scenario
def broken_streams():
    names = ("error-0", "error-2", "cut-3", "malformed-4", "refuse")
    return {name: fault(lambda name=name: final(model=f"m.{name}")) for name in names}


run()
