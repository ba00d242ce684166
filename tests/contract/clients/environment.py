"""Runs a client script in `.venv-clients`, the environment of today's SDKs (`make clients`)."""

from __future__ import annotations

import json
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest

_ROOT = Path(__file__).parents[3]
PYTHON = _ROOT / ".venv-clients" / ("Scripts" if sys.platform == "win32" else "bin") / "python"


def read(script: str, url: str, *scenarios: str) -> dict[str, Any]:
    """Return what the SDK made of the server at `url`, by scenario. Skips the test where there is no environment."""
    if not PYTHON.exists():
        pytest.skip("no .venv-clients: `make clients` makes it")
    command = [str(PYTHON), "-W", "ignore", str(Path(__file__).with_name(f"{script}.py")), url, *scenarios]
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", timeout=120, check=False, env=_environment())
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@cache
def _environment() -> dict[str, str]:
    """Return an environment in which no SDK finds a key, a proxy or an address of its own."""
    return {"PATH": "", "HOME": str(_ROOT / ".venv-clients"), "PYTHONIOENCODING": "utf-8", "NO_PROXY": "*"}
