from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from app import domain
from app.domain import Address, Deployment, Finding, Label, LaneName, Tier
from tests.unit.policy.table import facts


def test_labels_are_an_ordered_lattice() -> None:
    assert Label.PUBLIC < Label.INTERNAL < Label.CONFIDENTIAL
    assert max(Label.INTERNAL, Label.PUBLIC) is Label.INTERNAL


@pytest.mark.parametrize("label", Label)
def test_a_label_is_read_as_it_is_written(label: Label) -> None:
    assert Label.parse(f" {str(label).title()} ") is label


def test_another_word_is_no_label() -> None:
    with pytest.raises(ValueError, match="expected public, internal or confidential"):
        Label.parse("secret")


@pytest.mark.parametrize(("host", "text"), [("example.com", "https://example.com:443"), ("::1", "https://[::1]:443")])
def test_an_address_is_written_as_a_url(host: str, text: str) -> None:
    assert str(Address("https", host, 443)) == text


def test_a_deployment_keeps_its_key_to_itself() -> None:
    deployment = Deployment(name="d", provider="p", model="m", lane=LaneName.RELAY, clearance=Label.PUBLIC, api_key="canary", params={"k": "canary"})

    assert "canary" not in repr(deployment)


def test_kinds_are_named_once() -> None:
    found = tuple(Finding(kind, Tier.HARD, "p", 0, 1) for kind in ("phone", "email", "phone"))

    assert facts(findings=found).kinds == ("email", "phone")


def is_held(cls: type[Any]) -> bool:
    """Say whether a value is frozen at run time, or by the type checker, as those are that every request makes."""
    return cls.__dataclass_params__.frozen or all(str(field.type).startswith("Final[") for field in dataclasses.fields(cls) if field.init)


def test_nobody_writes_to_a_value_but_to_the_call_that_each_request_makes() -> None:
    classes = [value for value in vars(domain).values() if isinstance(value, type) and dataclasses.is_dataclass(value)]

    assert [cls.__name__ for cls in classes if not is_held(cls)] == ["Call"]
    assert all(hasattr(cls, "__slots__") for cls in classes)


def test_facts_from_values_are_known_from_the_start() -> None:
    given = facts(prompt_tokens=7)

    assert given.known_complexity == given.complexity
    assert given.known_prompt_tokens == given.prompt_tokens == given.tokens_at_most == given.tokens_about == 7
    assert given.tokens_for(Deployment("d", "openai", "m", LaneName.RELAY, Label.PUBLIC)) == (7, False)


def test_facts_with_another_label_keep_their_measures() -> None:
    given = facts(Label.PUBLIC)

    assert dataclasses.replace(given, label=Label.CONFIDENTIAL).measures is given.measures
