from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain import Capability
from app.policy.collect import _walked, collect

if TYPE_CHECKING:
    from app.policy.collect import Collected


def said(content: Any, role: str = "user") -> dict[str, Any]:
    return {"messages": [{"role": role, "content": content}]}


def positions(collected: Collected) -> dict[str, str]:
    return {scalar.position: scalar.text for scalar in collected.scalars}


def test_a_plain_content_is_one_scalar_at_its_position() -> None:
    collected = collect(said("How are you?"))

    assert positions(collected) == {"messages[0].content": "How are you?"}


def test_every_text_of_a_request_is_collected_with_its_position() -> None:
    body = {
        "model": "m0",
        "messages": [
            {"role": "user", "name": "n1", "content": [{"type": "text", "text": "t1"}, "t2"]},
            {
                "role": "assistant",
                "content": None,
                "refusal": "r1",
                "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "f1", "arguments": '{"a": "v1"}'}}],
            },
            {"role": "tool", "tool_call_id": "c1", "content": "o1"},
        ],
        "tools": [
            {"type": "function", "function": {"name": "f1", "description": "d1", "parameters": {"properties": {"p1": {"enum": ["e1"], "default": "x1"}}}}}
        ],
        "metadata": {"k1": "m1"},
        "user": "u1",
        "stop": ["s1", "s2"],
        "prediction": {"type": "content", "content": "p2"},
        "logit_bias": {"50256": -100},
    }

    assert positions(collect(body)) == {
        "model": "m0",
        "messages[0].name": "n1",
        "messages[0].content[0].text": "t1",
        "messages[0].content[1]": "t2",
        "messages[1].refusal": "r1",
        "messages[1].tool_calls[0].id": "c1",
        "messages[1].tool_calls[0].function.name": "f1",
        "messages[1].tool_calls[0].function.arguments": '{"a": "v1"}',
        "messages[2].tool_call_id": "c1",
        "messages[2].content": "o1",
        "tools[0].function.name": "f1",
        "tools[0].function.description": "d1",
        "tools[0].function.parameters.properties.{0}": "p1",
        "tools[0].function.parameters.properties.{0}.enum[0]": "e1",
        "tools[0].function.parameters.properties.{0}.default": "x1",
        "metadata.{0}": "m1",
        "user": "u1",
        "stop[0]": "s1",
        "stop[1]": "s2",
        "prediction.content": "p2",
        "logit_bias.{0}": "50256",
    }


def test_a_key_that_is_not_openais_is_a_scalar_and_never_part_of_a_position() -> None:
    collected = collect({"jane@acme.test": {"deep": 1}})

    assert [(scalar.position, scalar.text) for scalar in collected.scalars] == [("{0}", "jane@acme.test"), ("{0}.{0}", "deep")]


def test_words_of_the_schema_are_not_scanned() -> None:
    assert collect(said([{"type": "text", "text": ""}])).scalars == ()


def test_long_numbers_are_texts_as_they_were_written() -> None:
    collected = collect({"seed": 4111111111111111, "temperature": 0.7, "n": 12, "store": True, "user": None, "top_p": 0.123456789})

    assert positions(collected) == {"seed": "4111111111111111", "top_p": "0.123456789"}


def test_json_with_escapes_in_a_string_is_looked_into() -> None:
    collected = collect({"user": '{"a\\n": ["x\\u0040y", 1234567890.50], "b": null}'})

    assert [scalar.text for scalar in collected.scalars][1:] == ["a\n", "b", "x@y", "1234567890.50"]


@pytest.mark.parametrize("text", ['{"a\\n": }', "[" * 100_000 + '"\\n"'])
def test_text_that_only_looks_like_json_is_text(text: str) -> None:
    assert [scalar.text for scalar in collect({"user": text}).scalars] == [text]


def test_json_within_json_is_looked_into_three_deep() -> None:
    text = "a\nb"
    for _ in range(5):
        text = json.dumps({"q": text})

    scalars = [scalar.text for scalar in collect({"user": text}).scalars]

    assert [scalar.count("\\") for scalar in scalars if scalar != "q"] == [scalar.count("\\") for scalar in _unwrapped(text, 3)]


