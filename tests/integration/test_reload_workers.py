"""A reload in several worker processes: all or none, by SIGHUP or by a request to one of them."""

from __future__ import annotations

import json
import os
import re
import signal
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.test_command_line import serving
from tests.simulators import OpenAISimulator

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ADMIN = "an-administrators-own-key"
DEADLINE_S = 20


@pytest.fixture
def upstream() -> Iterator[OpenAISimulator]:
    with OpenAISimulator() as simulator:
        yield simulator


def write(folder: Path, upstream: OpenAISimulator, name: str, more: str = "") -> None:
    deployment = f'{name}: {{model: openai/gpt, api_base: "{upstream.url}/v1", api_key: k, clearance: confidential}}'
    (folder / "gateway.yaml").write_text(f"deployments: {{{deployment}}}\nrules: [{{use: {name}}}]\n{more}\n")


def settings(folder: Path, workers: int) -> dict[str, str]:
    return {"WORKERS": str(workers), "GATEWAY_CONFIG": str(folder / "gateway.yaml"), "ADMIN_API_KEY": ADMIN, "RATE_LIMIT_PER_MINUTE": "0"}


def reload(url: str) -> tuple[int, Any]:
    request = urllib.request.Request(f"{url}/admin/reload", b"", {"authorization": f"Bearer {ADMIN}"}, method="POST")
    try:
        with urllib.request.urlopen(request, timeout=DEADLINE_S) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def models(url: str) -> str:
    with urllib.request.urlopen(f"{url}/v1/models", timeout=5) as response:
        return " ".join(model["id"] for model in json.load(response)["data"])


def served(url: str) -> set[str]:
    """Return what 16 connections are told, whichever worker takes each."""
    return {models(url) for _ in range(16)}


def children(pid: int) -> list[int]:
    """Return the worker processes: the children that run what multiprocessing spawns, less its tracker."""
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(status.read_text().rpartition(")")[2].split()[1])
            command = (status.parent / "cmdline").read_bytes()
        except OSError:
            continue
        if parent == pid and b"spawn_main" in command:
            found.append(int(status.parent.name))
    return sorted(found)


def reloads(url: str) -> dict[str, str]:
    with urllib.request.urlopen(f"{url}/metrics", timeout=5) as response:
        return dict(re.findall(r'^sluice_reloads_total\{outcome="(\w+)"\} (\S+)$', response.read().decode(), re.MULTILINE))


def until(condition: Callable[[], bool], log: Path) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.05)


def test_a_request_to_one_worker_reloads_all_and_a_bad_file_none(tmp_path: Path, upstream: OpenAISimulator) -> None:
    write(tmp_path, upstream, "first")
    with serving(tmp_path, **settings(tmp_path, 2)) as (url, process, log):
        until(lambda: len(children(process.pid)) == 2, log)
        workers = children(process.pid)
        unchanged = reload(url)
        write(tmp_path, upstream, "second")
        (tmp_path / ".env").write_text("CACHE_TTL=7\nADMIN_API_KEY=which-the-environment-has-already\nOTHER=1\n")
        taken = reload(url)
        after = served(url)
        write(tmp_path, upstream, "third", more="colour: blue")
        refused = reload(url)
        kept = served(url)
        until(lambda: reloads(url) == {"taken": "2.0", "refused": "1.0"}, log)  # what another worker counted may be told a moment later

        assert (taken[0], taken[1]["workers"], taken[1]["replaced"]) == (200, 2, 0)
        assert unchanged[1]["not_reloaded"] == []
        assert taken[1]["not_reloaded"] == ["CACHE_TTL of .env: restart for another value"]
        assert after == {"auto second"}
        assert (refused[0], [fault["line"] for fault in refused[1]["faults"]]) == (400, [3])
        assert kept == {"auto second"}
        assert children(process.pid) == workers


def test_a_worker_that_is_replaced_serves_what_the_others_do_whatever_the_file_says_by_then(tmp_path: Path, upstream: OpenAISimulator) -> None:
    write(tmp_path, upstream, "first")
    with serving(tmp_path, **settings(tmp_path, 2)) as (url, process, log):
        until(lambda: len(children(process.pid)) == 2, log)
        write(tmp_path, upstream, "second", more="colour: blue")
        os.kill(gone := children(process.pid)[0], signal.SIGKILL)
        until(lambda: len(children(process.pid)) == 2 and gone not in children(process.pid), log)
        write(tmp_path, upstream, "third")

        outcome = reload(url)[1]

        assert outcome["workers"] + outcome["replaced"] == 2, log.read_text()  # one that is late, being new, is replaced once more
        assert served(url) == {"auto third"}


@pytest.mark.parametrize("workers", [1, 2])
def test_a_hangup_reloads_and_a_bad_file_is_told_in_the_log(tmp_path: Path, upstream: OpenAISimulator, workers: int) -> None:
    write(tmp_path, upstream, "first")
    with serving(tmp_path, **settings(tmp_path, workers)) as (url, process, log):
        write(tmp_path, upstream, "second", more="colour: blue")
        process.send_signal(signal.SIGHUP)
        until(lambda: "reload_refused" in log.read_text(), log)
        kept = served(url)
        write(tmp_path, upstream, "third")
        process.send_signal(signal.SIGHUP)
        until(lambda: served(url) == {"auto third"}, log)

        assert kept == {"auto first"}
        assert "gateway.yaml:3:" in log.read_text()
        assert process.poll() is None
