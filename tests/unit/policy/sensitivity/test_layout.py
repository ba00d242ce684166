from __future__ import annotations

from app.policy.collect import Join
from app.policy.sensitivity.layout import BREAK, Layer


def test_texts_stand_apart() -> None:
    layer = Layer(["one", "", "three"])

    assert layer.buffer == f"one{BREAK}{BREAK}three"
    assert [layer.region(offset) for offset in (0, 3, 4, 5, 9)] == [0, 0, 1, 2, 2]
    assert layer.bounds(6) == (5, 10)
    assert layer.locate(5, 8, 6, 7) == (2, 1, 2)


def test_a_join_stands_after_the_texts_with_nothing_between() -> None:
    layer = Layer(["abc", "def"], [Join((0, 1))])

    assert layer.buffer == f"abc{BREAK}def{BREAK}abcdef"
    assert layer.is_seam(8)
    assert not layer.is_seam(0)


def test_what_lies_across_a_seam_is_placed_in_the_text_where_it_begins() -> None:
    layer = Layer(["abc", "def"], [Join((0, 1))])

    assert layer.locate(9, 13, 9, 13) == (0, 1, 3)


def test_what_lies_in_one_text_of_a_join_is_not_new() -> None:
    layer = Layer(["abc", "def"], [Join((0, 1))])

    assert layer.locate(8, 11, 8, 11) is None
    assert layer.locate(11, 14, 11, 14) is None


def test_a_pair_is_no_seam_and_its_value_is_placed_in_the_value() -> None:
    layer = Layer(["password", "hunter2"], [Join((0, 1), ": ")])
    start = layer.buffer.index("password: hunter2")

    assert not layer.is_seam(start)
    assert layer.locate(start, start + 17, start + 10, start + 17) == (1, 0, 7)


def test_the_middle_of_a_long_text_is_left_out_of_a_join() -> None:
    long = "h" * 200 + "m" * 1000 + "t" * 200
    layer = Layer([long, "next"], [Join((0, 1, 0))])
    join = layer.buffer.split("next" + BREAK)[1]

    assert join == f"{'h' * 200}{BREAK}{'t' * 200}next{'h' * 200}{BREAK}{'t' * 200}"
    start = layer.buffer.index("tnext")
    assert layer.locate(start, start + 3, start, start + 3) == (0, 1399, 1400)


def test_a_second_join_follows_the_first() -> None:
    layer = Layer(["ab", "cd", "ef"], [Join((0, 1)), Join((1, 2), ": ")])

    start = layer.buffer.index("cd: ef")
    assert layer.locate(start, start + 6, start + 4, start + 6) == (2, 0, 2)


def test_of_texts_that_meet_only_the_ends_that_meet_are_read() -> None:
    layer = Layer(["h" * 300 + "abc", "def" + "t" * 300], [Join((0, 1), meet=True)])
    start = layer.buffer.rindex("abcdef")

    assert layer.buffer.endswith(BREAK + "h" * 197 + "abcdef" + "t" * 197)
    assert layer.is_seam(start)
    assert layer.locate(start, start + 6, start, start + 6) == (0, 300, 303)
    assert layer.locate(start, start + 6, start + 3, start + 6) == (1, 0, 3)


def test_short_texts_meet_whole() -> None:
    layer = Layer(["ab", "cd"], [Join((0, 1), meet=True)])

    assert layer.buffer.endswith(BREAK + "abcd")
    assert layer.locate(6, 10, 6, 10) == (0, 0, 2)


def test_of_texts_of_which_a_stretch_is_read_only_that_stands_in_a_join() -> None:
    layer = Layer(['{"a": "one", "b": "two"}', "three"], [Join((0, 0, 1), spans=((7, 10), (19, 22), (0, None))), Join((0, 1), ": ")])
    start = layer.buffer.index("onetwothree")

    assert layer.locate(start, start + 6, start + 1, start + 5) == (0, 8, 10)
    assert layer.locate(start + 4, start + 8, start + 4, start + 8) == (0, 20, 22)
    assert layer.locate(start + 3, start + 6, start + 3, start + 6) is None
    assert layer.region(layer.buffer.index("}: three")) == 3


def test_of_many_that_meet_each_stands_with_the_next_alone() -> None:
    layer = Layer(["ab", "cd", "-ef-"], [Join((0, 1, 2), meet=True, spans=((0, None), (0, None), (1, 3))), Join((0, 1), ": ")])
    second = layer.buffer.index("cdef")

    assert layer.buffer.endswith(f"{BREAK}abcd{BREAK}cdef{BREAK}ab: cd")
    assert layer.locate(second, second + 4, second, second + 4) == (1, 0, 2)
    assert layer.locate(second + 1, second + 4, second + 2, second + 4) == (2, 1, 3)
    assert layer.region(layer.buffer.index("ab: cd")) == 4
    assert layer.locate(second + 5, second + 11, second + 9, second + 11) == (1, 0, 2)


def test_a_word_that_a_seam_cuts_is_told() -> None:
    layer = Layer(["ask Sa", "rah ", "Jones"], [Join((0, 1, 2))])
    start = layer.buffer.index("Sarah")

    assert layer.cuts_word(start, start + 5)
    assert not layer.cuts_word(start + 3, start + 10)
