# mypy: ignore-errors
# ruff: noqa: ANN001, ANN003, ANN201, ANN202 - types would name packages that only .venv-clients has
"""Reads an OpenAI dialect with today's OpenAI SDK: `python read_openai.py BASE_URL [SCENARIO ...]`. Runs in `.venv-clients`."""

from __future__ import annotations

import asyncio
import sys

import openai
from _report import SCHEMA, fault, run, scenario
from pydantic import BaseModel

URL = sys.argv[1]
CLIENT = openai.OpenAI(base_url=URL, api_key="sk-test", max_retries=0, timeout=10)
TOOLS = [{"type": "function", "function": {"name": "weather", "parameters": SCHEMA}}]
PIXEL = "data:image/png;base64,iVBORw0KGgo="


class Trip(BaseModel):
    city: str
    days: int


def ask(text="hello wörld", model="m", **more):
    return CLIENT.chat.completions.create(model=model, messages=[{"role": "user", "content": text}], **more)


def gather(stream):
    chunks = list(stream)
    choices = [choice for chunk in chunks for choice in chunk.choices]
    return {
        "ids": len({chunk.id for chunk in chunks}),
        "roles": [choice.delta.role for choice in choices if choice.delta.role],
        "content": "".join(choice.delta.content or "" for choice in choices if choice.index == 0),
        "finish": [choice.finish_reason for choice in choices if choice.finish_reason],
        "usage": [chunk.usage.total_tokens for chunk in chunks if chunk.usage],
        "last_choices": len(chunks[-1].choices),
    }


@scenario
def models():
    return [model.id for model in CLIENT.models.list()]


@scenario
def chat():
    return ask().model_dump(mode="json")


@scenario
def stream():
    return gather(ask(stream=True))


@scenario
def stream_usage():
    return gather(ask(stream=True, stream_options={"include_usage": True}))


@scenario
def stream_odd():
    return {name: gather(ask(model=f"m.{name}", stream=True)) for name in ("nodone", "commentfirst", "splitutf8", "crlf", "nospace", "gzip", "connclose")}


@scenario
def stream_async():
    async def read():
        async with openai.AsyncOpenAI(base_url=URL, api_key="sk-test", max_retries=0) as client:
            answer = await client.chat.completions.create(model="m", messages=[{"role": "user", "content": "hello wörld"}], stream=True)
            return "".join([chunk.choices[0].delta.content or "" async for chunk in answer])

    return asyncio.run(read())


@scenario
def tools():
    return [call.model_dump() for call in ask("please call the tool", tools=TOOLS).choices[0].message.tool_calls]


@scenario
def tools_streamed():
    with CLIENT.chat.completions.stream(model="m", messages=[{"role": "user", "content": "please call twice"}], tools=TOOLS) as streamed:
        choice = streamed.get_final_completion().choices[0]
    return {"finish": choice.finish_reason, "calls": [[call.function.name, call.function.arguments, call.id] for call in choice.message.tool_calls]}


@scenario
def tool_round():
    first = ask("please call the tool", tools=TOOLS).choices[0].message
    result = {"role": "tool", "tool_call_id": first.tool_calls[0].id, "content": "sunny"}
    messages = [{"role": "user", "content": "please call the tool"}, first.model_dump(exclude_none=True), result]
    return CLIENT.chat.completions.create(model="m", messages=messages, tools=TOOLS).choices[0].message.content


@scenario
def parse():
    answer = CLIENT.chat.completions.parse(model="m", messages=[{"role": "user", "content": "plan"}], response_format=Trip)
    return answer.choices[0].message.parsed.model_dump()


@scenario
def json_object():
    return ask(response_format={"type": "json_object"}).choices[0].message.content


@scenario
def choices():
    whole = ask(n=2, logprobs=True, top_logprobs=2)
    return {
        "whole": [
            [choice.index, choice.message.content, len(choice.logprobs.content), len(choice.logprobs.content[0].top_logprobs)] for choice in whole.choices
        ],
        "streamed": gather(ask(n=2, stream=True)),
    }


@scenario
def limits():
    return {
        "length": ask(max_tokens=2).choices[0].model_dump(),
        "newer": ask(max_completion_tokens=1).usage.completion_tokens,
        "stop": ask("one STOP two", stop=["STOP"]).choices[0].message.content,
    }


@scenario
def image():
    content = [{"type": "text", "text": "look"}, {"type": "image_url", "image_url": {"url": PIXEL}}]
    return CLIENT.chat.completions.create(model="m", messages=[{"role": "user", "content": content}]).choices[0].message.content


@scenario
def embeddings():
    texts = CLIENT.embeddings.create(model="e", input=["a", "b"])
    floats = CLIENT.embeddings.create(model="e", input=["a", "b"], encoding_format="float")
    tokens = CLIENT.embeddings.create(model="e", input=[[1, 2], [3]], dimensions=8)
    return {
        "base64": [row.embedding for row in texts.data],
        "float": [row.embedding for row in floats.data],
        "tokens": [len(row.embedding) for row in tokens.data],
        "usage": tokens.usage.prompt_tokens,
    }


@scenario
def errors():
    fields = ("status_code", "code", "param", "type", "request_id")
    names = (
        "status-400",
        "status-401",
        "status-403",
        "status-404",
        "status-422",
        "status-429",
        "status-500",
        "status-503",
        "context",
        "html-502",
        "detail-422",
    )
    return {name: fault(lambda name=name: ask(model=f"m.{name}"), *fields) for name in names}


@scenario
def broken_streams():
    names = ("error-0", "error-2", "cut-3", "reset-0", "malformed-2", "refuse")
    return {name: fault(lambda name=name: gather(ask(model=f"m.{name}", stream=True)), "message") for name in names}


run()