def _unwrapped(text: str, times: int) -> list[str]:
    texts = [text]
    for _ in range(times):
        texts.append(json.loads(texts[-1])["q"])
    return texts


def test_a_list_of_small_integers_is_read_as_bytes_too() -> None:
    collected = collect({"data": list(b"jane@acme.test")})

    assert "jane@acme.test" in {scalar.text for scalar in collected.scalars}
    assert collected.unscannable == ()


def test_a_list_of_small_integers_is_read_as_tokens_of_one_character_too() -> None:
    collected = collect({"prompt": [code - 33 for code in b"jane@acme.test"]})

    assert "jane@acme.test" in {scalar.text for scalar in collected.scalars}
    assert collected.unscannable == ("tokens",)


@pytest.mark.parametrize("kinds", [(int, int), (float, float), (int, float), (float, int)])
def test_a_list_of_digits_is_read_as_a_number_too(kinds: tuple[type, type]) -> None:
    collected = collect({"data": [kinds[index % 2](digit) for index, digit in enumerate("4111111111111111")]})

    assert "4111111111111111" in {scalar.text for scalar in collected.scalars}


@pytest.mark.parametrize("value", [4.5, float("nan"), float("inf"), True, "4"])
def test_a_list_with_anything_else_is_none(value: object) -> None:
    assert "411111111" not in {scalar.text for scalar in collect({"data": [4.0, 1, 1, 1, 1, 1, 1, 1, 1, value]}).scalars}


def test_bytes_under_their_numbers_are_read_as_bytes_too() -> None:
    collected = collect({"data": {str(index): code for index, code in enumerate(b"jane@acme.test")}})

    assert "jane@acme.test" in {scalar.text for scalar in collected.scalars}


@pytest.mark.parametrize("last", [{"x": 1}, {"8": 256}, {"8": -1}, {"8": True}, {"8": 1.0}])
def test_small_integers_under_other_keys_are_figures(last: dict[str, Any]) -> None:
    assert collect({"data": {str(index): 106 for index in range(8)} | last}).unscannable == ()


def test_integers_in_a_schema_are_no_tokens() -> None:
    assert collect({"tools": [{"enum": [1, 2, 3, 4, 5, 6, 7, 8, 9]}]}).unscannable == ()


def test_a_list_of_other_integers_is_no_text() -> None:
    assert collect({"data": [1, 2, 3, 4, 5, 6, 7, 256]}).scalars == ()


def test_long_integers_of_a_list_are_texts_at_their_places() -> None:
    assert positions(collect({"data": [1, 4111111111111111, -2, -1234567]})) == {"data[1]": "4111111111111111", "data[3]": "-1234567"}


def test_a_prompt_of_token_numbers_in_an_unknown_field_cannot_be_scanned() -> None:
    assert collect({"prompt_token_ids": [9906, 1917, 4, 5]}).unscannable == ("tokens",)
    assert collect({"prompts": [[9906, 1917, 4, 5]]}).unscannable == ("tokens",)


@pytest.mark.parametrize("value", [[], [1, 2], "text", ["a", "b", "c", "d"], [[1], "x"]])
def test_other_unknown_fields_can_be_scanned(value: Any) -> None:
    assert collect({"x_field": value}).unscannable == ()


