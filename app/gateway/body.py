"""Reads a chat body once: JSON that no other reader can take for something else, then types and ranges, with OpenAI's own messages and codes.

Go's servers (Ollama is one) match keys without regard to case and fold Unicode (U+017F is an s to them); every JSON parser takes the
last of two equal keys. Both would let a body say one thing to the scanner and another to the provider, so both are refused.
"""

from __future__ import annotations

import math
import re
import unicodedata
from typing import TYPE_CHECKING, Any, cast

import jiter

from app.errors import InvalidRequestError as Invalid
from app.gateway.body_rules import FIELDS, NESTED, ROLES, STEERING, check_messages

if TYPE_CHECKING:
    from collections.abc import Mapping


# Parsing a million lists takes half a second that nothing can interrupt.
_MAX_CONTAINERS = 1_000_000
_COUNT_ABOVE_BYTES = 1024 * 1024

_SHAPES = [(name, name) for name in FIELDS if name in NESTED]
_SPEAKERS = ROLES - {"tool"}  # whose messages need no more than a text
_SETTINGS = frozenset({str, int, float, bool, type(None)})
_INFINITE = frozenset({math.inf, -math.inf})


def read_chat_body(raw: bytes) -> dict[str, Any]:
    """Return the body as parsed JSON. Raises InvalidRequestError naming the field in `param`."""
    body: dict[str, Any] = parse_json(raw)
    if not _is_plain(body):
        check_body(body)
    elif len(body) > 2:
        for name, value in body.items():
            if value is not None:
                FIELDS[name](value, name)
    return body


def _is_plain(body: Any) -> bool:
    """Say whether a body is of the kind that most are: a model, messages of a role and a text, and published settings of one value each.

    All that `check_body` asks of such a body beside this are the values of its settings.
    """
    if type(body) is not dict:
        return False
    model, messages = body.get("model"), body.get("messages")
    if type(model) is not str or not model.strip() or type(messages) is not list or not messages:
        return False
    for message in messages:
        if type(message) is not dict or len(message) != 2 or type(message.get("content")) is not str:
            return False
        role = message.get("role")
        if type(role) is not str or role not in _SPEAKERS:
            return False
    return len(body) == 2 or all(
        name in FIELDS and type(value) in _SETTINGS and value not in _INFINITE for name, value in body.items() if value is not messages
    )


def check_body(body: Any) -> None:
    """Check any body. Raises InvalidRequestError."""
    if _holds_infinity(body):
        raise Invalid("The JSON body holds a number that is too large.", code="invalid_json")
    if not isinstance(body, dict):
        raise Invalid("We could not parse the JSON body of your request: expected a JSON object.", code="invalid_json")
    _refuse_lookalikes(body)
    steering = STEERING.intersection(map(_plain, body.keys() - FIELDS.keys()))
    if steering:
        name = min(steering)
        raise Invalid(f"The field '{name}' steers a gateway and is not accepted from callers.", param=name, code="field_not_allowed")
    for name in ("model", "messages"):
        if body.get(name) is None:
            raise Invalid(f"Missing required parameter: '{name}'.", param=name, code="missing_required_parameter")
    for name, value in body.items():
        check = FIELDS.get(name)
        if check is not None and value is not None:
            check(value, name)
    if body.get("stream_options") is not None and not body.get("stream"):
        raise Invalid("The 'stream_options' parameter is only allowed when 'stream' is enabled.", param="stream_options")
    check_messages(body["messages"])


def parse_json(raw: bytes) -> Any:
    """Return parsed JSON, refusing what two readers can read differently: duplicate keys, NaN, lone surrogates, bytes that are not UTF-8."""
    if len(raw) > _COUNT_ABOVE_BYTES and raw.count(b"[") + raw.count(b"{") > _MAX_CONTAINERS:
        raise Invalid("The JSON body holds too many arrays and objects: send less.", code="invalid_json")
    try:
        return jiter.from_json(raw, allow_inf_nan=False, catch_duplicate_keys=True, cache_mode="keys")
    except ValueError as exc:
        if not raw or raw.isspace():
            raise Invalid("The body is empty: send a JSON object.", code="invalid_json") from None
        where = re.search(r"at line (\d+) column (\d+)$", str(exc))
        place = f" (line {where[1]}, column {where[2]})" if where else ""
        if "duplicate key" in str(exc):
            raise Invalid(f"The JSON body holds the same key twice{place}.", code="duplicate_key") from None
        raise Invalid(f"We could not parse the JSON body of your request{place}: it must be valid JSON in UTF-8.", code="invalid_json") from None


def _holds_infinity(value: Any) -> bool:
    """Say whether a number was too large for a float (1e400): it would be written out as null."""
    rest = [value]
    while rest:
        item = rest.pop()
        kind = type(item)
        if kind is dict:
            rest.extend(item.values())
        elif kind is list:
            rest.extend(item)
        elif kind is float and math.isinf(item):
            return True
    return False


def _plain(name: str) -> str:
    """Return a key as a reader takes it that folds case and Unicode's forms."""
    return unicodedata.normalize("NFKC", name.casefold()).casefold()


def _refuse_lookalikes(body: dict[str, Any]) -> None:
    if body.keys() <= FIELDS.keys() and all(_has_known_keys(body[name], shape) for name, shape in _SHAPES if name in body):
        return  # nearly always; what follows knows the path to a key that is not known
    _compare_keys(body, FIELDS, "")
    rest: list[tuple[str, str, Any]] = [(name, name, value) for name, value in body.items() if name in NESTED]
    while rest:
        shape, path, value = rest.pop()
        if isinstance(value, list):
            rest.extend((shape, f"{path}[{index}]", item) for index, item in enumerate(value))
        elif isinstance(value, dict):
            known = NESTED[shape]
            _compare_keys(value, known, f"{path}.")
            rest.extend((known[name], f"{path}.{name}", item) for name, item in value.items() if known.get(name))


def _has_known_keys(value: Any, shape: str) -> bool:
    """Say whether every key is one that OpenAI's schema has there."""
    if type(value) is list:
        for item in value:
            if type(item) is not str and not _has_known_keys(item, shape):
                return False
    elif type(value) is dict:
        known = NESTED[shape]
        for name, item in value.items():
            if name not in known:
                return False
            below = known[name]
            if below and type(item) is not str and not _has_known_keys(item, below):
                return False
    return True


def _compare_keys(found: Mapping[str, Any], known: Mapping[str, Any], path: str) -> None:
    for name in found.keys() - known.keys():
        folded = _plain(name)
        if folded in known:
            message = f"A key differs from '{path}{folded}' only by case or Unicode form, which some providers read as the same: write '{folded}'."
            raise Invalid(message, param=f"{path}{folded}", code="ambiguous_key")


def take_sensitivity(body: dict[str, Any]) -> str | None:
    """Remove the gateway's own field `metadata.sensitivity` from the body, and `metadata` with it where nothing is left. Return its value."""
    metadata = body.get("metadata")
    if not isinstance(metadata, dict) or "sensitivity" not in metadata:
        return None
    kept = {name: value for name, value in metadata.items() if name != "sensitivity"}
    if kept:
        body["metadata"] = kept
    else:
        del body["metadata"]
    return cast("str", metadata["sensitivity"])
