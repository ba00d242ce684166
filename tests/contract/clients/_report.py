"""What the client scripts share: run every scenario against the address given, print what the SDK made of it as one JSON object."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

SCENARIOS: dict[str, Callable[[], Any]] = {}
SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
    "required": ["city", "days"],
    "additionalProperties": False,
}


def scenario(function: Callable[[], Any]) -> Callable[[], Any]:
    SCENARIOS[function.__name__] = function
    return function


def fault(call: Callable[[], Any], *fields: str) -> dict[str, Any]:
    """Return the class of what `call` raises, its bases and the fields named; `None` for the class where it raises nothing."""
    try:
        call()
    except Exception as exc:  # noqa: BLE001 - which class it is, is the finding
        found = {name: getattr(exc, name, None) for name in fields}
        return {"class": type(exc).__name__, "bases": [base.__name__ for base in type(exc).__mro__], **found}
    return {"class": None}


def run() -> None:
    """Print `{scenario: result}`; arguments after the address choose scenarios."""
    wanted = sys.argv[2:] or list(SCENARIOS)
    sys.stdout.write(json.dumps({name: SCENARIOS[name]() for name in wanted}))