@pytest.mark.parametrize(
    ("part", "kind"),
    [
        ({"type": "image_url", "image_url": {"url": "https://a.test/x.png"}}, "image"),
        ({"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}, "image"),
        ({"type": "input_audio", "input_audio": {"data": "A" * 600, "format": "wav"}}, "audio"),
        ({"type": "file", "file": {"file_id": "file-1"}}, "file"),
        ({"type": "video_url", "video_url": {"url": "https://a.test/x.mp4"}}, "video"),
        ({"type": "holograph", "x": 1}, "part"),
        ({"type": 7}, "part"),
    ],
)
def test_a_part_that_is_no_text_cannot_be_scanned(part: dict[str, Any], kind: str) -> None:
    collected = collect(said([part]))

    assert collected.unscannable == (kind,)
    assert collected.opaque[0].position == "messages[0].content[0]"


def test_what_is_readable_of_a_medium_is_scanned_and_the_medium_is_not() -> None:
    part = {"type": "file", "file": {"filename": "jane@acme.test.pdf", "file_data": "A" * 600}}

    texts = {scalar.text for scalar in collect(said([part])).scalars}

    assert texts == {"jane@acme.test.pdf"}


def test_an_image_in_a_tools_result_cannot_be_scanned() -> None:
    body = {"messages": [{"role": "tool", "tool_call_id": "c1", "content": {"result": {"type": "image", "data": "A" * 600}}}]}

    assert collect(body).unscannable == ("image",)


def test_an_image_beside_the_content_cannot_be_scanned() -> None:
    body = {"messages": [{"role": "user", "content": "x", "images": ["A" * 600]}]}

    assert collect(body).unscannable == ("image",)


@pytest.mark.parametrize(
    ("url", "kind"), [("data:image/gif;base64,AA", "image"), ("data:audio/wav;base64,AA", "audio"), ("data:application/pdf;base64,AA", "file")]
)
def test_a_data_url_anywhere_cannot_be_scanned(url: str, kind: str) -> None:
    assert collect({"user": url}).unscannable == (kind,)


@pytest.mark.parametrize("text", ["data:image/gif;base64,AA and my card", "data:jane@acme.test", "data:text/plain,jane@acme.test"])
def test_a_data_url_with_anything_but_base64_is_scanned_too(text: str) -> None:
    collected = collect({"user": text})

    assert [scalar.text for scalar in collected.scalars] == [text]
    assert collected.unscannable


def test_a_long_address_of_a_medium_is_scanned() -> None:
    url = "https://a.test/" + "x" * 300 + "?mail=jane@acme.test"

    collected = collect(said([{"type": "image_url", "image_url": {"url": url}}]))

    assert [scalar.text for scalar in collected.scalars] == [url]


@pytest.mark.parametrize(
    "messages", ["words", [1234567890], ["words"], [{"role": 5, "content": {"a": "b"}}], [{"role": "user", "content": [["x"], 1234567890]}]]
)
def test_a_body_of_the_wrong_shape_is_collected_all_the_same(messages: Any) -> None:
    assert collect({"messages": messages}).scalars


def test_turns_are_joined_all_together_and_by_role() -> None:
    body = {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}, {"role": "user", "content": "c"}]}

    joins = [join.parts for join in collect(body).joins]

    assert joins == [(0, 1, 2), (0, 2), (0, 1), (1, 2), (0, 2)]
    assert [join.parts for join in collect(body).joins if join.meet] == [(0, 1), (1, 2), (0, 2)]


def test_turns_of_one_role_are_joined_once() -> None:
    body = {"messages": [{"role": "user", "content": "a"}, {"role": "user", "content": "b"}]}

    assert [join.parts for join in collect(body).joins] == [(0, 1)]


def test_a_key_is_joined_with_its_short_value() -> None:
    collected = collect({"metadata": {"password": "hunter", "pin": 12345678, "note": "x" * 5000}})

    pairs = [tuple(collected.scalars[part].text for part in join.parts) for join in collected.joins]

    assert pairs == [("password", "hunter"), ("pin", "12345678")]


def called(*arguments: Any) -> dict[str, Any]:
    """Return a body of a message for each text or object that a function is given."""
    calls = [{"id": "4111", "type": "function", "function": {"name": "1111", "arguments": given}} for given in arguments]
    return {"messages": [{"role": "assistant", "content": None, "tool_calls": [call]} for call in calls]}


def argued(body: dict[str, Any]) -> list[list[str]]:
    """Return what stands together of what calls give their functions, in a join each."""
    collected = collect(body)
    return [[collected.scalars[part].text[slice(*span)] for part, span in zip(join.parts, join.spans, strict=True)] for join in collected.joins if join.spans]


