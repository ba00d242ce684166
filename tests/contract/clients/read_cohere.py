# mypy: ignore-errors
# ruff: noqa: ANN001, ANN003, ANN201 - types would name packages that only .venv-clients has
"""Reads a Cohere dialect with today's Cohere SDK: `python read_cohere.py URL [SCENARIO ...]`. Runs in `.venv-clients`."""

from __future__ import annotations

import sys

import cohere
from _report import SCHEMA, fault, run, scenario

CLIENT = cohere.ClientV2(api_key="test", base_url=sys.argv[1], timeout=10)
TOOLS = [{"type": "function", "function": {"name": "weather", "parameters": SCHEMA}}]
ONCE = {"max_retries": 0}


def chat_with(text="hello wörld", model="m", **more):
    return CLIENT.chat(**{"model": model, "messages": [{"role": "user", "content": text}], "request_options": ONCE, **more})


def events(text="hello wörld", model="m", **more):
    return list(CLIENT.chat_stream(model=model, messages=[{"role": "user", "content": text}], request_options=ONCE, **more))


@scenario
def chat():
    answer = chat_with()
    return {"text": answer.message.content[0].text, "finish": answer.finish_reason, "usage": answer.usage.tokens.output_tokens}


@scenario
def models():
    return [model.name for model in CLIENT.models.list(page_size=50, request_options=ONCE).models]


@scenario
def stream():
    found = events()
    return {
        "types": [event.type for event in found],
        "text": "".join(event.delta.message.content.text for event in found if event.type == "content-delta"),
        "finish": found[-1].delta.finish_reason,
        "usage": found[-1].delta.usage.tokens.output_tokens,
    }


@scenario
def tools():
    found = events("call twice", tools=TOOLS)
    whole = chat_with("call the tool", tools=TOOLS)
    return {
        "whole": [whole.finish_reason, whole.message.tool_plan, [[call.function.name, call.function.arguments] for call in whole.message.tool_calls]],
        "started": [event.delta.message.tool_calls.function.name for event in found if event.type == "tool-call-start"],
        "arguments": "".join(event.delta.message.tool_calls.function.arguments for event in found if event.type == "tool-call-delta"),
        "finish": found[-1].delta.finish_reason,
        "forced": len(chat_with(tools=TOOLS, tool_choice="REQUIRED").message.tool_calls),
    }


@scenario
def tool_round():
    first = chat_with("call the tool", tools=TOOLS)
    messages = [
        {"role": "user", "content": "call the tool"},
        {"role": "assistant", "tool_calls": first.message.tool_calls, "tool_plan": first.message.tool_plan},
        {"role": "tool", "tool_call_id": first.message.tool_calls[0].id, "content": "sunny"},
    ]
    return chat_with(messages=messages, tools=TOOLS).message.content[0].text


@scenario
def schema():
    return chat_with(response_format={"type": "json_object", "json_schema": SCHEMA}).message.content[0].text


@scenario
def limits():
    cut, stopped = chat_with(max_tokens=2), chat_with("one STOP two", stop_sequences=["STOP"])
    return {"length": [cut.finish_reason, cut.message.content[0].text], "stop": [stopped.finish_reason, stopped.message.content[0].text]}


@scenario
def thinking():
    return [part.type for part in chat_with(model="m-think").message.content]


@scenario
def errors():
    names = ("status-400", "status-401", "status-403", "status-404", "status-422", "status-429", "status-500", "status-503", "context")
    return {name: fault(lambda name=name: chat_with(model=f"m.{name}"), "status_code", "body") for name in names}


@scenario
def broken_streams():
    return {
        "error-2": [getattr(event.delta, "finish_reason", None) for event in events(model="m.error-2") if event.type == "message-end"],
        "cut-3": fault(lambda: events(model="m.cut-3")),
        "refuse": fault(lambda: events(model="m.refuse")),
    }


run()
