"""The servers that a behaviour is asked of: the simulator always, a real Ollama where OLLAMA_BASE_URL names one."""

from __future__ import annotations

import http.client
import json
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from tests.simulators import OllamaSimulator

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

URL = os.environ.get("OLLAMA_BASE_URL", "")


@dataclass(frozen=True)
class Answer:
    status: int
    content_type: str
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def lines(self) -> list[Any]:
        """The objects of an NDJSON stream."""
        return [json.loads(line) for line in self.body.split(b"\n") if line]

    @property
    def events(self) -> list[Any]:
        """The objects of an event stream; its last word stays text."""
        found = [line.removeprefix(b"data: ").decode() for line in self.body.split(b"\n") if line]
        return [text if text == "[DONE]" else json.loads(text) for text in found]


class Ollama:
    """An Ollama that has the models `tiny` (window 2048, no tools) and `tiny-tools` (tools, `num_ctx` 512 in its Modelfile)."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._address = urlsplit(url)

    def call(self, method: str, path: str, body: Any = None) -> Answer:
        connection = http.client.HTTPConnection(self._address.hostname or "", self._address.port or 80, timeout=120)
        try:
            connection.request(method, path, body if body is None or isinstance(body, bytes) else json.dumps(body), {"content-type": "application/json"})
            answer = connection.getresponse()
            return Answer(answer.status, answer.headers.get("content-type", ""), answer.read(), dict(answer.headers))
        finally:
            connection.close()

    def get(self, path: str) -> Answer:
        return self.call("GET", path)

    def post(self, path: str, body: Any) -> Answer:
        return self.call("POST", path, body)

    def chat(self, text: str = "hello there", *, model: str = "tiny", stream: bool = False, options: Any = None, **more: Any) -> Answer:
        body = {"model": model, "messages": [{"role": "user", "content": text}], "stream": stream, "options": {"num_predict": 3, "seed": 1, **(options or {})}}
        return self.post("/api/chat", {**body, **more})

    def completion(self, content: Any = "hello there", *, model: str = "tiny", **more: Any) -> Answer:
        body = {"model": model, "messages": [{"role": "user", "content": content}], "max_tokens": 3, "seed": 1}
        return self.post("/v1/chat/completions", {**body, **more})


@pytest.fixture(params=["simulator", *([pytest.param("real", marks=pytest.mark.live)] if URL else [])])
def ollama(request: pytest.FixtureRequest) -> Iterator[Ollama]:
    if request.param == "real":
        yield Ollama(URL)
        return
    with OllamaSimulator() as simulator:
        yield Ollama(simulator.url)