@pytest.mark.parametrize(
    "body",
    [
        called('{"a": "one", "n": 12345678, "b": ["two", "", {"c" : "three"}]}'),
        called('{"a": "one"}', '{"b": "two", "c": "three"}'),
        called({"a": "one", "n": 12345678, "b": ["two", "", {"c": "three"}]}),
        called(r'{"a\n": "one", "n": 12345678, "b": ["two", {"c": "three"}]}'),
        called({"a": ["one", "", "two"], "b": "three"}),
        called(r'{"a\n": [12, "one", "two"], "b": [1, 2], "c": "three"}'),
        called('{"\u00e4": "one", "b": "two"}', {"c": "three"}),
        called('{"a": "one", "b\x7f": "two"}', "three"),
        {"messages": [{"role": "assistant", "function_call": {"name": "f", "arguments": '{"a": "one", "b": "two", "c": "three"}'}}]},
    ],
)
def test_texts_that_functions_are_given_are_joined_in_order_without_names_and_figures(body: dict[str, Any]) -> None:
    assert argued(body) == [["one", "two", "three"]] * 2
    assert [join.meet for join in collect(body).joins if join.spans] == [False, True]


@pytest.mark.parametrize(("body", "joined"), [(called('{"a": "one", "b": "two"}'), [["one", "two"]]), (called('{"a": "one"}'), []), (called("{}"), [])])
def test_what_functions_are_given_is_joined_once_where_it_is_two_texts(body: dict[str, Any], joined: list[list[str]]) -> None:
    assert argued(body) == joined


@pytest.mark.parametrize("many", [False, True])
def test_figures_that_functions_are_given_are_joined_where_they_are_few(many: bool) -> None:
    ids = [f"4111{number}" for number in range(5 if many else 4)]

    joined = argued(called(*(f'{{"id": "{key}"}}' for key in ids), '{"a": "one", "b": "two"}'))

    assert joined[-2 if not many else -1] == [*(() if many else ids), "one", "two"]


def test_two_of_many_figures_that_functions_are_given_meet() -> None:
    body = called(*(f'{{"id": "{number}"}}' for number in (7, 41111111, 11111111, 8, 9, 10)))

    assert [(join.meet, len(join.parts)) for join in collect(body).joins if join.spans] == [(True, 6)]


def test_a_schema_gives_a_function_nothing() -> None:
    body = {"tools": [{"function": {"name": "f", "parameters": {"properties": {"arguments": {"a": "one", "b": "two"}}}}}]}

    assert argued(body) == []


@pytest.mark.parametrize("spelled", ["4.111111111111111e15", "4111111111111111e0", "4.111111111111111E+15", "4111111111111110.0e0", "41111111.11111111e08"])
@pytest.mark.parametrize("given", ['{{"card": {}}}', '{{"card\\n": {}}}', "card={};"])
def test_whole_numbers_that_a_function_is_given_are_taken_as_a_person_would_write_them(spelled: str, given: str) -> None:
    texts = [scalar.text for scalar in collect(called(given.format(spelled))).scalars]

    assert str(int(float(spelled))) in texts


@pytest.mark.parametrize("spelled", ["1e15", "4.1e15", "1.5", "4.111111111111111e-15", "a4.111111111111111e15", "4.111111111111111e15b", "0x4111111111e15"])
def test_other_numbers_stand_as_they_are(spelled: str) -> None:
    collected = collect(called(f'{{"n": {spelled}}}'))

    assert [scalar.text for scalar in collected.scalars if scalar.text.isdigit()] == ["4111", "1111"]


def test_more_numbers_than_are_walked_cannot_be_scanned_where_a_function_is_given_them() -> None:
    body = called(" ".join(["4.1111111e9"] * 200_001))

    assert [part.position for part in collect(body).opaque] == ["messages[0].tool_calls[0].function.arguments"]


def test_more_texts_than_are_walked_cannot_be_scanned_where_a_function_is_given_them() -> None:
    body = called('["' + '","'.join("a" * 200_001) + '"]')

    assert [part.position for part in collect(body).opaque] == ["messages[0].tool_calls[0].function.arguments"]


