from __future__ import annotations

from typing import TYPE_CHECKING

from app.config.yaml_tree import Node, Scalar, Sequence, Table, parse_yaml

if TYPE_CHECKING:
    from app.config.faults import Fault


def _parse(text: str | bytes, **env: str) -> tuple[Node | None, list[str]]:
    faults: list[Fault] = []
    content = text.encode() if isinstance(text, str) else text
    tree = parse_yaml(content, "f", env, faults)
    return tree, [f"{fault.line}: {fault.sentence}" for fault in faults]


def _value(text: str, **env: str) -> Scalar:
    tree, faults = _parse(f"key: {text}", **env)
    assert faults == []
    assert isinstance(tree, Table)
    node = tree.entries["key"][1]
    assert isinstance(node, Scalar)
    return node


def test_every_value_stays_as_it_is_written() -> None:
    assert [_value(text).text for text in ("no", "4.10", "0o17", "'x'", "12:30", "2026-01-01")] == ["no", "4.10", "0o17", "x", "12:30", "2026-01-01"]


def test_lines_are_counted_from_one() -> None:
    tree, _ = _parse("a: 1\nb:\n  - x\n  - y\n")

    assert isinstance(tree, Table)
    line, items = tree.entries["b"]
    assert isinstance(items, Sequence)
    assert (line, [item.line for item in items.items]) == (2, [3, 4])


def test_an_empty_value_is_null_and_an_empty_text_is_not() -> None:
    assert _value("").is_null
    assert _value("~").is_null
    assert not _value("''").is_null


def test_a_variable_is_filled_in_and_its_edges_trimmed() -> None:
    node = _value('"http://${HOST}:${PORT}"', HOST=" h\n", PORT="1")

    assert (node.text, node.named, node.missing) == ("http://h:1", ("HOST", "PORT"), ())


def test_an_unset_or_empty_variable_is_missing() -> None:
    assert _value('"${A}${B}${A}"', B=" ").missing == ("A", "B")


def test_what_a_variable_holds_is_not_read_as_yaml_or_as_a_variable() -> None:
    assert _value('"${A}"', A="{x: ${B}}").text == "{x: ${B}}"


def test_two_dollars_write_the_characters_themselves() -> None:
    node = _value('"$${A} $5"', A="x")

    assert (node.text, node.named) == ("${A} $5", ())


def test_a_variable_that_is_not_closed_is_a_fault() -> None:
    for text in ("${A", "${}", "${A B}", "${A:-x}", "${1}"):
        _, faults = _parse(f'a: 1\nb: "{text}"')

        assert faults == ["2: ${ is not closed around a name; write ${NAME}, or $${ for the two characters themselves"]


def test_a_variable_in_a_key_is_a_key_like_any_other() -> None:
    tree, _ = _parse('"${A}": 1', A="x")

    assert isinstance(tree, Table)
    assert list(tree.entries) == ["${A}"]


def test_a_key_that_stands_twice_is_a_fault_and_the_first_counts() -> None:
    tree, faults = _parse("a: 1\nb: 2\na: 3\n")

    assert faults == ['3: "a" stands here a second time (first in line 1); leave one out']
    assert isinstance(tree, Table)
    value = tree.entries["a"][1]
    assert isinstance(value, Scalar)
    assert value.text == "1"


def test_a_mapping_can_be_merged_and_its_own_keys_go_first() -> None:
    tree, faults = _parse("base: &b {x: 1, y: 2}\nnew: {<<: *b, y: 3}\nlist: {<<: [*b, {x: 9, z: 4}]}\n")

    assert faults == []
    assert isinstance(tree, Table)
    new, both = tree.entries["new"][1], tree.entries["list"][1]
    assert isinstance(new, Table)
    assert isinstance(both, Table)
    texts = [{key: node.text for key, (_, node) in table.entries.items() if isinstance(node, Scalar)} for table in (new, both)]
    assert texts == [{"x": "1", "y": "3"}, {"x": "1", "y": "2", "z": "4"}]


def test_a_merge_of_something_else_is_a_fault() -> None:
    assert _parse("a: {<<: 1}")[1] == ["1: << takes an alias of a mapping, or a list of them"]


def test_an_alias_inside_itself_is_a_fault() -> None:
    assert _parse("a: &x\n  - *x\n")[1] == ["1: an alias stands inside what it names; write it out"]


def test_aliases_cannot_make_a_small_file_large() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"] + [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]

    _, faults = _parse("\n".join(lines))

    assert [fault.partition(": ")[2] for fault in faults] == ["the file is too large; leave out aliases"]


def test_tags_and_keys_that_are_no_words_are_faults() -> None:
    assert _parse("a: !!python/object:os.system x")[1] == ["1: tags such as !x are not read; leave it out"]
    assert _parse("? [a]\n: 1")[1] == ["1: a key must be a word"]


def test_a_password_that_yaml_takes_for_something_of_its_own_is_not_repeated() -> None:
    lines = ["a: *swordfish", "a: [&swordfish 1, &swordfish 2]", "a: !swordfish!x 1", "a: &swordfish' 1", 'a: "swordfish\\q"', "a: 'swordfish' x"]

    said = [fault for line in lines for fault in _parse(line)[1]]

    assert len(said) >= len(lines) - 1  # an anchor may be named twice
    assert "swordfish" not in repr(said)


def test_what_is_not_yaml_is_a_fault_with_its_line() -> None:
    assert _parse("a: 1\nb: [\n")[1][0].startswith("3: this is not YAML: ")
    assert _parse("a: 1\n\tb: 2\n")[1][0].startswith("2: this is not YAML: ")
    assert _parse(b"a: 1\nb: \xff")[1] == ["2: this is not UTF-8 text; save the file as UTF-8"]
    assert _parse("a: 1\nb: \x00")[1] == ["2: this is not YAML: it holds a control character"]
    assert _parse("a: 1\n---\nb: 2")[1][0].startswith("2: this is not YAML: ")
    assert _parse("[" * 5000)[1] == ["1: this is nested too deeply"]


def test_an_empty_file_is_a_fault() -> None:
    for text in ("", "# nothing\n", "---\n", "~"):
        assert _parse(text) == (None, ["1: the file is empty; write at least deployments and rules"])


def test_a_byte_order_mark_is_no_part_of_the_first_key() -> None:
    tree, _ = _parse(b"\xef\xbb\xbfa: 1")

    assert isinstance(tree, Table)
    assert list(tree.entries) == ["a"]


def test_a_value_does_not_show_itself() -> None:
    assert "hush" not in repr(_value('"${A}"', A="hush"))
