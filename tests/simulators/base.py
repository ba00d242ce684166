"""What every dialect shares: whose turn it is, which faults hold, and how errors that are in no dialect look."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from tests.simulators.faults import Faults, parse
from tests.simulators.model import Ask, Said, dumps, speak
from tests.simulators.script import Body, Part, Stream, perform
from tests.simulators.server import Received, Server

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.simulators.script import Headers, Step

PAGE = b"<html>\r\n<head><title>%d</title></head>\r\n<body><center><h1>%d</h1></center><hr><center>nginx</center></body>\r\n</html>\r\n"

_FAILURES = ("status", "echo", "html", "text", "detail", "empty", "redirect")
_LOCATED = [{"type": "missing", "loc": ["body", "messages"], "msg": "Field required", "input": {}}]  # as FastAPI tells a field that is missing


@dataclass(frozen=True, slots=True)
class Refusal(Exception):  # noqa: N818 - it is an answer, raised to leave a parser
    """The request is wrong: what the provider would answer."""

    answer: Body


def json_body(value: Any, status: int = 200, headers: Headers = ()) -> Body:
    return Body(dumps(value).encode(), status, headers)


class Simulator(Server):
    """One provider.

    `tag` is what its answers begin with. `fault` overrides what models' names ask for; `says` replaces the echo; `api_key`, when given, is demanded.
    """

    dialect: ClassVar[str]

    def __init__(self, *, tag: str | None = None, port: int = 0, api_key: str | None = None, log: Callable[[str], None] | None = None) -> None:
        super().__init__(port=port)
        self.tag = self.dialect if tag is None else tag
        self.fault: str | None = None
        self.says: str | None = None
        self.api_key = api_key
        self.redirect_to = "http://127.0.0.1:9/elsewhere"
        self._log = log
        self._count = 0
        self._asked: dict[str, int] = {}

    @property
    def base_url(self) -> str:
        """Return what a client of this dialect is given for an address."""
        raise NotImplementedError

    def model_of(self, request: Received) -> str:
        """Return the model that a request names, as it names it; empty where it names none."""
        body = request.json
        model = body.get("model", "") if isinstance(body, dict) else ""
        return model if isinstance(model, str) else ""

    def answer(self, request: Received, faults: Faults) -> Body | Stream:
        """Return the dialect's answer. Raises Refusal."""
        raise NotImplementedError

    def error(self, request: Received, /, status: int, message: str) -> Body:
        """Return the dialect's error body."""
        raise NotImplementedError

    def context_error(self, request: Received, /) -> Body:
        """Return the dialect's refusal of a prompt that is too long."""
        raise NotImplementedError

    def user_text(self, request: Received) -> str:
        """Return the last user text for `echo-N`, whatever else the request is."""
        raise NotImplementedError

    @property
    def authorized_by(self) -> str:
        """Return the value that `authorization` must have when a key is demanded."""
        return f"Bearer {self.api_key}"

    def speak(self, ask: Ask, faults: Faults, choice: int = 0) -> Said:
        return speak(ask, tag=self.tag, faults=faults, choice=choice, says=self.says)

    def next_id(self) -> str:
        """Return an id that this simulator has not used, the same in every run."""
        self._count += 1
        return f"{self.tag}{self._count:06d}"

    def greet(self) -> list[Step]:
        return perform(Body(b""), parse(self.fault)) if self.fault is not None and "refuse" in parse(self.fault) else []

    def respond(self, request: Received) -> list[Step]:
        faults = self._faults(request)
        try:
            answer = self._failed(request, faults) or self.answer(request, faults)
        except Refusal as refusal:
            answer = refusal.answer
        if self._log is not None:
            status = answer.status if isinstance(answer, Body) else 200
            self._log(f"{self.tag} {request.method} {request.path} {self.model_of(request) or '-'} {status} {' '.join(faults.by_name) or 'ok'}")
        steps = perform(answer, faults)
        return [step for step in steps if not isinstance(step, Part)] if request.method == "HEAD" else steps

    def _faults(self, request: Received) -> Faults:
        if request.path == "/api/tags":
            return Faults()  # they befall answers
        model = self.model_of(request)
        faults = parse(model if self.fault is None else self.fault)
        if (limit := faults.get("times")) is not None:
            asked = self._asked[model] = self._asked.get(model, 0) + 1
            if asked > limit:
                return Faults()
        return faults

    def _failed(self, request: Received, faults: Faults) -> Body | None:
        """Return the error that the faults ask for in place of an answer."""
        if "context" in faults:
            return self.context_error(request)
        kind = next((kind for kind in _FAILURES if kind in faults), None)
        if kind is None:
            return None
        status = faults[kind]
        match kind:
            case "status":
                body = self.error(request, status, f"simulated {status} from {self.tag}")
                answer = Body(body.content, body.status, body.headers + faults.retry_headers, body.content_type)
            case "echo":
                answer = self.error(request, status, f"simulated {status}: {self.user_text(request)}")
            case "html":
                answer = Body(PAGE % (status, status), status, (), "text/html")
            case "text":
                answer = Body(b"upstream connect error or disconnect/reset before headers", status, (), "text/plain")
            case "detail":
                answer = json_body({"detail": _LOCATED if status == 422 else f"simulated {status} from {self.tag}"}, status)
            case "empty":
                answer = Body(b"", status)
            case _:
                answer = Body(b"", status, (("location", self.redirect_to),))
        return answer
