"""The gateway as a process of its own: without a network, with a hostile environment, at debug level, and what it leaves on the disk."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.test_command_line import ROOT, post, serving
from tests.leakage.canaries import CANARIES, seen
from tests.leakage.lab import MODELS, configuration, held_by_files
from tests.simulators import DIALECTS, OpenAISimulator

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.leakage.conftest import Evidence
    from tests.simulators import Simulator

EMAIL = CANARIES["email"]
UNSHARE = shutil.which("unshare")
# Where libraries read an address, a proxy or a place to write to. All of them would lead to one server, which must stay unheard of.
ADDRESSES = """
OPENAI_BASE_URL OPENAI_API_BASE ANTHROPIC_BASE_URL ANTHROPIC_API_BASE GEMINI_API_BASE GOOGLE_GEMINI_BASE_URL COHERE_API_BASE CO_API_URL OLLAMA_API_BASE
OLLAMA_HOST AWS_ENDPOINT_URL AWS_ENDPOINT_URL_BEDROCK_RUNTIME AWS_BEDROCK_RUNTIME_ENDPOINT LITELLM_PROXY_API_BASE HF_ENDPOINT AZURE_API_BASE
HTTP_PROXY HTTPS_PROXY ALL_PROXY http_proxy https_proxy all_proxy LANGFUSE_HOST SENTRY_DSN OTEL_EXPORTER_OTLP_ENDPOINT
""".split()  # noqa: SIM905 -- thirty names read better as a paragraph


# What lets Python, its event loop and LiteLLM tell more of what they do.
TALKATIVE = {
    "PYTHONASYNCIODEBUG": "1",
    "PYTHONFAULTHANDLER": "1",
    "PYTHONWARNINGS": "always",
    "LITELLM_LOG": "DEBUG",
    "DEBUG": "1",
}


def chat(text: str, **fields: Any) -> dict[str, Any]:
    return {"model": "auto", "messages": [{"role": "user", "content": text}]} | fields


@pytest.fixture
def neighbours(tmp_path: Path) -> Iterator[tuple[dict[str, Simulator], dict[str, Simulator], Simulator]]:
    with contextlib.ExitStack() as stack:
        clouds = {name: stack.enter_context(kind(tag=f"cloud-{name}")) for name, kind in DIALECTS.items()}
        homes = {name: stack.enter_context(kind(tag=f"home-{name}")) for name, kind in DIALECTS.items()}
        public = stack.enter_context(OpenAISimulator(tag="public"))
        (tmp_path / "gateway.yaml").write_text(configuration(clouds, homes, public))
        (tmp_path / "tmp").mkdir()
        yield clouds, homes, public


def settings(tmp_path: Path, **more: str) -> dict[str, str]:
    return {"GATEWAY_CONFIG": str(tmp_path / "gateway.yaml"), "TMPDIR": str(tmp_path / "tmp"), "HOME": str(tmp_path), "LOG_LEVEL": "debug"} | more


def test_variables_of_the_environment_move_no_address(
    tmp_path: Path, neighbours: tuple[dict[str, Simulator], dict[str, Simulator], Simulator], evidence: Evidence
) -> None:
    clouds, homes, public = neighbours
    with OpenAISimulator(tag="elsewhere") as elsewhere:
        hostile = dict.fromkeys(ADDRESSES, elsewhere.url) | {"NO_PROXY": "", "no_proxy": ""} | TALKATIVE
        with serving(tmp_path, **settings(tmp_path, WORKERS="2", **hostile)) as (url, _, log):
            answers = [post(url, chat(EMAIL.text, model=f"home-{name}", stream=False)) for name in MODELS]
            answers += [post(url, chat("Say hello.", model=f"cloud-{name}")) for name in MODELS]
            for fault in ("echo-400", "echo-500", "malformed-1"):
                for home in homes.values():
                    home.fault = fault
                    post(url, chat(EMAIL.text))
            [shared] = (tmp_path / "tmp").iterdir()  # the workers' marks and metrics
            of_workers = held_by_files([shared])
            modes = (stat.S_IMODE(shared.stat().st_mode), stat.S_IMODE((shared / "marks").stat().st_mode))
        output = log.read_bytes()
        stray = elsewhere.connections

    left = held_by_files([tmp_path])
    at_clouds = b"".join(cloud.raw for cloud in (*clouds.values(), public))
    bytes_seen = seen(EMAIL, output) + seen(EMAIL, of_workers) + seen(EMAIL, left) + seen(EMAIL, at_clouds)
    evidence(
        "environment",
        f"{len(hostile)} variables that name another address or ask for more words; two workers; log, what they share, every file left",
        len(answers) + 18,
        bytes_seen,
    )
    assert [status for status, _, _ in answers] == [200] * 2 * len(MODELS)
    assert all(home.saw(EMAIL.value.encode()) for home in homes.values())
    assert b'"event":"request"' in output
    assert modes == (0o700, 0o600)
    assert not shared.exists()
    assert stray == 0
    assert bytes_seen == 0


@pytest.mark.skipif(not Path("/proc/self/limits").exists(), reason="there is no /proc here")
def test_core_dumps_are_off(tmp_path: Path, evidence: Evidence) -> None:
    with serving(tmp_path) as (_, process, _):
        limits = Path(f"/proc/{process.pid}/limits").read_text()
        kept = int(Path(f"/proc/{process.pid}/coredump_filter").read_text(), 16)

    evidence("core dumps", "the limits of the serving process", 1, 0)
    assert next(line for line in limits.splitlines() if line.startswith("Max core file size")).split()[4:6] == ["0", "0"]
    assert kept == 0


def namespaces_are_permitted() -> bool:
    return UNSHARE is not None and shutil.which("ip") is not None and subprocess.run([UNSHARE, "-rn", "true"], capture_output=True, check=False).returncode == 0


@pytest.mark.skipif(not namespaces_are_permitted(), reason="network namespaces are not permitted here")
def test_no_packet_leaves_without_a_route(tmp_path: Path, evidence: Evidence) -> None:
    """The kernel counts what has no route, also what a process only tried. The control within: one attempt of our own is counted."""
    assert UNSHARE is not None
    script = Path(__file__).with_name("air_gap.py")
    run = subprocess.run(
        [UNSHARE, "-rn", sys.executable, str(script), str(tmp_path)],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )

    assert run.returncode == 0, run.stderr
    told = json.loads(run.stdout)
    evidence("air gap", "import, start, a confidential request a dialect, without a default route: packets tried", len(told["answers"]), told["tried"])
    assert told["answers"] == {name: [200, "confidential"] for name in MODELS}
    assert told["tried"] == 0
    assert told["control"] > 0
