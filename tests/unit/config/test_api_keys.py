from __future__ import annotations

import pytest

from app.config.api_keys import parse_api_keys
from app.config.faults import ConfigError
from app.domain import Label


def test_a_bare_key_is_named_after_its_place_and_cleared_for_everything() -> None:
    (key,) = parse_api_keys("secret-1")

    assert (key.name, key.clearance, key.secret.get_secret_value()) == ("key-1", Label.CONFIDENTIAL, "secret-1")


def test_a_key_can_have_a_name_and_a_clearance() -> None:
    keys = parse_api_keys("ann:k1, bob:internal:k2 ,")

    assert [(key.name, key.clearance, key.secret.get_secret_value()) for key in keys] == [
        ("ann", Label.CONFIDENTIAL, "k1"),
        ("bob", Label.INTERNAL, "k2"),
    ]


def test_a_key_with_name_and_clearance_may_hold_colons() -> None:
    assert parse_api_keys("bob:public:a:b:c")[0].secret.get_secret_value() == "a:b:c"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("ann:k1,ann:k2", "entries 1 and 2 have the same name"),
        ("ann:hush,bob:hush", "entries 1 and 2 are the same key"),
        ("k1,key-1:k2", "entries 1 and 2 have the same name"),
        ("ann:hush:k1", "entry 1 has an unknown clearance"),
        ("ann:", "entry 1 has a key that is empty"),
        ("ann:public:", "entry 1 has a key that is empty"),
        ("k1,ann:hush hush", "entry 2 has a key that is empty or holds a space"),
        ("höhö", "outside ASCII"),
        ("a b:k", "entry 1 has a name that is not"),
        (":k", "entry 1 has a name that is not"),
        ("confidential:k", "entry 1 starts with a label where a name belongs"),
    ],
)
def test_what_is_no_key_is_refused_by_its_place_and_without_its_value(text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        parse_api_keys(text)

    assert "GATEWAY_API_KEYS" in str(caught.value)
    assert "hush" not in str(caught.value)


def test_a_key_does_not_show_itself() -> None:
    assert "hush" not in repr(parse_api_keys("ann:hush"))
