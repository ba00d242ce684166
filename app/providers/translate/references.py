"""How much a JSON schema grows where its references give way to what they name, as LiteLLM makes them do for providers that know none.

Ten definitions that each name the next one a few times are a kilobyte, and gigabytes then: what grows so far is refused before it is translated.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any, Final

from app.utils.json import dump_json

_MOST_BYTES: Final = 1 << 20  # of all that is put in; schemas of real tools come to some 10 KB
_DEEPEST: Final = 64  # definitions that lead from one to the next; in schemas of real tools a handful
_REFERENCE: Final = b'"$ref"'
_DEFINITIONS: Final = frozenset({"$defs", "definitions"})


def grows_too_far(schema: dict[str, Any]) -> bool:
    """Say whether so much would be put in. A name that is defined several times counts with each of its definitions.

    LiteLLM takes a root's `$defs` out first. Into any other it puts what they name while it copies them, without end where they name one another in a ring.
    """
    if dump_json(schema).count(_REFERENCE) < 2:
        return False
    definitions = _definitions(schema)
    stays = bool(_definitions({key: value for key, value in schema.items() if key != "$defs"}) or _definitions(schema.get("$defs")))
    sizes: dict[int, int] = {}  # of definitions, by identity, once they are named
    left = _MOST_BYTES
    rest: list[tuple[Any, tuple[str, ...]]] = [(schema, ())]  # with the names that led there, which are not put in again
    while rest:
        value, within = rest.pop()
        if isinstance(value, dict):
            name = str(value.get("$ref", "")).rpartition("/")[2]
            if len(within) > _DEEPEST or (stays and name in within[:-1]):
                return True
            for target in definitions.get(name, ()) if name not in within else ():
                left -= sizes.get(id(target)) or sizes.setdefault(id(target), len(dump_json(target)))
                rest.append((target, (*within, name)))
            if left < 0:
                return True
            rest.extend((item, within) for item in value.values())
        elif isinstance(value, list):
            rest.extend((item, within) for item in value)
    return False


def _definitions(schema: Any) -> dict[str, list[Any]]:
    """Return what each name stands for anywhere in a schema."""
    found: dict[str, list[Any]] = defaultdict(list)
    rest = [schema]
    while rest:
        value = rest.pop()
        if isinstance(value, dict):
            for key in _DEFINITIONS & value.keys():
                for name, target in value[key].items() if isinstance(value[key], dict) else ():
                    found[name].append(target)
            rest.extend(value.values())
        elif isinstance(value, list):
            rest.extend(value)
    return found
