"""The processes under test: started, pinned, waited for, and read from /proc."""

from __future__ import annotations

import contextlib
import http.client
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ROOT = Path(__file__).resolve().parents[1]
KEY = "bench:sk-sluice-benchmark-key"
_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")
_START_S = 60.0
_LITELLM = "LITELLM_PROXY"  # the program `litellm` of an environment with litellm[proxy]
_PORTKEY = "PORTKEY_GATEWAY"  # the start-server.js of npm's @portkey-ai/gateway


@dataclass(frozen=True, slots=True)
class Target:
    """Something that a load can be sent to. Without a command it is the upstream itself."""

    name: str
    command: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    missing: str | None = None  # why it cannot run here


def cores() -> tuple[set[int], set[int]]:
    """Return the core of what is measured, and those of upstream and load; the same where there is only one."""
    available = sorted(os.sched_getaffinity(0))
    return {available[0]}, set(available[1:]) or {available[0]}


class Server:
    """One process and its children, pinned. Its output goes to a file, as an operator's would."""

    def __init__(self, target: Target, port: int, folder: Path, core: set[int]) -> None:
        self.target = target
        self.port = port
        self.log = folder / f"{target.name}.log"
        # From nothing but what is needed: a provider's key or a proxy of the environment must not change what is measured.
        env = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
        command = [part.replace("{port}", str(port)) for part in target.command]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                ["taskset", "-c", ",".join(map(str, sorted(core))), *command],
                cwd=ROOT,
                env={**env, **target.env, "PORT": str(port)},
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def wait_ready(self) -> None:
        """Return when something listens. Raises RuntimeError."""
        deadline = time.monotonic() + _START_S
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                break
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
                return
            time.sleep(0.05)
        raise RuntimeError(f"{self.target.name} did not start: {self.log.read_text(errors='replace')[-2000:]}")

    def ask(self, body: bytes) -> Mapping[str, str]:
        """Send one request and return the answer's headers. Raises RuntimeError unless it is answered with a completion."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request("POST", "/v1/chat/completions", body, {"content-type": "application/json", **self.target.headers})
            answer = connection.getresponse()
            raw = answer.read()
            if answer.status == 200 and b'"chat.completion"' in raw:
                return {name.lower(): value for name, value in answer.getheaders()}
            raise RuntimeError(f"{self.target.name} answers {answer.status}: {raw[:500]!r}")
        except OSError as exc:
            raise RuntimeError(f"{self.target.name} does not answer ({exc}): {self.log.read_text(errors='replace')[-2000:]}") from exc
        finally:
            connection.close()

    def cpu_s(self) -> float:
        """Return the CPU time of the process and its children so far, user and system."""
        return sum(_cpu_s(pid) for pid in _tree(self.process.pid))

    def pss_mb(self) -> float:
        """Return the same with shared pages counted in parts."""
        return sum(_pss_kb(pid) for pid in _tree(self.process.pid)) * 1024 / 1e6

    def rss_mb(self) -> float:
        """Return what the process and its children hold in memory, shared pages counted in each."""
        return sum(_rss(pid) for pid in _tree(self.process.pid)) / 1e6

    def stop(self) -> None:
        """End the process and its children."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGTERM)
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def targets(upstream: int, folder: Path, redis: int | None = None) -> list[Target]:
    """Return everything that can be compared, the missing ones with why."""
    url = f"http://127.0.0.1:{upstream}"
    env = {"UPSTREAM": url}
    key = {"authorization": f"Bearer {KEY.partition(':')[2]}"}
    found = [Target("direct")]
    found += [Target(name, _uvicorn(f"benchmarks.relays:{app}"), env) for name, app in (("echo", "echo"), ("bare", "bare"), ("fastapi", "fastapi_relay"))]
    found.append(Target("sluice", _SLUICE, _sluice_env(url, folder), key))
    found.append(Target("sluice-unscanned", (sys.executable, "-m", "benchmarks.unscanned"), _sluice_env(url, folder), key))
    if redis is not None:
        shared = {**_sluice_env(url, folder), "REDIS_URL": f"redis://127.0.0.1:{redis}/0", "GATEWAY_SECRET": "benchmark" * 4}
        found.append(Target("sluice-redis", _SLUICE, shared, key))
        found.append(Target("sluice-redis-2", _SLUICE, {**shared, "WORKERS": "2"}, key))
    return [*found, _litellm(url, folder), _litellm(url, folder, name="litellm-on", more=_LITELLM_ON), _portkey(url)]


