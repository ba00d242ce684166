"""The net below egress, in a serving process: what is configured is reached by its name, and what nobody announced is not."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import urllib.request
from typing import TYPE_CHECKING

import pytest

from tests.integration.redis_server import running_redis
from tests.integration.test_command_line import ROOT, environment, post, serving
from tests.simulators import OllamaSimulator, OpenAISimulator

if TYPE_CHECKING:
    from pathlib import Path

CHAT = {"messages": [{"role": "user", "content": "hello"}]}
ATTEMPT = """
import socket, sys
import uvicorn
from app.__main__ import main

def run(*_, **__):
    for attempt in (lambda: socket.create_connection(("127.0.0.1", int(sys.argv[1]))), lambda: socket.getaddrinfo("elsewhere.example", 443)):
        try:
            attempt()
        except PermissionError as exc:
            print("refused:", type(exc).__name__)

uvicorn.Server.run = run
main(["serve"])
"""


def test_serving_processes_reach_what_is_configured_by_its_name(tmp_path: Path) -> None:
    with running_redis() as redis, OpenAISimulator() as relayed, OllamaSimulator() as translated:
        (tmp_path / "gateway.yaml").write_text(f"""
deployments:
  relayed: {{model: openai/gpt, api_base: "http://localhost:{relayed.port}/v1", clearance: confidential}}
  translated: {{model: ollama_chat/llama3.1, api_base: "http://localhost:{translated.port}", clearance: confidential}}
pools: {{local: [relayed]}}
rules: [{{use: local}}]
""")
        settings = {"GATEWAY_CONFIG": str(tmp_path / "gateway.yaml"), "WORKERS": "2", "GATEWAY_SECRET": "s" * 32}
        with serving(tmp_path, REDIS_URL=f"redis://localhost:{redis.port}/0", **settings) as (url, _, log):
            statuses = [post(url, CHAT | {"model": name})[0] for name in ("relayed", "translated", "auto")]
            document = urllib.request.Request(f"{url}/documents", json.dumps({"documents": [{"text": "hello"}]}).encode(), {"content-type": "application/json"})
            with urllib.request.urlopen(document, timeout=20) as response:
                stored = response.status
            with urllib.request.urlopen(f"{url}/health", timeout=5) as response:
                checks = json.load(response)["checks"]
            output = log.read_text()

    assert statuses == [200, 200, 200]
    assert stored < 300
    assert {checks[name] for name in ("cache", "limits", "taint")} == {"ok"}
    assert "unannounced" not in output


def test_a_serving_process_makes_no_connection_that_nobody_announced(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        script = [sys.executable, "-c", ATTEMPT, str(listener.getsockname()[1])]
        ran = subprocess.run(
            script, cwd=tmp_path, env=environment(tmp_path, PORT="0", PYTHONPATH=str(ROOT)), capture_output=True, text=True, timeout=60, check=False
        )
        listener.setblocking(False)
        with pytest.raises(BlockingIOError):
            listener.accept()

    assert ran.stdout.count("refused: UnannouncedError") == 2
    assert ran.stdout.count("unannounced_connection") == 2
    assert "elsewhere" not in ran.stdout + ran.stderr
