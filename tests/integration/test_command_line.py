"""`python -m app` as a process: what it prints, how it stops, and several workers."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from app.__main__ import _announce, _uvicorn
from app.config.settings import load_settings
from app.loading import load

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
BODY = {"model": "auto", "messages": [{"role": "user", "content": "hello"}]}


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def environment(tmp_path: Path, **settings: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG", "COVERAGE_PROCESS_START", "COVERAGE_PROCESS_CONFIG")}
    return kept | {"PYTHONPATH": str(ROOT), "GATEWAY_CONFIG": str(ROOT / "config/gateway.yaml"), "CHROMA_PATH": str(tmp_path / "chroma")} | settings


def run(tmp_path: Path, command: str, **settings: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "app", command], cwd=tmp_path, env=environment(tmp_path, **settings), capture_output=True, text=True, timeout=60, check=False
    )


@contextlib.contextmanager
def serving(tmp_path: Path, **settings: str) -> Iterator[tuple[str, subprocess.Popen[str], Path]]:
    port = free_port()
    log = tmp_path / "log"
    with log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "app", "serve"],
            cwd=tmp_path,
            env=environment(tmp_path, PORT=str(port), **settings),
            stdout=output,
            stderr=output,
            text=True,
            stdin=subprocess.DEVNULL,
        )
        try:
            url = f"http://127.0.0.1:{port}"
            deadline = time.monotonic() + 60
            while True:
                with contextlib.suppress(OSError):
                    urllib.request.urlopen(f"{url}/health", timeout=5).close()
                    break
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(0.02)
            yield url, process, log
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(20)


def post(url: str, body: Any) -> tuple[int, Any, dict[str, str]]:
    request = urllib.request.Request(f"{url}/v1/chat/completions", json.dumps(body).encode(), {"content-type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            return response.status, json.load(response), dict(response.headers)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error), dict(error.headers)


def test_a_python_without_the_packages_is_told_which_one_has_them(tmp_path: Path) -> None:
    bare = [sys.executable, "-S", "-m", "app", "check"]  # without site there is no site-packages

    ran = subprocess.run(bare, cwd=tmp_path, env=environment(tmp_path), capture_output=True, text=True, timeout=60, check=False)

    assert (ran.returncode, "Traceback" in ran.stderr) == (1, False)
    assert "run `make install`, and then `.venv/bin/python -m app`" in ran.stderr


def test_serve_says_what_is_active_and_answers_the_line_it_prints(tmp_path: Path) -> None:
    with serving(tmp_path) as (url, process, log):
        status, answer, _ = post(url, BODY)
        printed = log.read_text()
        process.send_signal(signal.SIGUSR1)  # one process has nobody to replace it
        assert post(url, BODY)[0] == 200
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0

    assert status == 200
    assert "demo model" in answer["choices"][0]["message"]["content"]
    assert re.search(r"inactive +gpt-4o-mini +OPENAI_API_KEY is not set", printed)
    assert f"curl -i {url}/v1/chat/completions" in printed
    assert f"Process {process.pid}: SIGHUP reads " in printed
    assert "Traceback" not in log.read_text()


@pytest.mark.parametrize("keys", ["", "owner:a-long-enough-key"])
def test_what_a_browser_cannot_open_is_not_offered_to_one(keys: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("GATEWAY_API_KEYS", keys)
    loaded = load(ROOT / "config/gateway.yaml", {})

    _announce(load_settings(dotenv=Path("none.env"), port=8000), loaded.assembled)
    said = capsys.readouterr().err

    assert ("/docs" in said) is not bool(keys)
    assert ("  curl -H 'Authorization: Bearer YOUR_KEY' http://127.0.0.1:8000/openapi.json\n" in said) is bool(keys)
    assert "a-long-enough-key" not in said


def test_slips_in_the_settings_are_told_once_at_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text("this is no setting\nPROT=9000\nGATEWAY_API_KEYS=short\n")
    loaded = load(ROOT / "config/gateway.yaml", {})

    _announce(load_settings(gateway_config=ROOT / "config/gateway.yaml"), loaded.assembled)
    said = [line.split()[1] for line in capsys.readouterr().err.splitlines() if line.startswith("  warning")]

    assert said[-3:] == [".env:1:", ".env:2:", "GATEWAY_API_KEYS:"]
    assert len([place for place in said if "env" in place]) == 2


def test_a_grace_of_a_part_of_a_second_is_not_none() -> None:
    assert _uvicorn("app.main:worker_app", load_settings(dotenv=Path("none.env"), shutdown_grace_s=0.4)).timeout_graceful_shutdown == 1


def served(url: str) -> str | None:
    with urllib.request.urlopen(f"{url}/metrics", timeout=10) as response:
        found = re.search(r'sluice_requests_total\{route="/v1/chat/completions",status="200"\} (\S+)', response.read().decode())
    return None if found is None else found[1]


def test_two_workers_share_the_port_the_secret_and_the_metrics(tmp_path: Path) -> None:
    with serving(tmp_path, WORKERS="2") as (url, _, log):
        statuses = {post(url, BODY)[0] for _ in range(20)}
        deadline = time.monotonic() + 10
        while served(url) != "20.0":  # what another worker counted may be told a moment later
            assert time.monotonic() < deadline
            time.sleep(0.02)

    assert statuses == {200}
    assert "Traceback" not in log.read_text()


def test_a_busy_port_is_one_sentence(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        result = run(tmp_path, "serve", PORT=str(listener.getsockname()[1]))

    assert result.returncode == 2
    assert "is in use" in result.stderr
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"HOST": "0.0.0.0"}, "GATEWAY_API_KEYS"),
        ({"HOST": "192.0.2.1", "GATEWAY_API_KEYS": "k"}, "Cannot listen on 192.0.2.1"),
        ({"PORT": "http"}, "PORT must be a whole number"),
        ({"GATEWAY_CONFIG": "missing.yaml"}, "missing.yaml"),
    ],
)
def test_what_cannot_be_served_is_said_without_a_traceback(tmp_path: Path, settings: dict[str, str], said: str) -> None:
    result = run(tmp_path, "serve", **{"PORT": str(free_port()), **settings})

    assert result.returncode == 2
    assert said in result.stderr
    assert "Traceback" not in result.stderr


def test_check_prints_what_each_label_can_reach(tmp_path: Path) -> None:
    result = run(tmp_path, "check", OPENAI_API_KEY="sk-canary-4711", OLLAMA_BASE_URL="http://127.0.0.1:11434")

    assert result.returncode == 0
    assert re.search(r"confidential +llama", result.stdout)
    assert "canary" not in result.stdout + result.stderr


def test_check_fails_on_a_file_that_cannot_be_served(tmp_path: Path) -> None:
    (tmp_path / "broken.yaml").write_text("deployments: {}\npols: {}\n")

    result = run(tmp_path, "check", GATEWAY_CONFIG="broken.yaml")

    assert result.returncode == 2
    assert 'broken.yaml:2: unknown key "pols"' in result.stderr


def test_explain_says_how_a_request_would_be_routed(tmp_path: Path) -> None:
    (tmp_path / "body.json").write_text(json.dumps(BODY | {"messages": [{"role": "user", "content": "My SSN is 536-22-1234."}]}))
    command = [sys.executable, "-m", "app", "explain", "body.json"]
    asked: Any = {"cwd": tmp_path, "env": environment(tmp_path), "capture_output": True, "text": True, "timeout": 60}

    readable = subprocess.run(command, check=True, **asked).stdout
    parsed = json.loads(subprocess.run([*command, "--json"], check=True, **asked).stdout)

    assert re.search(r"ssn +hard +messages\[0\].content \[10:21\]", readable)
    assert re.search(r"confidential +-> local +matches", readable)
    assert parsed["label"] == "confidential"
    assert "536" not in readable + json.dumps(parsed)


@pytest.mark.parametrize(("body", "said"), [("{", "could not parse"), ('{"model": "auto"}', "messages")])
def test_explain_refuses_what_the_gateway_would_refuse(tmp_path: Path, body: str, said: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "app", "explain", "-"],
        cwd=tmp_path,
        env=environment(tmp_path),
        input=body,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 2
    assert said in done.stderr


def test_calibrate_reads_the_log_that_the_gateway_writes(tmp_path: Path) -> None:
    with serving(tmp_path) as (url, process, log):
        for text in ("Hello.", "Prove that there are infinitely many primes, step by step, and then write a Python function that lists the first n of them."):
            assert post(url, {**BODY, "messages": [{"role": "user", "content": text}]})[0] == 200
        urllib.request.urlopen(f"{url}/v1/models", timeout=10).close()
        process.send_signal(signal.SIGTERM)
        process.wait(20)
    command = [sys.executable, "-m", "app", "calibrate", str(log), "--share", "50%", "--json"]

    done = subprocess.run(command, cwd=tmp_path, env=environment(tmp_path), capture_output=True, text=True, timeout=60, check=True)
    found = json.loads(done.stdout)

    assert found["requests"] == 2
    assert found["skipped"]["other_route"] >= 1
    assert "bad_score" not in found["skipped"]
    assert found["proposed"]["shares"]["complex"] == 0.5
    assert "primes" not in done.stdout + done.stderr


def test_a_command_that_there_is_not_is_answered_with_the_nearest(tmp_path: Path) -> None:
    result = run(tmp_path, "chek")

    assert result.returncode == 2
    assert result.stderr == "python -m app: no command `chek`; did you mean `check`?\nTry `python -m app --help`.\n"


def test_nobody_reading_what_is_printed_is_no_fault(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "app", "check"], cwd=tmp_path, env=environment(tmp_path), stdout=writing, stderr=subprocess.PIPE, timeout=60, check=False
        )
    finally:
        os.close(writing)

    assert (done.returncode, done.stderr) == (141, b"")
