from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from app.policy.walk import Walk

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12),
    lambda children: st.lists(children, max_size=4) | st.dictionaries(st.text(max_size=6), children, max_size=4),
)


@given(JSON)
def test_every_text_of_any_value_is_taken_down(value: object) -> None:
    walk = Walk()
    walk.add([value, "a planted text"], "")

    assert "a planted text" in {scalar.text for scalar in walk.scalars}


def test_deep_nesting_is_walked_without_recursion() -> None:
    value: object = "the deepest"
    for _ in range(5_000):
        value = [value]
    walk = Walk()

    walk.add(value, "x")

    assert walk.scalars[0].text == "the deepest"
