from __future__ import annotations

import importlib.util
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import hyperscan
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from app.policy.sensitivity import database
from app.policy.sensitivity.database import Database, Literals, TooManyHitsError, UnavailableError, cache_folder

TRIGGERS = [("ab+c", False), ("xyz", True)]


def compiles(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Count how often a database is compiled from here on."""
    counted: list[int] = []

    class Counting(hyperscan.Database):
        def compile(self, *args: Any, **options: Any) -> None:
            counted.append(1)
            super().compile(*args, **options)

    monkeypatch.setattr(hyperscan, "Database", Counting)
    return counted


def test_each_hit_has_its_pattern_and_its_end(tmp_path: Path) -> None:
    assert Database(TRIGGERS, cache=tmp_path).hits(b"abbc XYZ") == [(0, 4), (1, 8)]


def test_the_second_start_compiles_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Database(TRIGGERS, cache=tmp_path)
    counted = compiles(monkeypatch)

    assert Database(TRIGGERS, cache=tmp_path).hits(b"abc") == [(0, 3)]
    assert not counted


def test_triggers_that_stand_apart_hit_under_their_own_numbers(tmp_path: Path) -> None:
    triggers = [*TRIGGERS, ("[0-9]{3}", False), ("[a-z]{9}", False)]

    found = Database(triggers, apart=([2], [1, 3]), cache=tmp_path).hits(b"XYZ 123 abc elsewhere")

    assert sorted(found) == [(0, 11), (1, 3), (2, 7), (3, 21)]
    assert len(list(tmp_path.iterdir())) == 3


def test_a_stored_database_is_read_for_the_numbers_that_it_was_made_for_alone(tmp_path: Path) -> None:
    Database([*TRIGGERS, ("[0-9]{3}", False)], apart=[[2]], cache=tmp_path)

    assert Database([("[0-9]{3}", False)], cache=tmp_path).hits(b"123") == [(0, 3)]


def test_a_text_of_nothing_but_hits_is_given_up_whichever_triggers_stand_apart(tmp_path: Path) -> None:
    with pytest.raises(TooManyHitsError):
        Database([("a", False), ("b", False)], apart=[[1]], cache=tmp_path).hits(b"ab" * 100_001)


def test_other_patterns_are_compiled_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Database(TRIGGERS, cache=tmp_path)
    counted = compiles(monkeypatch)

    assert Database([("other", False)], cache=tmp_path).hits(b"other") == [(0, 5)]
    assert counted


@pytest.mark.parametrize("damage", [lambda stored: stored[:-40], lambda stored: stored[:0], lambda stored: stored[:80] + bytes([stored[80] ^ 1]) + stored[81:]])
def test_a_damaged_cache_is_compiled_anew(tmp_path: Path, damage: object) -> None:
    Database(TRIGGERS, cache=tmp_path)
    (file,) = tmp_path.iterdir()
    file.write_bytes(damage(file.read_bytes()))  # type: ignore[operator]

    assert Database(TRIGGERS, cache=tmp_path).hits(b"abc") == [(0, 3)]


def test_a_stored_database_of_another_build_is_compiled_anew(tmp_path: Path) -> None:
    Database(TRIGGERS, cache=tmp_path)
    (file,) = tmp_path.iterdir()
    strange = b"not hyperscan's"
    file.write_bytes(database._digest(strange) + b"\n" + strange)

    assert Database(TRIGGERS, cache=tmp_path).hits(b"abc") == [(0, 3)]


def test_a_folder_that_cannot_be_written_is_no_fault(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")

    assert Database(TRIGGERS, cache=blocked / "folder").hits(b"abc") == [(0, 3)]


def test_a_disk_that_is_full_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_self: Path, _target: Path) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)

    assert Database(TRIGGERS, cache=tmp_path).hits(b"abc") == [(0, 3)]
    assert not list(tmp_path.iterdir())


def test_without_the_library_it_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(database, "hyperscan", None)

    with pytest.raises(UnavailableError, match="hyperscan cannot be imported"):
        Database(TRIGGERS, cache=tmp_path)


def test_a_missing_package_is_no_fault_at_import(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "hyperscan", None)
    spec = importlib.util.spec_from_file_location("database_without_hyperscan", database.__file__)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)

    spec.loader.exec_module(module)

    assert module.hyperscan is None


def test_patterns_that_do_not_compile_are_said(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="patterns"):
        Database([("(?=lookahead)", False)], cache=tmp_path)


def test_threads_scan_side_by_side(tmp_path: Path) -> None:
    scanned = Database(TRIGGERS, cache=tmp_path)
    found: list[int] = []

    def scan() -> None:
        found.extend(len(scanned.hits(b"abc " * 500)) for _ in range(20))

    threads = [threading.Thread(target=scan) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert found == [500] * 80


def test_the_cache_is_the_users_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert cache_folder() == Path("/somewhere/sluice")

    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/home/jane")
    assert cache_folder() == Path("/home/jane/.cache/sluice")


def test_a_user_without_a_home_has_no_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)

    def homeless(_self: Path) -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "expanduser", homeless)

    assert cache_folder() is None
    assert Database(TRIGGERS).hits(b"abc") == [(0, 3)]


def test_the_processor_is_named_where_the_system_does_not_describe_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreadable(*_args: object, **_options: object) -> str:
        raise OSError

    monkeypatch.setattr(Path, "read_text", unreadable)

    assert database._processor()


def test_a_text_of_nothing_but_hits_is_given_up(tmp_path: Path) -> None:
    with pytest.raises(TooManyHitsError):
        Database(TRIGGERS, cache=tmp_path).hits(b"abc" * 200_001)


@given(literals=st.lists(st.binary(min_size=1, max_size=4), unique=True, max_size=8), text=st.lists(st.binary(max_size=5), max_size=8).map(b"".join))
@example(literals=[b" a ", b" b ", b" a b "], text=b" a b a ")
def test_literals_are_found_once_each_wherever_they_stand(literals: list[bytes], text: bytes) -> None:
    assert sorted(Literals(literals).within(text)) == [number for number, literal in enumerate(literals) if literal in text]


@pytest.mark.parametrize("lacks", ["the library", "the processor"])
def test_literals_are_found_where_hyperscan_does_not_run(lacks: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class Refusing(hyperscan.Database):
        def compile(self, *_: Any, **__: Any) -> None:
            raise hyperscan.error(lacks)

    if lacks == "the library":
        monkeypatch.setattr(database, "hyperscan", None)
    else:
        monkeypatch.setattr(hyperscan, "Database", Refusing)

    assert Literals([b"ab", b"c"]).within(b"abab") == [0]


def test_threads_look_for_literals_at_the_same_time() -> None:
    literals = Literals([b"ab", b"c"])
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(literals.within, [b"ab", b"c", b"", b"cc"] * 50)) == [[0], [1], [], [1]] * 50
