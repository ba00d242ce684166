"""benchmarks/steps.py calls the gateway's parts by hand: it has to know them as they are."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_every_step_of_a_request_can_be_measured() -> None:
    ran = subprocess.run([sys.executable, "-m", "benchmarks.steps", "--calls", "1"], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)

    assert ran.returncode == 0, ran.stderr
    assert {"assess, whole", "plan", "cache key", "log line, count and time of a request"} <= {line[:42].strip() for line in ran.stdout.splitlines()}
