"""scripts/bootstrap.sh makes, keeps and repairs the environment that every make target runs in."""

from __future__ import annotations

import ast
import hashlib
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def _bootstrap(root: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if name != "PYTHON"}
    command = ["/bin/sh", "scripts/bootstrap.sh", ".venv", "requirements.txt"]
    return subprocess.run(command, cwd=root, env=kept | environment, capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture
def bare_project(tmp_path: Path) -> Path:
    """Return a folder, whose name has a space, that holds nothing but the scripts and requirements.txt."""
    root = tmp_path / "a project"
    (root / "scripts").mkdir(parents=True)
    for name in ("bootstrap.sh", "bootstrap.py"):
        shutil.copy(ROOT / "scripts" / name, root / "scripts")
    (root / "requirements.txt").write_text("")
    return root


@pytest.mark.parametrize(
    ("name", "answer", "sentence"),
    [
        ("python3", "version 3.9", "needs CPython 3.11 to 3.14, and found none (python3 is 3.9)"),
        ("python3.12", "novenv 3.12", "apt-get install python3.12-venv"),
        ("python3.13", None, "no Python that runs is on the PATH"),
    ],
    ids=["too old", "without venv", "a shim that fails"],
)
def test_without_a_fit_python_one_sentence_says_what_to_install(bare_project: Path, tmp_path: Path, name: str, answer: str | None, sentence: str) -> None:
    path = tmp_path / "bin"
    path.mkdir()
    (path / "dirname").symlink_to(str(shutil.which("dirname")))
    (path / name).write_text(f"#!/bin/sh\n{f'echo {answer!r}' if answer else 'exit 127'}\n")
    (path / name).chmod(0o755)

    result = _bootstrap(bare_project, PATH=str(path))

    assert result.returncode == 1
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1
    assert sentence in result.stderr


def test_a_named_python_that_does_not_run_is_said_so(bare_project: Path) -> None:
    result = _bootstrap(bare_project, PYTHON="/nowhere/python3")

    assert result.returncode == 1
    assert result.stderr.startswith("PYTHON=/nowhere/python3 does not run")


def _wheel(folder: Path) -> str:
    """Write the smallest wheel there is, and return a line that requires it by address and hash."""
    wheel = folder / "tiny-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("tiny.py", "")
        archive.writestr("tiny-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n")
        archive.writestr("tiny-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr("tiny-1.0.dist-info/RECORD", "tiny.py,,\ntiny-1.0.dist-info/METADATA,,\ntiny-1.0.dist-info/WHEEL,,\ntiny-1.0.dist-info/RECORD,,\n")
    return f"tiny @ {wheel.as_uri()} --hash=sha256:{hashlib.sha256(wheel.read_bytes()).hexdigest()}\n"


def test_the_environment_is_made_once_and_repaired_when_it_is_broken(bare_project: Path) -> None:
    (bare_project / "requirements.txt").write_text(_wheel(bare_project))
    python = bare_project / ".venv/bin/python"

    made = _bootstrap(bare_project, PYTHON=sys.executable)
    again = _bootstrap(bare_project)
    python.unlink()
    python.symlink_to("/nowhere/python3")
    repaired = _bootstrap(bare_project, PYTHON=sys.executable)

    assert made.returncode == 0, made.stderr
    assert "Making .venv" in made.stdout
    assert (again.returncode, again.stdout) == (0, "")
    assert repaired.returncode == 0, repaired.stderr
    assert ".venv is not whole" in repaired.stdout
    subprocess.run([python, "-c", "import tiny"], check=True)


def test_a_package_whose_hash_differs_is_not_installed_and_the_environment_not_called_whole(bare_project: Path) -> None:
    line = _wheel(bare_project)
    (bare_project / "requirements.txt").write_text(line[: line.index("sha256:") + 7] + "0" * 64 + "\n")

    result = _bootstrap(bare_project, PYTHON=sys.executable)

    assert result.returncode == 1
    assert "THESE PACKAGES DO NOT MATCH THE HASHES" in result.stderr
    assert "pip could not install" in result.stderr
    assert not (bare_project / ".venv/.installed.json").exists()


def test_bootstrap_and_the_metadata_agree_on_the_supported_pythons() -> None:
    tree = ast.parse((ROOT / "scripts/bootstrap.py").read_text())
    (supported,) = [ast.literal_eval(node.value) for node in tree.body if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "SUPPORTED"]

    assert f"({supported[0]} <= sys.version_info[:2] <= {supported[1]})".strip("()") in (ROOT / "scripts/bootstrap.sh").read_text().replace("if not ", "")
    assert f'requires-python = ">=3.{supported[0][1]},<3.{supported[1][1] + 1}"' in (ROOT / "pyproject.toml").read_text()
