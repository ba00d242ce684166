from __future__ import annotations

from app.config.faults import ConfigError, Fault, alternatives, suggestion


def test_a_fault_of_a_file_says_where_it_is() -> None:
    assert str(Fault("gateway.yaml", 12, "unknown key")) == "gateway.yaml:12: unknown key"


def test_a_fault_of_the_environment_is_its_sentence() -> None:
    assert str(Fault("", 0, "PORT must be a whole number")) == "PORT must be a whole number"


def test_an_error_lists_its_faults_by_line_and_each_once() -> None:
    late, early = Fault("a", 9, "late"), Fault("a", 2, "early")

    assert str(ConfigError([late, early, late])) == "a:2: early\na:9: late"


def test_an_error_can_be_one_sentence() -> None:
    assert ConfigError("sorry").faults == (Fault("", 0, "sorry"),)


def test_a_slip_of_the_pen_is_answered_with_the_nearest_word() -> None:
    assert suggestion("pols", ["pools", "rules"]) == '; did you mean "pools"?'


def test_a_word_like_no_other_is_answered_with_all_words() -> None:
    assert suggestion("xyz", ["pools", "rules"]) == "; expected pools or rules"


def test_nothing_is_suggested_where_nothing_is_known() -> None:
    assert suggestion("xyz", []) == ""


def test_words_are_listed_as_a_sentence_lists_them() -> None:
    assert alternatives(["a", "b", "c"], quote=False) == "a, b or c"
    assert alternatives(["a"]) == '"a"'
    assert alternatives([]) == ""