@pytest.mark.parametrize(
    ("body", "needs"),
    [
        ({}, set()),
        ({"tools": [{"type": "function"}]}, {Capability.TOOLS}),
        ({"functions": [{"name": "f"}]}, {Capability.TOOLS}),
        ({"messages": [{"role": "tool", "content": "x"}]}, {Capability.TOOLS}),
        ({"messages": [{"role": "assistant", "tool_calls": [{"id": "c"}]}]}, {Capability.TOOLS}),
        ({"messages": [{"role": "assistant", "tool_calls": None}]}, set()),
        (said([{"type": "image_url", "image_url": {"url": "x"}}]), {Capability.IMAGES}),
        (said([{"type": "input_audio", "input_audio": {}}]), {Capability.AUDIO}),
        (said([{"type": "file", "file": {}}]), {Capability.FILES}),
        (said([{"type": "video"}]), set()),
        ({"modalities": ["text", "audio"]}, {Capability.AUDIO}),
        ({"modalities": ["text"]}, set()),
        ({"response_format": {"type": "json_object"}}, {Capability.JSON_OBJECT}),
        ({"response_format": {"type": "json_schema"}}, {Capability.JSON_SCHEMA}),
        ({"response_format": {"type": "text"}}, set()),
        ({"response_format": "text"}, set()),
        ({"n": 2}, {Capability.N}),
        ({"n": 1}, set()),
        ({"logprobs": True}, {Capability.LOGPROBS}),
        ({"top_logprobs": 3}, {Capability.LOGPROBS}),
        ({"stream": True}, {Capability.STREAM}),
        ({"stream": True, "n": 2}, {Capability.STREAM, Capability.N}),
        ({"stream": False}, set()),
    ],
)
def test_the_needs_of_a_request(body: dict[str, Any], needs: set[Capability]) -> None:
    assert collect(body).needs == needs


def test_the_human_turns_are_newest_first_and_three_at_most() -> None:
    body = {
        "messages": [
            *({"role": "user", "content": text} for text in ("one", "two")),
            {"role": "assistant", "content": "x"},
            {"role": "user", "content": ""},
            {"role": "user", "content": [{"type": "text", "text": "three"}, "and", {"type": "image_url"}]},
            {"role": "user", "content": "four"},
        ]
    }

    collected = collect(body)

    assert collected.human_turns == ("four", "three\nand", "two")


def test_sizes() -> None:
    collected = collect({"messages": [{"role": "user", "content": "12345"}, {"role": "assistant", "content": "678"}], "tools": [{"name": "abc"}]})

    assert (collected.spoken, collected.messages) == (("12345", "678"), 2)
    assert collected.schema_chars == len("name") + 4 + len("abc") + 2


def test_nothing_said_is_no_turn() -> None:
    assert collect({"messages": []}).human_turns == ()


ROLES = st.sampled_from(["system", "developer", "user", "assistant", "tool", "someone else", None])
CONTENTS = st.sampled_from(["", "auto", "How are you?", "data:,x", '{"a\\n": 1}', None, 5])
MESSAGES = st.fixed_dictionaries({"role": ROLES, "content": CONTENTS}, optional={"name": CONTENTS})
ODD = ["data:,x", '{"a\\n": 1}', [1], {}]
SETTINGS: st.SearchStrategy[Any] = st.sampled_from([None, True, 0, 12, 12345678, 0.7, 4111111111111111.0, "", "auto", "gpt-4o", 10**40, *ODD])
KEYS = st.sampled_from(["model", "n", "stream", "user", "seed", "x_own", "tools", "stop"])


@given(st.lists(MESSAGES, max_size=4) | st.none(), st.dictionaries(KEYS, SETTINGS, max_size=3), st.booleans())
def test_what_is_plain_is_collected_as_the_walk_would(messages: list[dict[str, Any]] | None, settings: dict[str, Any], first: bool) -> None:
    body = {"messages": messages, **settings} if first else {**settings, "messages": messages}
    plain, walked = collect(body), _walked(body)

    assert plain._replace(is_plain=False) == walked


def test_most_bodies_are_plain_and_no_other_kind_is() -> None:
    assert collect({"model": "gpt-4o", "stream": True, "seed": 7, **said("x")}).is_plain
    assert not collect({"tools": [{}], **said("x")}).is_plain
    assert not collect(said([{"type": "text", "text": "x"}])).is_plain
    assert not collect({"messages": [{"role": "user", "content": "x"}] * 10_001}).is_plain


def test_what_was_said_is_not_shown() -> None:
    collected = collect(said("a secret"))

    assert "secret" not in repr(collected) + repr(collected.scalars)
