from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path

import litellm
import pytest

from app.providers.translate.loading import load

ROOT = Path(__file__).parents[4]


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def test_the_package_is_imported_without_litellm() -> None:
    code = "import sys, app.providers.translate as t; t.capabilities('anthropic', 'x'); t.unsupported('vertex_ai'); print('litellm' in sys.modules)"

    assert run(code) == "False\n"


def test_litellm_loads_without_a_word_a_warning_or_a_connection() -> None:
    code = (
        "import socket\n"
        "def refuse(*a, **k): raise SystemExit('a connection')\n"
        "socket.socket.connect = socket.socket.connect_ex = socket.getaddrinfo = refuse\n"
        "from app.providers.translate import load\n"
        "load(); load()\n"
        "import litellm; litellm.ModelResponse()\n"
    )

    assert run(code) == ""


@pytest.mark.parametrize("name", ["LiteLLM", "LiteLLM Router", "LiteLLM Proxy"])
def test_litellms_loggers_are_silent(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    load()

    logging.getLogger(name).error("the prompt")

    assert "the prompt" not in "".join(capsys.readouterr())


def test_no_tokenizer_is_downloaded_and_no_advice_printed() -> None:
    assert litellm.disable_hf_tokenizer_download
    assert litellm.suppress_debug_info
    assert not litellm.callbacks
    assert not litellm.success_callback
