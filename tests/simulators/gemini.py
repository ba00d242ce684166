"""Gemini's dialect: `generateContent` and `streamGenerateContent`. Shapes: https://ai.google.dev/api/generate-content.

Its JSON is protobuf's: names come in camelCase or snake_case, and an unknown one is refused. Its events end in CR LF, and a stream has no last word of its own:
the chunk with a finish reason is the last.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from tests.simulators.base import Refusal, Simulator, json_body
from tests.simulators.model import Ask, Said, Tool, count_tokens, dumps
from tests.simulators.script import Body, Stream

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from tests.simulators.faults import Faults
    from tests.simulators.server import Received

_PATH = re.compile(r"/v1(?:beta|alpha)?/models/(?P<model>.+):(?P<verb>generateContent|streamGenerateContent)")
_LIST = re.compile(r"/v1(?:beta|alpha)?/models")
_STATUSES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
_OVERLOADED = {"error": {"code": 503, "message": "The model is overloaded. Please try again later.", "status": "UNAVAILABLE"}}
_FIELDS = frozenset(
    {"model", "contents", "systemInstruction", "tools", "toolConfig", "generationConfig", "safetySettings", "cachedContent", "labels", "serviceTier", "store"}
)
_CONFIG_FIELDS = frozenset(
    {
        "stopSequences",
        "responseMimeType",
        "responseSchema",
        "responseJsonSchema",
        "_responseJsonSchema",
        "responseModalities",
        "candidateCount",
        "maxOutputTokens",
        "temperature",
        "topP",
        "topK",
        "seed",
        "presencePenalty",
        "frequencyPenalty",
        "responseLogprobs",
        "logprobs",
        "enableEnhancedCivicAnswers",
        "speechConfig",
        "thinkingConfig",
        "imageConfig",
        "mediaResolution",
        "responseFormat",
        "audioTimestamp",
    }
)


def camel(value: Any) -> Any:
    """Return the top level of an object with its names in camelCase."""
    if not isinstance(value, dict):
        return value
    return {re.sub(r"(?<=[a-z])_([a-z])", lambda m: m[1].upper(), key): item for key, item in value.items()}


def parts(content: Any) -> list[dict[str, Any]]:
    return [camel(part) for part in (content or {}).get("parts") or []]


def texts(content: Any) -> list[str]:
    return [part["text"] for part in parts(content) if "text" in part]


class GeminiSimulator(Simulator):
    """Google's Gemini API."""

    dialect = "gemini"
    models: Sequence[str] = ("gemini-2.5-flash", "gemini-2.5-pro")

    @property
    def base_url(self) -> str:
        return f"{self.url}/v1beta"

    def model_of(self, request: Received) -> str:
        match = _PATH.fullmatch(request.path)
        return match["model"] if match else ""

    def error(self, _request: Received, /, status: int, message: str) -> Body:
        return json_body({"error": {"code": status, "message": message, "status": _STATUSES.get(status, "UNKNOWN")}}, status)

    def context_error(self, request: Received, /) -> Body:
        return self.error(request, 400, "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).")

    def user_text(self, request: Received) -> str:
        body = camel(request.json)
        users = [content for content in body.get("contents") or [] if content.get("role", "user") == "user"] if isinstance(body, dict) else []
        return " ".join(texts(users[-1])) if users else ""

    def answer(self, request: Received, faults: Faults) -> Body | Stream:
        match = _PATH.fullmatch(request.path)
        if request.method == "GET" and _LIST.fullmatch(request.path):
            return self._listing(request)
        if match is None or request.method != "POST":
            return Body(b"<!DOCTYPE html><title>Error 404 (Not Found)!!1</title>", 404, content_type="text/html; charset=UTF-8")
        self._authorize(request)
        body = self._checked(request)
        config = camel(body.get("generationConfig") or {})
        ask = self._ask(match["model"], body, config)
        choices = [self.speak(ask, faults, choice=i) for i in range(config.get("candidateCount") or 1)]
        if match["verb"] == "generateContent":
            return json_body(_OVERLOADED if "error" in faults else self._whole(ask, choices, config))
        chunks = [dumps(chunk) for chunk in self._chunks(ask, choices)]
        if request.query.get("alt") != "sse":
            return Body(f"[{','.join(chunks)}]".encode())
        return Stream(
            [_event(chunk) for chunk in chunks],
            comment=b": PROCESSING\r\n\r\n",
            malformed=b'data: {"candidates": [{"cont\r\n\r\n',
            error=(_event(dumps(_OVERLOADED)),),
        )

    def _listing(self, request: Received) -> Body:
        """A page of models; `pageSize` is 50 unless it is given."""
        self._authorize(request)
        size = int(request.query.get("pageSize", "50"))
        methods = ["generateContent", "countTokens"]
        shown = [{"name": f"models/{name}", "version": "001", "displayName": name, "supportedGenerationMethods": methods} for name in self.models[:size]]
        return json_body({"models": shown, **({"nextPageToken": "Ch9tb2Rl"} if len(self.models) > size else {})})

    def _authorize(self, request: Received) -> None:
        key = request.header("x-goog-api-key") or request.query.get("key")
        if self.api_key is not None and key != self.api_key:
            wrong = "API key not valid. Please pass a valid API key." if key else "Method doesn't allow unregistered callers."
            raise Refusal(self.error(request, 400 if key else 403, wrong))

    def _checked(self, request: Received) -> Mapping[str, Any]:
        body = camel(request.json)
        if not isinstance(body, dict):
            raise Refusal(self.error(request, 400, "Invalid JSON payload received."))
        config = camel(body.get("generationConfig") or {})
        extra = sorted(body.keys() - _FIELDS) or [f"generation_config.{name}" for name in sorted(config.keys() - _CONFIG_FIELDS)]
        if extra:
            raise Refusal(self.error(request, 400, f'Invalid JSON payload received. Unknown name "{extra[0]}": Cannot find field.'))
        if not body.get("contents"):
            raise Refusal(self.error(request, 400, "* GenerateContentRequest.contents: contents is not specified\n"))
        if any(content.get("role", "user") not in {"user", "model", "function"} for content in body["contents"]):
            raise Refusal(self.error(request, 400, "Please use a valid role: user, model."))
        if any(not content.get("parts") for content in body["contents"]):
            raise Refusal(self.error(request, 400, "* GenerateContentRequest.contents[0].parts: contents.parts must not be empty.\n"))
        return body

    def _ask(self, model: str, body: Mapping[str, Any], config: Mapping[str, Any]) -> Ask:
        contents = body["contents"]
        said = [(i, texts(content)) for i, content in enumerate(contents) if content.get("role", "user") == "user"]
        last, user_text = next(((i, " ".join(found)) for i, found in reversed(said) if found), (-1, ""))
        results = [part["functionResponse"] for content in contents[max(last, 0) :] for part in parts(content) if "functionResponse" in part]
        mode = camel(camel(body.get("toolConfig") or {}).get("functionCallingConfig") or {})
        names = mode.get("allowedFunctionNames") or []
        choice = {"ANY": "required", "NONE": "none"}.get(str(mode.get("mode", "AUTO")).upper(), "auto")
        thinking = camel(config.get("thinkingConfig") or {})
        return Ask(
            model=model,
            user_text=user_text,
            prompt_tokens=count_tokens([text for c in contents for text in texts(c)] + texts(body.get("systemInstruction"))),
            images=sum("inlineData" in part or "fileData" in part for content in contents for part in parts(content)),
            tool_result=dumps(results[-1].get("response")) if results else None,
            max_tokens=config.get("maxOutputTokens"),
            stop=tuple(config.get("stopSequences") or ()),
            tools=tuple(_tools(body)),
            tool_choice=names[0] if choice == "required" and names else choice,
            json_schema=_schema(config),
            think="think" in model or bool(thinking.get("includeThoughts")),
        )

    def _head(self, ask: Ask) -> dict[str, Any]:
        return {"modelVersion": ask.model, "responseId": self.next_id()}

    @staticmethod
    def _usage(ask: Ask, answered: int, thought: int) -> dict[str, Any]:
        usage: dict[str, Any] = {
            "promptTokenCount": ask.prompt_tokens,
            "candidatesTokenCount": answered,
            "totalTokenCount": ask.prompt_tokens + answered + thought,
        }
        usage["promptTokensDetails"] = [{"modality": "TEXT", "tokenCount": ask.prompt_tokens}]
        return usage | ({"thoughtsTokenCount": thought} if thought else {})

    def _whole(self, ask: Ask, choices: Sequence[Said], config: Mapping[str, Any]) -> dict[str, Any]:
        candidates = []
        for index, said in enumerate(choices):
            content = [{"text": said.thought, "thought": True}] if said.thoughts else []
            content += [{"text": said.text}] if said.pieces else []
            content += list(_calls(said))
            logprobs = _logprobs(said, config.get("logprobs") or 0) if config.get("responseLogprobs") else {}
            candidates.append({"content": {"parts": content, "role": "model"}, "finishReason": _finish(said), "index": index, **logprobs})
        thought = sum(len(said.thoughts) for said in choices)
        return {"candidates": candidates, "usageMetadata": self._usage(ask, sum(s.tokens for s in choices) - thought, thought), **self._head(ask)}

    def _chunks(self, ask: Ask, choices: Sequence[Said]) -> Iterator[dict[str, Any]]:
        head, answered, thought = self._head(ask), 0, 0
        for index, said in enumerate(choices):
            streamed: list[dict[str, Any]] = [{"text": text, "thought": True} for text in said.thoughts]
            streamed += [{"text": text} for text in said.pieces]
            streamed += list(_calls(said))
            for i, part in enumerate(streamed or [{"text": ""}]):
                thought, answered = (thought + 1, answered) if "thought" in part else (thought, answered + 1)
                candidate: dict[str, Any] = {"content": {"parts": [part], "role": "model"}, "index": index}
                if i >= len(streamed) - 1:
                    candidate["finishReason"] = _finish(said)
                yield {"candidates": [candidate], "usageMetadata": self._usage(ask, answered, thought), **head}


