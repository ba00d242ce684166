from __future__ import annotations

import re

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from app.config import yaml_words
from app.config.yaml_words import in_words

WORD = "swordfish"


def _said(text: str) -> tuple[int, str]:
    with pytest.raises(yaml.MarkedYAMLError) as caught:
        yaml.compose(text, Loader=yaml.SafeLoader)
    return in_words(caught.value)


@pytest.mark.parametrize(
    ("text", "line", "sentence"),
    [
        ("a: {b: 1\nc: 2\n", 2, "expected `,` or `}`, for the bracket of line 1 is still open"),
        ("a: [1\nb: 2\n", 2, "expected `,` or `]`, for the bracket of line 1 is still open"),
        ("a: {b: ${NAME}}\n", 1, 'expected `,` or `}`, for the bracket of line 1 is still open; within brackets "${NAME}" stands in quotes'),
        ('x: 1\na: "b\nc: 2\n', 2, "a quote is opened here and never closed"),
        ("a:\n\tb: 2\n", 2, "found a tab, where spaces must stand"),
        ("a: b: c", 1, "a `:` stands where none can; put a value that holds `: ` in quotes, and indent keys alike"),
        ("a: 1\nb\nc: 2\n", 2, "expected `:` after a key"),
        ("a: [\n", 2, "the file ends where a value or a closing bracket belongs"),
        ("a: @b", 1, "a value cannot start with `@`; put it in quotes"),
        ("a: *b", 1, "`*` names an anchor that is not there; put a value that starts with `*` in quotes"),
        ("a: 1\n--- b", 2, "a second document starts here; leave the `---` out"),
        ("%YAML 2.0\n---\na", 1, "it cannot be read from here on"),
    ],
)
def test_a_fault_of_yaml_is_said_with_its_line_and_what_belongs_there(text: str, line: int, sentence: str) -> None:
    assert _said(text) == (line, sentence)


@given(st.text("{}[]:,-?!&*|>'\"%@`\\\t\n #0<=~^" + WORD[0], max_size=12), st.text("{}[]:,-?!&*|>'\"%@`\\\t\n #0<=~^", max_size=6))
def test_no_sentence_holds_a_word_of_the_file(before: str, after: str) -> None:
    try:
        yaml.compose(f"{before}{WORD}{after}", Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        _, sentence = in_words(error)

        assert re.sub(r"line \d+", "", sentence.partition(", for the bracket")[0]) in {
            *yaml_words._SENTENCES.values(),
            "a quote is opened here and never closed",
            "it cannot be read from here on",
        }