# Of what the gateway has on in `_sluice_env`, all that LiteLLM's proxy has without a database: cache, metrics, log lines in JSON.
_LITELLM_ON = "litellm_settings: {cache: true, cache_params: {type: local, ttl: 300}, callbacks: [prometheus], json_logs: true}\n"
_SLUICE = (sys.executable, "-m", "app", "serve")


def _sluice_env(url: str, folder: Path) -> dict[str, str]:
    """Return the settings with everything on: keys, limits that are far, rules, the cache, a log line a request."""
    return {
        "GATEWAY_CONFIG": str(ROOT / "benchmarks/gateway.yaml"),
        "BENCH_UPSTREAM": f"{url}/v1",
        "GATEWAY_API_KEYS": KEY,
        "RATE_LIMIT_PER_MINUTE": "100000000",
        "CACHE_TTL": "300",
        "CHROMA_PATH": str(folder / "chroma"),
        "LOG_FORMAT": "json",
        "LOG_LEVEL": "info",
    }


def _uvicorn(app: str) -> tuple[str, ...]:
    options = ("--loop", "uvloop", "--http", "httptools", "--no-access-log", "--log-level", "warning", "--no-server-header")
    return (sys.executable, "-m", "uvicorn", app, "--port", "{port}", *options)


def _litellm(url: str, folder: Path, *, name: str = "litellm", more: str = "") -> Target:
    """Return LiteLLM's proxy; `more` are further lines of its configuration."""
    program = Path(os.environ.get(_LITELLM, ROOT / ".venv-litellm/bin/litellm"))
    if not program.exists():
        packages = "'litellm[proxy]' prometheus-client"
        why = f"no .venv-litellm (python -m venv .venv-litellm && .venv-litellm/bin/pip install {packages}), and {_LITELLM} names no other"
        return Target(name, missing=why)
    config = folder / f"{name}.yaml"
    config.write_text(f"model_list:\n  - model_name: auto\n    litellm_params: {{model: openai/gpt-4o-mini, api_base: {url}/v1, api_key: any}}\n{more}")
    master = "sk-benchmark-master-key"
    command = (str(program), "--config", str(config), "--port", "{port}", "--num_workers", "1")
    return Target(name, command, {"LITELLM_MASTER_KEY": master, "LITELLM_LOCAL_MODEL_COST_MAP": "True"}, {"authorization": f"Bearer {master}"})


def _portkey(url: str) -> Target:
    script, node = os.environ.get(_PORTKEY), shutil.which("node")
    if script is None or node is None:
        return Target("portkey", missing=f"{_PORTKEY} does not name the start-server.js of npm's @portkey-ai/gateway, or there is no node")
    headers = {"x-portkey-provider": "openai", "x-portkey-custom-host": f"{url}/v1", "authorization": "Bearer any"}
    return Target("portkey", (node, script, "--port={port}", "--headless"), headers=headers)


def start_redis(core: set[int], folder: Path) -> tuple[subprocess.Popen[bytes], int] | None:
    """Start a Redis on a free port, or return None where there is none to start."""
    program = shutil.which("redis-server")
    if program is None:
        return None
    port = free_port()
    command = ["taskset", "-c", ",".join(map(str, sorted(core))), program, "--port", str(port), "--save", "", "--appendonly", "no", "--bind", "127.0.0.1"]
    return subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, start_new_session=True), port


def new_folder() -> Path:
    return Path(tempfile.mkdtemp(prefix="sluice-bench-"))


def _tree(root: int) -> Sequence[int]:
    """Return a process and all its descendants."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                children.setdefault(int(_stat(int(entry.name))[1]), []).append(int(entry.name))
    found = [root]
    for pid in found:
        found.extend(children.get(pid, ()))
    return found


def _stat(pid: int) -> list[str]:
    """Return the fields of /proc/PID/stat from the state on (proc(5), field 3)."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def _cpu_s(pid: int) -> float:
    try:
        fields = _stat(pid)
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / _TICKS


def _rss(pid: int) -> int:
    try:
        return int(_stat(pid)[21]) * _PAGE
    except OSError:
        return 0


def _pss_kb(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)