def _event(text: str) -> bytes:
    return f"data: {text}\r\n\r\n".encode()


def _finish(said: Said) -> str:
    return "MAX_TOKENS" if said.finish == "length" else "STOP"


def _calls(said: Said) -> Iterator[dict[str, Any]]:
    for call in said.calls:
        signed = {"thoughtSignature": "c2ln"} if said.thoughts else {}
        yield {"functionCall": {"name": call.name, "args": call.parsed}, **signed}


def _tools(body: Mapping[str, Any]) -> Iterator[Tool]:
    for tool in body.get("tools") or ():
        for function in camel(tool).get("functionDeclarations") or ():
            declared = camel(function)
            yield Tool(declared["name"], declared.get("parameters") or declared.get("parametersJsonSchema") or {})


def _schema(config: Mapping[str, Any]) -> Mapping[str, Any] | None:
    if config.get("responseMimeType") != "application/json":
        return None
    return config.get("responseSchema") or config.get("responseJsonSchema") or config.get("_responseJsonSchema") or {}


def _logprobs(said: Said, wanted: int) -> dict[str, Any]:
    chosen = [{"token": piece, "tokenId": i, "logProbability": -0.1} for i, piece in enumerate(said.pieces)]
    top = [{"candidates": [{**one, "logProbability": -0.1 - rank} for rank in range(wanted)]} for one in chosen]
    return {"avgLogprobs": -0.1, "logprobsResult": {"chosenCandidates": chosen, "topCandidates": top}}
