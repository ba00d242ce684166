"""Bedrock's Converse, whole and streamed, signed with SigV4. Shapes: https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html.

A stream is binary `application/vnd.amazon.eventstream` (`eventstream.py`); a chunk is one frame.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from tests.simulators.base import Refusal, Simulator, json_body
from tests.simulators.eventstream import frame
from tests.simulators.model import Ask, Said, Tool, count_tokens, dumps
from tests.simulators.script import Body, Stream
from tests.simulators.sigv4 import Credentials, fault_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from tests.simulators.faults import Faults
    from tests.simulators.server import Received

CREDENTIALS = Credentials("AKIDSIMULATOR", "simulator-secret-key")
_PATH = re.compile(r"/model/(?P<model>.+)/(?P<verb>converse|converse-stream)")
_EXCEPTIONS = {
    400: "ValidationException",
    401: "UnrecognizedClientException",
    403: "AccessDeniedException",
    404: "ResourceNotFoundException",
    408: "ModelTimeoutException",
    424: "ModelErrorException",
    429: "ThrottlingException",
    500: "InternalServerException",
    503: "ServiceUnavailableException",
}
_STOPS = {"stop": "end_turn", "length": "max_tokens", "stop_sequence": "stop_sequence", "tool_calls": "tool_use"}
_FIELDS = frozenset(
    {
        "messages",
        "system",
        "inferenceConfig",
        "toolConfig",
        "guardrailConfig",
        "additionalModelRequestFields",
        "promptVariables",
        "additionalModelResponseFieldPaths",
        "requestMetadata",
        "performanceConfig",
        "serviceTier",
        "outputConfig",
    }
)


def texts(content: Any) -> list[str]:
    return [block["text"] for block in content or [] if "text" in block]


class BedrockSimulator(Simulator):
    """Amazon Bedrock's runtime. `credentials` sign; `api_key`, when given, is a bearer token that is accepted instead."""

    dialect = "bedrock"

    def __init__(self, *, credentials: Credentials = CREDENTIALS, **more: Any) -> None:
        super().__init__(**more)
        self.credentials = credentials

    @property
    def base_url(self) -> str:
        return self.url

    def model_of(self, request: Received) -> str:
        match = _PATH.fullmatch(request.path)
        return match["model"] if match else ""

    def error(self, _request: Received, /, status: int, message: str) -> Body:
        return self._exception(status, _EXCEPTIONS.get(status, "InternalServerException"), message)

    def _exception(self, status: int, name: str, message: str) -> Body:
        headers = (("x-amzn-requestid", self.next_id()), ("x-amzn-errortype", f"{name}:http://internal.amazon.com/coral/com.amazon.bedrock/"))
        return json_body({"message": message}, status, headers)

    def context_error(self, request: Received, /) -> Body:
        return self.error(request, 400, "The model returned the following errors: prompt is too long: 210000 tokens > 200000 maximum")

    def user_text(self, request: Received) -> str:
        body = request.json
        users = [m for m in body.get("messages") or [] if m.get("role") == "user"] if isinstance(body, dict) else []
        return " ".join(texts(users[-1].get("content"))) if users else ""

    def answer(self, request: Received, faults: Faults) -> Body | Stream:
        match = _PATH.fullmatch(request.path)
        if match is None or request.method != "POST":
            return self._exception(404, "UnknownOperationException", "")
        if self.api_key is None or request.header("authorization") != self.authorized_by:
            self._verify(request)
        body = request.json
        wrong = "The request body is not valid JSON." if not isinstance(body, dict) else _wrong(body)
        if wrong is not None:
            raise Refusal(self.error(request, 400, wrong))
        ask = _ask(match["model"], body)
        said = self.speak(ask, faults)
        if match["verb"] == "converse":
            failed = {"message": "The system encountered an unexpected error during processing. Try your request again."}
            return json_body(failed if "error" in faults else self._whole(ask, said), headers=(("x-amzn-requestid", self.next_id()),))
        chunks = [_event(name, payload) for name, payload in self._events(said)]
        if (count := faults.get("badcrc")) is not None:
            at = max(0, min(count, len(chunks)) - 1)
            chunks[at] = chunks[at][:-1] + bytes([chunks[at][-1] ^ 1])
        exception = {":exception-type": "throttlingException", ":content-type": "application/json", ":message-type": "exception"}
        return Stream(
            chunks,
            (_event("metadata", _usage(ask, said)),),
            (("x-amzn-requestid", self.next_id()),),
            "application/vnd.amazon.eventstream",
            comment=b"",
            malformed=_event("contentBlockDelta", b'{"contentBlockIndex":0,"del'),
            error=(frame(exception, b'{"message":"Too many requests, please wait before trying again."}'),),
        )

    def _verify(self, request: Received) -> None:
        fault = fault_of(request, self.credentials, service="bedrock")
        if fault is not None:
            raise Refusal(self._exception(403, fault[0], fault[1]))

    def _call_id(self) -> str:
        return f"tooluse_{self.next_id()}"

    def _whole(self, ask: Ask, said: Said) -> dict[str, Any]:
        content: list[dict[str, Any]] = []
        if said.thoughts:
            content.append({"reasoningContent": {"reasoningText": {"text": said.thought, "signature": "c2ln"}}})
        if said.pieces:
            content.append({"text": said.text})
        content += [{"toolUse": {"toolUseId": self._call_id(), "name": call.name, "input": call.parsed}} for call in said.calls]
        return {"output": {"message": {"role": "assistant", "content": content}}, "stopReason": _STOPS[said.finish], **_usage(ask, said)}

    def _events(self, said: Said) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield events up to the stop reason; only tools have a start, as only it says something."""
        yield "messageStart", {"role": "assistant"}
        for index, (start, deltas) in enumerate(self._blocks(said)):
            if start is not None:
                yield "contentBlockStart", {"contentBlockIndex": index, "start": start}
            for delta in deltas:
                yield "contentBlockDelta", {"contentBlockIndex": index, "delta": delta}
            yield "contentBlockStop", {"contentBlockIndex": index}
        yield "messageStop", {"stopReason": _STOPS[said.finish]}

    def _blocks(self, said: Said) -> Iterator[tuple[dict[str, Any] | None, list[dict[str, Any]]]]:
        if said.thoughts:
            yield None, [*({"reasoningContent": {"text": thought}} for thought in said.thoughts), {"reasoningContent": {"signature": "c2ln"}}]
        if said.pieces:
            yield None, [{"text": piece} for piece in said.pieces]
        for call in said.calls:
            yield {"toolUse": {"toolUseId": self._call_id(), "name": call.name}}, [{"toolUse": {"input": text}} for text in call.fragments]


def _event(name: str, payload: Mapping[str, Any] | bytes) -> bytes:
    content = payload if isinstance(payload, bytes) else dumps({**payload, "p": "abcdefg"}).encode()  # `p` pads, against guessing tokens by their length
    return frame({":event-type": name, ":content-type": "application/json", ":message-type": "event"}, content)


def _usage(ask: Ask, said: Said) -> dict[str, Any]:
    output = max(1, said.tokens)
    counts = {"inputTokens": ask.prompt_tokens, "outputTokens": output, "totalTokens": ask.prompt_tokens + output}
    return {"usage": counts, "metrics": {"latencyMs": 1}}


def _wrong(body: Mapping[str, Any]) -> str | None:
    """Return what the API says of the first thing wrong with a body."""
    messages = body.get("messages")
    if not messages:
        return "The request is missing messages."
    extra = sorted(body.keys() - _FIELDS)
    if extra:
        return f"The model returned the following errors: {extra[0]}: Extra inputs are not permitted"
    if any(m.get("role") not in {"user", "assistant"} or not m.get("content") for m in messages):
        return "The content field in the Message object at messages.0 is empty. Add a ContentBlock object to the content field and try again."
    if messages[0]["role"] != "user":
        return "A conversation must start with a user message. Try again with a conversation that starts with a user message."
    used = any("toolUse" in block or "toolResult" in block for m in messages for block in m["content"])
    if used and not body.get("toolConfig"):
        return "The toolConfig field must be defined when using toolUse and toolResult content blocks."
    return None


def _ask(model: str, body: Mapping[str, Any]) -> Ask:
    messages: Sequence[Mapping[str, Any]] = body["messages"]
    said = [(i, texts(m["content"])) for i, m in enumerate(messages) if m["role"] == "user"]
    last, user_text = next(((i, " ".join(found)) for i, found in reversed(said) if found), (-1, ""))
    results = [block["toolResult"] for m in messages[max(last, 0) :] for block in m["content"] if "toolResult" in block]
    config, tools = body.get("inferenceConfig") or {}, body.get("toolConfig") or {}
    choice = tools.get("toolChoice") or {"auto": {}}
    specs = [tool["toolSpec"] for tool in tools.get("tools") or () if "toolSpec" in tool]
    extra = body.get("additionalModelRequestFields") or {}
    return Ask(
        model=model,
        user_text=user_text,
        prompt_tokens=count_tokens([text for m in messages for text in texts(m["content"])] + texts(body.get("system"))),
        images=sum("image" in block or "document" in block for m in messages for block in m["content"]),
        tool_result=" ".join(b["text"] if "text" in b else dumps(b.get("json")) for b in results[-1]["content"]) if results else None,
        max_tokens=config.get("maxTokens"),
        stop=tuple(config.get("stopSequences") or ()),
        tools=tuple(Tool(spec["name"], spec["inputSchema"].get("json") or {}) for spec in specs),
        tool_choice="required" if "any" in choice else choice["tool"]["name"] if "tool" in choice else "auto",
        json_schema=_schema(body),
        think="think" in model or (extra.get("thinking") or {}).get("type", "disabled") != "disabled",
    )


def _schema(body: Mapping[str, Any]) -> Mapping[str, Any] | None:
    wanted = (body.get("outputConfig") or {}).get("textFormat")
    found: Mapping[str, Any] | None = json.loads(wanted["structure"]["jsonSchema"]["schema"]) if wanted else None
    return found
