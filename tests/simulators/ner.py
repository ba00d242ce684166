"""An NER server with the interface of Presidio's analyzer, `POST /analyze`; the shapes are those of its REST API ("Analyzer")."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from tests.simulators.base import Simulator, json_body
from tests.simulators.model import dumps

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.simulators.faults import Faults
    from tests.simulators.script import Body
    from tests.simulators.server import Received


class NerSimulator(Simulator):
    """Finds the words of `finds` (an entity by word), with `score`. `answers`, where it is set, is what it says in their place."""

    dialect = "presidio"

    def __init__(self, finds: Mapping[str, str] | None = None, *, tag: str | None = None) -> None:
        super().__init__(tag=tag)
        self.finds = finds or {}
        self.score = 0.85
        self.answers: Any = None

    @property
    def base_url(self) -> str:
        return f"{self.url}/analyze"

    @property
    def texts(self) -> list[str]:
        """What it was asked to read."""
        return [request.json["text"] for request in list(self.requests)]

    def answer(self, request: Received, faults: Faults) -> Body:
        del faults
        body = request.json
        if request.method != "POST" or request.path != "/analyze":
            return self.error(request, 404, "Not Found")
        if not isinstance(body, dict) or body.keys() != {"text", "language"}:
            return self.error(request, 500, "No text or language provided")
        return json_body(self._found(body["text"]) if self.answers is None else self.answers)

    def _found(self, text: str) -> list[dict[str, Any]]:
        return [
            {"analysis_explanation": None, "entity_type": entity, "start": match.start(), "end": match.end(), "score": self.score}
            for word, entity in self.finds.items()
            for match in re.finditer(re.escape(word), text)
        ]

    def error(self, _request: Received, /, status: int, message: str) -> Body:
        return json_body({"error": message}, status)

    def context_error(self, request: Received, /) -> Body:
        return self.error(request, 500, "[E088] Text of length 2000000 exceeds maximum of 1000000.")

    def user_text(self, request: Received) -> str:
        return dumps(request.json)
