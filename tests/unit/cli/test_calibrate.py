from __future__ import annotations

import gzip
import io
import json
from pathlib import Path

import pytest

from app.__main__ import main
from tests.unit.gateway.test_calibration import line

CANARY = "the-canary-of-a-line"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GATEWAY_CONFIG", "gateway.yaml")
    configure("")
    return tmp_path


def configure(complexity: str) -> None:
    Path("gateway.yaml").write_text(f"deployments: {{a: {{model: ollama_chat/a}}}}\nrules: [{{use: a}}]\n{complexity}\n")


def log(count: int = 300) -> bytes:
    return b"".join(line(round(step / count, 4)) for step in range(count))


def run(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, str, str]:
    status = main(["calibrate", *argv])
    out, err = capsys.readouterr()
    return status, out, err


def test_a_log_gives_the_cuts_of_the_share(capsys: pytest.CaptureFixture[str]) -> None:
    Path("a.log").write_bytes(log())

    status, out, err = run(capsys, "a.log", "--share", "20%")

    assert status == 0
    assert "complex: 0.79835" in out
    assert err == ""


@pytest.mark.parametrize("name", ["a.log.gz", "a.log"])
def test_a_compressed_log_is_read_whatever_its_name(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path(name).write_bytes(gzip.compress(log()))

    assert "300 scores" in run(capsys, name)[1]


def test_several_logs_and_standard_input_count_as_one(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    Path("a.log").write_bytes(log())
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BufferedReader(io.BytesIO(log(200)))))

    assert "500 scores" in run(capsys, "a.log", "-")[1]


@pytest.mark.parametrize(("complexity", "share", "cut"), [("", 0.3, 0.42), ("complexity: {complex: 0.5, target_share: 0.4}", 0.4, 0.5)])
def test_the_share_and_todays_cuts_are_those_of_the_configuration(complexity: str, share: float, cut: float, capsys: pytest.CaptureFixture[str]) -> None:
    configure(complexity)
    Path("a.log").write_bytes(log())

    found = json.loads(run(capsys, "a.log", "--json")[1])

    assert (found["share"], found["today"]["complex"]) == (share, cut)
    assert found["proposed"]["shares"]["complex"] == pytest.approx(share)


def test_lines_that_are_skipped_are_counted_and_never_printed(capsys: pytest.CaptureFixture[str]) -> None:
    other = json.dumps({"event": CANARY, "score": 0.5}).encode()
    Path("a.log").write_bytes(log() + CANARY.encode() + b"\n" + other + b"\n" + b"x" * (3 << 20) + b"\n" + line(CANARY))

    status, out, err = run(capsys, "a.log", "--json")

    assert status == 0
    assert json.loads(out)["skipped"] == {"bad_score": 1, "not_json": 1, "other_event": 1, "too_long": 1}
    assert CANARY not in out + err


def test_a_log_without_scores_is_said_with_what_is_in_it(capsys: pytest.CaptureFixture[str]) -> None:
    Path("a.log").write_bytes(b'{"event": "request", "route": "/v1/chat/completions"}\nhello\n')

    status, out, err = run(capsys, "a.log")

    assert (status, out) == (1, "")
    assert "No scores in a.log: 2 skipped lines: chat requests without a score, which no rule in play read (1), no JSON (1)." in err
    assert "LOG_FORMAT" in err


def test_a_log_that_cannot_be_read_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    status, _, err = run(capsys, "missing.log")

    assert status == 2
    assert "missing.log cannot be read (No such file or directory)" in err


def test_what_could_be_read_of_a_compressed_log_that_is_cut_counts(capsys: pytest.CaptureFixture[str]) -> None:
    Path("a.gz").write_bytes(gzip.compress(log(20_000))[:-2000])

    status, out, err = run(capsys, "a.gz")

    assert status == 0
    assert "scores of chat requests" in out
    assert "a.gz is cut short or damaged" in err


def test_a_bad_configuration_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    Path("gateway.yaml").write_text("nothing: here\n")

    assert run(capsys, "a.log")[0] == 2


def test_progress_is_told_of_a_long_log(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    monkeypatch.setattr("app.cli.calibrate.Progress.tell", lambda _, what: told.append(what))
    Path("a.log").write_bytes(log(10_000))

    run(capsys, "a.log")

    assert [what.partition(",")[0] for what in told] == ["a.log: 4", "a.log: 8"]
    assert told[-1].endswith("%")
