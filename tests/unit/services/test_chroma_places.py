from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from app.services.chroma_places import Folder, RefusedError

if TYPE_CHECKING:
    from pathlib import Path


def test_a_folder_that_is_held_too_long_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.services.chroma_places._LOCK_WAIT_S", 0.05)
    with Folder(tmp_path).held(), pytest.raises(RefusedError, match="locked"), Folder(tmp_path).held():
        pass


def test_a_write_makes_every_other_user_of_the_folder_open_it_anew(tmp_path: Path) -> None:
    one, two = Folder(tmp_path), Folder(tmp_path)
    seen = []
    for folder, writes in [(one, True), (one, False), (two, False), (two, True), (two, False), (one, False), (one, False)]:
        with folder.held() as changed:
            seen.append(changed)
            if writes:
                folder.wrote(dropped_text=False)

    assert seen == [True, False, True, False, False, True, False]


def test_that_a_scrub_is_due_outlives_the_process(tmp_path: Path) -> None:
    with (first := Folder(tmp_path)).held():
        first.wrote(dropped_text=True)
    with (second := Folder(tmp_path)).held():
        assert second.scrub_due


def test_a_folder_that_was_removed_is_made_anew_and_counts_as_changed(tmp_path: Path) -> None:
    folder = Folder(path := tmp_path / "chroma")
    with folder.held():
        folder.wrote(dropped_text=True)
    (path / ".sluice-lock").unlink()
    path.rmdir()
    with folder.held() as changed:
        assert (changed, folder.scrub_due) == (True, False)


def test_the_folder_is_for_its_owner_alone(tmp_path: Path) -> None:
    with Folder(path := tmp_path / "deep" / "chroma").held():
        assert path.stat().st_mode & 0o777 == 0o700
        assert (path / ".sluice-lock").stat().st_mode & 0o777 == 0o600
