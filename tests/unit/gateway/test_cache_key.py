from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain import Attempt, Label, Plan
from app.gateway.cache_key import PlanIds, cache_key
from tests.unit.policy.table import deployment

if TYPE_CHECKING:
    from collections.abc import Callable

SECRET = b"0123456789abcdef"
PUBLIC = Label.PUBLIC
BODY = {"model": "auto", "messages": [{"role": "user", "content": "hi"}], "temperature": 0.5}

# Few and easily confused, so that equal and nearly equal values are drawn often.
NUMBERS = [None, True, False, 0, 1, -1, 0.0, -0.0, 1.0, 1e300, 2**63, 2**64, 2**70, 2**70 + 1, float(2**70)]
TEXTS = [
    "",
    "0",
    "1",
    "1.0",
    "true",
    "null",
    "NaN",
    "a",
    "[]",
    '","',
    "\\",
    "\x00",
    "é",
    "\N{COMBINING ACUTE ACCENT}e",
    "\U00010000",
    "\ud800\udc00",
    "\ud800",
    "\ud801",
]
SCALARS = st.sampled_from([*NUMBERS, *TEXTS])
KEYS = st.sampled_from(["", "a", "b", "1", "null", '"', "é", "\ud800"])
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3), max_leaves=6)
BODIES = st.dictionaries(KEYS, VALUES, max_size=3)


def key(*, secret: bytes = SECRET, tenant: str = "acme", plan_id: str = "cheap:a,b", body: Any = None, headers: Any = ()) -> bytes:
    return cache_key(secret, tenant=tenant, plan_id=plan_id, body=BODY if body is None else body, headers=headers)


def shape(value: Any) -> Any:
    """What a value is, with its types, whatever the order of keys."""
    if isinstance(value, dict):
        return ("object", frozenset((name, shape(item)) for name, item in value.items()))
    if isinstance(value, list):
        return ("array", tuple(shape(item) for item in value))
    return (type(value).__name__, repr(value))


def turned(value: Any) -> Any:
    """The same value, its objects' keys in the opposite order."""
    if isinstance(value, dict):
        return {name: turned(value[name]) for name in reversed(value)}
    if isinstance(value, list):
        return [turned(item) for item in value]
    return value


@pytest.mark.parametrize("wrap", [lambda value: value, lambda value: [value], lambda value: (None, value), lambda value: {"a": [{"b": value}]}])
def test_values_that_are_easily_confused_all_have_keys_of_their_own(wrap: Callable[[Any], Any]) -> None:
    values: list[Any] = [*NUMBERS, *TEXTS, [], {}, [[]], [None], {"a": None}]

    assert len({key(body={"x": wrap(value)}) for value in values}) == len(values)


@given(BODIES, BODIES)
def test_two_bodies_share_a_key_only_when_they_are_the_same_json(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert (key(body=one) == key(body=other)) == (shape(one) == shape(other))


@given(BODIES)
def test_the_order_of_an_objects_keys_does_not_count(body: dict[str, Any]) -> None:
    assert key(body=turned(body)) == key(body=body)


@given(st.dictionaries(st.text(), st.none() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(), min_size=1), st.data())
def test_changing_adding_or_removing_any_field_changes_the_key(body: dict[str, Any], data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(body)))
    changed = body | {name: [body[name]]}
    removed = {other: value for other, value in body.items() if other != name}
    added = body | {"".join(body) + "+": None}

    assert len({key(body=each) for each in (body, changed, removed, added)}) == 4


@pytest.mark.parametrize(
    "other",
    [
        {"secret": b"another secret.."},
        {"tenant": "acm"},
        {"tenant": "acme,cheap:a", "plan_id": "b"},
        {"plan_id": "cheap:b,a"},
        {"headers": [("openai-beta", "x")]},
        {"body": BODY | {"stream": True}},
        {"body": BODY | {"stream": False}},
    ],
)
def test_everything_that_could_change_the_answer_counts(other: dict[str, Any]) -> None:
    assert key(**other) != key()


