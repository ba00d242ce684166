# mypy: ignore-errors
# ruff: noqa: ANN001, ANN003, ANN201 - types would name packages that only .venv-clients has
"""Reads a Gemini dialect with today's google-genai: `python read_gemini.py URL [SCENARIO ...]`. Runs in `.venv-clients`."""

from __future__ import annotations

import sys

from _report import SCHEMA, fault, run, scenario
from google import genai
from google.genai import types

CLIENT = genai.Client(api_key="test", http_options=types.HttpOptions(base_url=sys.argv[1], retry_options=types.HttpRetryOptions(attempts=1)))
TOOLS = [types.Tool(function_declarations=[types.FunctionDeclaration(name="weather", parameters_json_schema=SCHEMA)])]
BY_HAND = types.AutomaticFunctionCallingConfig(disable=True)


def generate(contents="hello wörld", model="m", **config):
    return CLIENT.models.generate_content(model=model, contents=contents, config=types.GenerateContentConfig(automatic_function_calling=BY_HAND, **config))


def chunks(contents="hello wörld", model="m", **config):
    config = types.GenerateContentConfig(automatic_function_calling=BY_HAND, **config)
    return list(CLIENT.models.generate_content_stream(model=model, contents=contents, config=config))


def calls(answer):
    return [[call.name, call.args] for call in answer.function_calls or []]


@scenario
def chat():
    answer = generate(system_instruction="be brief")
    usage = answer.usage_metadata
    return {
        "text": answer.text,
        "finish": answer.candidates[0].finish_reason.value,
        "role": answer.candidates[0].content.role,
        "usage": [usage.prompt_token_count, usage.candidates_token_count, usage.total_token_count],
    }


@scenario
def models():
    return [model.name for model in CLIENT.models.list(config={"page_size": 50})]


@scenario
def stream():
    answers = chunks()
    return {
        "text": "".join(answer.text for answer in answers),
        "finish": [answer.candidates[0].finish_reason and answer.candidates[0].finish_reason.value for answer in answers],
        "ids": len({answer.response_id for answer in answers}),
        "usage": answers[-1].usage_metadata.total_token_count,
    }


@scenario
def tools():
    forced = types.ToolConfig(function_calling_config=types.FunctionCallingConfig(mode="ANY", allowed_function_names=["weather"]))
    return {
        "offered": calls(generate("call the tool", tools=TOOLS)),
        "forced": calls(generate(tools=TOOLS, tool_config=forced)),
        "streamed": [call for answer in chunks("call twice", tools=TOOLS) for call in calls(answer)],
    }


@scenario
def tool_round():
    called = types.Content(role="model", parts=[types.Part.from_function_call(name="weather", args={"city": "x", "days": 1})])
    result = types.Content(role="user", parts=[types.Part.from_function_response(name="weather", response={"sky": "sunny"})])
    return generate([types.Content(role="user", parts=[types.Part(text="call the tool")]), called, result], tools=TOOLS).text


@scenario
def schema():
    return generate(response_mime_type="application/json", response_json_schema=SCHEMA).parsed


@scenario
def several():
    answer = generate(candidate_count=2, response_logprobs=True, logprobs=2)
    return [
        [c.index, c.content.parts[0].text, len(c.logprobs_result.chosen_candidates), len(c.logprobs_result.top_candidates[0].candidates)]
        for c in answer.candidates
    ]


@scenario
def limits():
    cut, stopped = generate(max_output_tokens=2), generate("one STOP two", stop_sequences=["STOP"])
    return {"length": [cut.text, cut.candidates[0].finish_reason.value], "stop": stopped.text}


@scenario
def thinking():
    return [[part.thought, part.text] for part in generate(model="m-think").candidates[0].content.parts]


@scenario
def image():
    return generate([types.Part(text="look"), types.Part.from_bytes(data=b"png", mime_type="image/png")]).text


@scenario
def errors():
    names = ("status-400", "status-403", "status-404", "status-429", "status-500", "status-503", "context")
    return {name: fault(lambda name=name: generate(model=f"m.{name}"), "code", "status", "message") for name in names}


@scenario
def broken_streams():
    return {name: fault(lambda name=name: chunks(model=f"m.{name}"), "code") for name in ("error-0", "error-2", "cut-2", "malformed-2", "refuse")}


run()
