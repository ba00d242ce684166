"""Bedrock's Converse API: LiteLLM builds the request, botocore signs it, the answer is read here.

LiteLLM's reader of answers counts thoughts with a tokenizer that is not the model's, and gives tools names out of a table that all requests of the process
share. Format: docs.aws.amazon.com, "Converse", "ConverseStream".

Keys and the region come from the deployment alone: botocore's signer is given them, and its search through files, variables and the metadata service
never starts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import litellm
import orjson
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.eventstream import EventStreamBuffer, ParserError
from litellm.constants import RESPONSE_FORMAT_TOOL_NAME
from litellm.litellm_core_utils.core_helpers import map_finish_reason
from litellm.llms.bedrock.chat.converse_transformation import AmazonConverseConfig

from app.domain import Capability, Failure
from app.errors import UpstreamError
from app.providers.faults import failure_in_stream
from app.providers.translate import facts
from app.providers.translate.blanks import with_a_turn
from app.providers.translate.dialect import INTERNAL_PARAMS, Outgoing, Reader, joined, unhonoured
from app.providers.translate.framing import parse_object
from app.providers.translate.pieces import Piece, Spoken, ToolPiece, as_text, usage
from app.providers.translate.schema_tool import Choice, choice_last, choice_of, downgraded
from app.providers.translate.thinking import settle_thinking, yield_thinking
from app.providers.translate.wanted import Limits
from app.utils.json import dump_json

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from app.domain import Deployment
    from app.providers.translate.wanted import Wanted

_SCHEMA_TOOL: Final[str] = RESPONSE_FORMAT_TOOL_NAME
_TUNES = frozenset({"temperature", "top_p", "max_tokens", "max_completion_tokens", "stop", "parallel_tool_calls", "reasoning_effort"})
_SHOWN_AS = {"temperature": frozenset({"temperature"}), "top_p": frozenset({"topP"}), "stop": frozenset({"stopSequences"})}
_ROUTES = ("bedrock/", "converse/", "converse_like/")  # LiteLLM's prefixes of a model's name


class BedrockDialect:
    """One Bedrock deployment."""

    def __init__(self, deployment: Deployment) -> None:
        self._deployment = deployment
        self._config = AmazonConverseConfig()
        self._model = deployment.model
        for route in _ROUTES:
            self._model = self._model.removeprefix(route)
        self._path = joined(deployment, "/model") + "/" + quote(self._model, safe="")
        self._sign = _Signer(deployment)
        supported = frozenset(self._config.get_supported_openai_params(self._model))
        self.limits = Limits(deployment.provider, facts.capabilities("bedrock", self._model), _TUNES & supported)
        self._chooses = "tool_choice" in supported or Capability.JSON_SCHEMA in self.limits.able

    def build(self, wanted: Wanted, *, stream: bool) -> Outgoing:
        """Translate and sign a request."""
        _take_renamed()  # what a request left behind that failed on the way
        with_a_turn(wanted.messages, self.limits)
        model, params = self._model, dict(wanted.params)
        dropped = yield_thinking(wanted, params) | self._settle_choice(params)
        mapped = self._config.map_openai_params(choice_last(params), {}, model, drop_params=True)
        schema_tool = _settle_schema(params, mapped)
        dropped |= unhonoured(wanted, mapped, _SHOWN_AS) | downgraded(params, mapped) | settle_thinking(mapped, max_tokens="maxTokens", top_p="topP")
        for name in INTERNAL_PARAMS:
            mapped.pop(name, None)
        data = self._config.transform_request(model=model, messages=wanted.messages, optional_params=mapped, litellm_params={}, headers={})
        path = f"{self._path}/converse-stream" if stream else f"{self._path}/converse"
        body = dump_json(data)
        return Outgoing(
            path,
            self._sign(path, body),
            body,
            schema_tool=schema_tool,
            renamed=_take_renamed(),
            dropped=frozenset(dropped),
        )

    def _settle_choice(self, params: dict[str, Any]) -> set[str]:
        """Converse cannot be told to call no tool: it is given none then."""
        choice = params.get("tool_choice")
        if choice == "none":
            for name in ("tools", "tool_choice", "parallel_tool_calls"):
                params.pop(name, None)
        elif choice not in (None, "auto") and not self._chooses:
            del params["tool_choice"]
            return {"tool_choice"}
        return set()

    def whole(self, answer: dict[str, Any]) -> Spoken:
        """Read a whole answer."""
        message = (answer.get("output") or {}).get("message")
        if not isinstance(message, dict):
            raise UpstreamError(Failure.BROKEN)
        blocks = message.get("content") or ()
        piece = Piece(
            content="".join(block.get("text") or "" for block in blocks),
            reasoning="".join(((block.get("reasoningContent") or {}).get("reasoningText") or {}).get("text") or "" for block in blocks),
            tools=tuple(_tool(number, block["toolUse"]) for number, block in enumerate(blocks) if "toolUse" in block),
            finish=map_finish_reason(answer.get("stopReason") or "stop"),
        )
        return Spoken((piece,), _usage(answer.get("usage")))

    def reader(self) -> Reader:
        """Return what reads one stream."""
        return _BedrockReader(self._deployment)


def _settle_schema(params: dict[str, Any], mapped: dict[str, Any]) -> str | None:
    """Return the name of the tool that stands for a schema, where there is one, and make the model call it."""
    if not any(tool["function"]["name"] == _SCHEMA_TOOL for tool in mapped.get("tools") or ()):
        return None
    choice = choice_of(params)
    if choice is not Choice.CALLERS:
        mapped["tool_choice"] = {"any": {}} if choice is Choice.ANY else {"tool": {"name": _SCHEMA_TOOL}}
    return _SCHEMA_TOOL


def _take_renamed() -> dict[str, str]:
    """Return which tools LiteLLM renamed since the last call, and forget them: its table is the process's, and would rename other callers' tools too."""
    table = litellm.bedrock_tool_name_mappings
    renamed = dict(table.cache_dict)
    table.flush_cache()
    return renamed


class _DailyAuth(SigV4Auth):  # type: ignore[misc]  # botocore comes without types
    """Makes the signing key once a day: it depends on nothing else that changes between requests."""

    _made: tuple[str, bytes] = ("", b"")

    def signature(self, string_to_sign: str, request: AWSRequest) -> str:
        day = request.context["timestamp"][:8]
        if self._made[0] != day:
            key = f"AWS4{self.credentials.secret_key}".encode()
            for part in (day, self._region_name, self._service_name, "aws4_request"):
                key = self._sign(key, part)
            self._made = (day, key)
        signed: str = self._sign(self._made[1], string_to_sign, hex=True)
        return signed


class _Signer:
    """Signs for AWS Signature Version 4 with the deployment's own keys, or sends Bedrock's API key."""

    def __init__(self, deployment: Deployment) -> None:
        params = deployment.params
        self._origin = str(deployment.address)
        self._bearer = deployment.api_key
        access, secret = params.get("aws_access_key_id"), params.get("aws_secret_access_key")
        region = params.get("aws_region_name") or _region(deployment)
        if (not access or not secret or not region) and self._bearer is None:
            wanted = "`aws_access_key_id`, `aws_secret_access_key` and `aws_region_name`, or `api_key`"
            raise UpstreamError(Failure.OPERATOR, remedy=f"Give deployment `{deployment.name}` {wanted}.", sent=False)
        credentials = Credentials(access, secret, params.get("aws_session_token") or None)
        self._auth = _DailyAuth(credentials, "bedrock", region) if access and secret and region else None

    def __call__(self, path: str, body: bytes) -> tuple[tuple[str, str], ...]:
        headers = {"content-type": "application/json"}
        if self._auth is None:
            return (*headers.items(), ("authorization", f"Bearer {self._bearer}"))
        request = AWSRequest(method="POST", url=self._origin + path, data=body, headers=headers)
        self._auth.add_auth(request)
        return tuple((name.lower(), value) for name, value in request.headers.items())


def _region(deployment: Deployment) -> str | None:
    """Read the region from Bedrock's own host names (`bedrock-runtime.us-east-1.amazonaws.com`)."""
    labels = deployment.address.host.split(".") if deployment.address is not None else []
    return labels[1] if len(labels) > 2 and labels[0].startswith("bedrock-runtime") else None