@given(st.text(max_size=4), st.text(max_size=4), st.text(max_size=4), st.text(max_size=4))
def test_text_cannot_move_from_one_part_to_another(tenant: str, plan_id: str, name: str, value: str) -> None:
    parts = {
        (tenant, plan_id, ((name, value),)),
        (plan_id, tenant, ((name, value),)),
        (tenant, plan_id, ((value, name),)),
        (tenant + plan_id, "", ((name, value),)),
    }

    assert len({key(tenant=one, plan_id=two, headers=three) for one, two, three in parts}) == len(parts)


@given(st.lists(st.tuples(st.sampled_from(["a", "b"]), st.sampled_from(["1", "2"])), max_size=3), st.lists(st.tuples(st.just("a"), st.just("1")), max_size=3))
def test_every_header_counts_as_often_as_it_is_sent(one: list[tuple[str, str]], other: list[tuple[str, str]]) -> None:
    assert (key(headers=one) == key(headers=other)) == (one == other)


def test_a_key_is_the_keyed_hash_of_canonical_json_so_that_replicas_agree() -> None:
    text = b'["acme","cheap:a,b",[["openai-beta","x"]],{"messages":[{"content":"hi","role":"user"}],"model":"auto","temperature":0.5}]'

    assert key(headers=[("openai-beta", "x")]) == hashlib.blake2b(b"\x00" + text, key=SECRET, digest_size=32, person=b"sluice/cache/2").digest()


def test_a_key_is_32_bytes_and_an_empty_secret_is_refused() -> None:
    assert len(key()) == 32
    with pytest.raises(ValueError, match="secret"):
        key(secret=b"")


def test_the_body_is_not_changed() -> None:
    body = {"b": [1, {"z": 1, "a": 2}], "a": None}
    cache_key(SECRET, tenant="t", plan_id="p", body=body, headers=())

    assert list(body) == ["b", "a"]
    assert body == {"b": [1, {"z": 1, "a": 2}], "a": None}


def test_a_long_secret_counts_whole() -> None:
    secrets = [b"k" * 64, b"k" * 65, b"k" * 65 + b"l", b"k" * 200]

    assert len({key(secret=secret) for secret in secrets}) == len(secrets)


def test_a_plan_is_spelled_once_and_plans_of_the_same_deployments_alike() -> None:
    ids = PlanIds()
    plan, equal = (Plan("rule", "pool", (Attempt(deployment("a"), ""), Attempt(deployment("b"), ""))) for _ in range(2))
    turned = Plan("rule", "pool", plan.attempts[::-1])

    assert ids.of(plan, PUBLIC) is ids.of(plan, PUBLIC)
    assert ids.of(plan, PUBLIC) == ids.of(equal, PUBLIC) != ids.of(turned, PUBLIC)


def test_labels_are_kept_apart_whatever_the_plan() -> None:
    ids = PlanIds()
    plan = Plan("rule", "pool", (Attempt(deployment("a"), ""),))

    assert [ids.of(plan, label) == ids.of(plan, PUBLIC) for label in (*Label, *Label)] == [True, False, False] * 2


def test_whoever_was_drawn_of_a_pool_has_the_same_id_but_not_another_arm() -> None:
    ids = PlanIds()
    plan = Plan("rule", "pool", (Attempt(deployment("a"), ""), Attempt(deployment("b"), "")), choice="weighted")

    assert ids.of(plan, PUBLIC) == ids.of(replace(plan, attempts=plan.attempts[::-1]), PUBLIC)
    assert ids.of(plan, PUBLIC) != ids.of(replace(plan, arm="x/new"), PUBLIC)


def test_so_many_plans_are_kept_and_no_more() -> None:
    ids = PlanIds(limit=3)
    plans = [Plan("rule", str(number), (Attempt(deployment("a"), ""),)) for number in range(10)]

    for plan in plans:
        ids.of(plan, PUBLIC)

    assert 0 < len(ids) <= 3
