from __future__ import annotations

import random
import re
import string
from typing import TYPE_CHECKING, Any

import pytest

from app.policy.sensitivity.services import TOKENS

if TYPE_CHECKING:
    from collections.abc import Callable

_PRINTABLE = list(string.ascii_letters + string.digits + "_-./+=~?&|%")


def example(expression: str, chance: random.Random) -> str:
    """Return a text that an expression matches; the expressions here use classes, groups and bounded repeats."""
    return "".join(_write(re._parser.parse(expression), chance))  # type: ignore[attr-defined]


def _write(parsed: Any, chance: random.Random) -> list[str]:
    written: list[str] = []
    for name, argument in parsed:
        kind = str(name)
        if kind == "LITERAL":
            written.append(chr(argument))
        elif kind == "IN":
            written.append(chance.choice([char for char in _PRINTABLE if re.fullmatch(_class(argument), char)]))
        elif kind == "MAX_REPEAT":
            low, high, inner = argument
            count = chance.randint(low, min(int(high), low + 8))
            written.extend(piece for _ in range(count) for piece in _write(inner, chance))
        elif kind == "SUBPATTERN":
            written.extend(_write(argument[3], chance))
        elif kind == "BRANCH":
            written.extend(_write(chance.choice(argument[1]), chance))
        else:
            raise AssertionError(kind)
    return written


def _class(argument: Any) -> str:
    pieces = []
    for name, value in argument:
        kind = str(name)
        pieces.append(re.escape(chr(value)) if kind == "LITERAL" else f"{chr(value[0])}-{chr(value[1])}" if kind == "RANGE" else r"\d")
    return f"[{''.join(pieces)}]"


@pytest.mark.parametrize("service", TOKENS)
def test_a_token_of_every_service_is_found(spot: Callable[[str], set[tuple[str, str, str]]], service: str) -> None:
    chance = random.Random(service)  # noqa: S311 examples, not keys

    for _ in range(5):
        token = example(TOKENS[service], chance)
        assert {"hard"} == {tier for kind, tier, _ in spot(f"Use `{token}` to log in.") if kind == "api_key"}, token


@pytest.mark.parametrize(
    "text",
    [
        "sk-xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
        "AKIAIOSFODNN7EXAMPLE",
        "ghp_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        "Xico-7a388b69018576d24b59331fd60aab0c",
        "fc-7a388b69018576d24b59331fd60aab0c.png",
        "task-manager-service-configuration-loader",
    ],
)
def test_fillers_and_look_alikes_are_none(spot: Callable[[str], set[tuple[str, str, str]]], text: str) -> None:
    assert not {kind for kind, _, _ in spot(text)} & {"api_key", "secret"}


def test_there_are_tokens_of_more_than_sixty_services() -> None:
    assert len(TOKENS) > 60


@pytest.mark.parametrize("before", ["key_", "key-", "key", "KEY2"])
@pytest.mark.parametrize("token", ["sk-proj-Zq7Rt2Lw9Xk4Vb6NZq7Rt2Lw9Xk4", "ghp_Zq7Rt2Lw9Xk4Vb6NZq7Rt2Lw9Xk4Vb6NZq7R"])
def test_a_token_that_no_word_ends_in_is_found_behind_letters(spot: Callable[[str], set[tuple[str, str, str]]], before: str, token: str) -> None:
    assert ("api_key", "hard", token) in spot(f"see {before}{token} here")


def test_a_token_that_a_word_may_end_in_is_not(spot: Callable[[str], set[tuple[str, str, str]]]) -> None:
    assert spot("see desk-Zq7Rt2Lw9Xk4Vb6NZq7Rt2Lw9Xk4Vb6N here") == set()
