"""Make a virtual environment hold what requirement files pin, every package checked against its hash. Called by bootstrap.sh, needs nothing but Python.

A stamp inside the environment records the files that were installed to the end. An environment without one was interrupted or made by other means; pip cannot
tell a half-unpacked package from a whole one, so it is made anew.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import subprocess
import sys
from argparse import ArgumentParser
from collections import deque
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
STAMP = ".installed.json"
SUPPORTED = ((3, 11), (3, 14))
REPORT_EVERY = 20  # packages between two lines of progress where the output is no terminal


def digests(requirements: list[str]) -> dict[str, str]:
    """Return each file's SHA-256."""
    return {name: hashlib.sha256((ROOT / name).read_bytes()).hexdigest() for name in requirements}


def installed(venv: Path) -> dict[str, str] | None:
    """Return what the stamp holds, None where there is none that can be read."""
    try:
        stamp = json.loads((venv / STAMP).read_text())
    except (OSError, ValueError):
        return None
    return stamp if isinstance(stamp, dict) else None


def is_current(venv: Path, wanted: dict[str, str]) -> bool:
    """Say whether the environment holds what is wanted."""
    stamp = installed(venv)
    return stamp is not None and all(stamp.get(name) == digest for name, digest in wanted.items())


def works(venv: Path, *, exactly: bool) -> bool:
    """Say whether the environment's own Python runs, is one we support (`exactly`: is this one's version) and has pip."""
    probe = "import sys, pip; print(*sys.version_info[:2])"
    try:
        answer = subprocess.run([venv / "bin/python", "-I", "-c", probe], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return False
    version = tuple(map(int, answer.stdout.split()))
    return version == sys.version_info[:2] if exactly else SUPPORTED[0] <= version <= SUPPORTED[1]


def make(venv: Path) -> None:
    """Make the environment anew, whatever stands in its place."""
    if venv.is_symlink() or venv.is_file():
        venv.unlink()
    print(f"Making {venv.name} with Python {sys.version.split()[0]} ({sys.executable})", flush=True)
    result = subprocess.run([sys.executable, "-m", "venv", "--clear", "--prompt", "sluice", venv], capture_output=True, text=True, check=False)
    if result.returncode:
        tell = (result.stdout + result.stderr).strip()
        sys.exit(f"{tell}\nThe environment {venv.name} could not be made: what Python said is above.")


def install(venv: Path, requirements: list[str]) -> None:
    """Install with hashes. pip's errors pass through, its many lines become a count."""
    pins = {line.split("==")[0] for name in requirements for line in (ROOT / name).read_text().splitlines() if "==" in line and line[0].isalnum()}
    print(f"Installing {', '.join(requirements)}: up to {len(pins)} packages, about a minute the first time", flush=True)
    command = [str(venv / "bin/python"), "-I", "-m", "pip", "install", "--require-hashes", "--no-user", "--no-input", "--progress-bar", "off"]
    command += [part for name in requirements for part in ("-r", name)]
    terminal = sys.stdout.isatty()
    tail: deque[str] = deque(maxlen=15)
    count = 0
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, errors="replace") as pip:
        for line in pip.stdout or ():
            tail.append(line)
            if line.startswith("Installing collected"):
                print("\r\x1b[K  unpacking" if terminal else "  unpacking", end="" if terminal else "\n", flush=True)
            elif line.startswith("Collecting "):
                count += 1
                if terminal:
                    print(f"\r\x1b[K  {count} {line.split()[1].split('==')[0]}", end="", flush=True)
                elif count % REPORT_EVERY == 0:
                    print(f"  {count} collected", flush=True)
    if terminal:
        print("\r\x1b[K", end="", flush=True)
    if pip.returncode:
        sys.exit(f"{''.join(tail)}pip could not install: its own words are above. Nothing is lost, run this again when they are dealt with.")


def main() -> None:
    """Do what the command line says; exit 1 with a sentence when it cannot be done."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("venv")
    parser.add_argument("requirements", nargs="+")
    parser.add_argument("--is-current", action="store_true", help="only say, by the exit code, whether there is nothing to do")
    parser.add_argument("--exactly", action="store_true", help="make the environment anew unless it has this Python's version")
    args = parser.parse_args()
    venv = ROOT / args.venv
    wanted = digests(args.requirements)
    if args.is_current:
        sys.exit(0 if is_current(venv, wanted) else 1)

    # Two commands at once on a fresh clone would clear each other's work: the second waits on this file's lock.
    with Path(__file__).open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        stamp = installed(venv)
        sound = stamp is not None and works(venv, exactly=args.exactly)
        if sound and is_current(venv, wanted):
            return
        if not sound:
            if venv.exists():
                print(f"{venv.name} is not whole, or not of the Python asked for", flush=True)
            make(venv)
            stamp = {}
        (venv / STAMP).unlink(missing_ok=True)
        install(venv, args.requirements)
        (venv / STAMP).write_text(json.dumps({**(stamp or {}), **wanted}, indent=1) + "\n")


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("\nInterrupted; run it again to go on.")
    except OSError as exc:
        sys.exit(f"The environment could not be made: {exc.strerror} ({exc.filename}).")