class _AmazonEvents:
    """Amazon's event stream: length-prefixed, checksummed messages (docs.aws.amazon.com, "Amazon event stream encoding")."""

    def __init__(self) -> None:
        self.alive = False
        self._buffer = EventStreamBuffer()

    def feed(self, data: bytes) -> Iterator[tuple[str, dict[str, Any]]]:
        """Take bytes and yield the events that they complete; an exception's kind starts with `!`."""
        self._buffer.add_data(data)
        try:
            for message in self._buffer:
                yield self._event(message)
        except ParserError:
            raise UpstreamError(Failure.BROKEN) from None

    @staticmethod
    def _event(message: Any) -> tuple[str, dict[str, Any]]:
        headers = message.headers
        if headers.get(":message-type") == "event":
            return str(headers.get(":event-type", "")), parse_object(message.payload or b"{}")
        kind = headers.get(":exception-type") or headers.get(":error-code") or ""
        return f"!{kind}", _payload(message.payload)

    def flush(self) -> Iterable[tuple[str, dict[str, Any]]]:
        """Return nothing: what is left is a message cut short, which the missing end tells."""
        return ()


def _payload(raw: bytes) -> dict[str, Any]:
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return {}
    return value if isinstance(value, dict) else {}


class _BedrockReader(Reader):
    """Ended by `messageStop` and, after it, `metadata` with the usage."""

    def __init__(self, deployment: Deployment) -> None:
        super().__init__(deployment, _AmazonEvents())
        self._stopped = False

    def event(self, kind: str, event: dict[str, Any]) -> list[Piece]:
        if kind.startswith("!"):
            raise failure_in_stream({"type": kind[1:], "message": event.get("message")}, provider="bedrock", deployment=self._deployment)
        block = int(event.get("contentBlockIndex") or 0)
        if kind == "contentBlockStart" and "toolUse" in event["start"]:
            return [Piece(tools=(_tool(block, event["start"]["toolUse"]),))]
        if kind == "contentBlockDelta":
            delta = event["delta"]
            tools = (_tool(block, delta["toolUse"]),) if "toolUse" in delta else ()
            return [Piece(content=delta.get("text") or "", reasoning=(delta.get("reasoningContent") or {}).get("text") or "", tools=tools)]
        if kind == "messageStop":
            self._stopped = True
            return [Piece(finish=map_finish_reason(event["stopReason"]))]
        if kind == "metadata":
            self.ended = self._stopped
            self.usage = _usage(event.get("usage"))
        return []


def _tool(index: int, call: dict[str, Any]) -> ToolPiece:
    return ToolPiece(index, call.get("toolUseId"), call.get("name"), as_text(call.get("input")))


def _usage(counted: dict[str, Any] | None) -> dict[str, Any] | None:
    """Read Converse's counts. `inputTokens` leaves out what was read from its cache or written to it."""
    if not counted:
        return None
    cached = int(counted.get("cacheReadInputTokens") or 0)
    prompt = int(counted.get("inputTokens") or 0) + int(counted.get("cacheWriteInputTokens") or 0) + cached
    return usage(prompt, int(counted.get("outputTokens") or 0), cached=cached)
