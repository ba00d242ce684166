"""Serves simulators by hand: `python -m tests.simulators openai --port 9101 --tag cloud`, or `all` on successive ports. One line a request."""

from __future__ import annotations

import argparse
import contextlib
import signal
import sys
import threading

from tests.simulators import BEDROCK_CREDENTIALS, DIALECTS


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.simulators", description=__doc__)
    parser.add_argument("dialect", choices=[*DIALECTS, "all"])
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one; `all` counts up from it")
    parser.add_argument("--tag", help="what answers begin with (the dialect's name)")
    parser.add_argument("--fault", help="a fault for every request, such as status-500; see tests/simulators/faults.py")
    parser.add_argument("--api-key", help="the key to demand")
    given = parser.parse_args()
    chosen = list(DIALECTS) if given.dialect == "all" else [given.dialect]
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    with contextlib.ExitStack() as stack:
        for i, name in enumerate(chosen):
            port = given.port + i if given.port else 0
            simulator = stack.enter_context(DIALECTS[name](port=port, tag=given.tag, api_key=given.api_key, log=_say))
            simulator.fault = given.fault
            _say(f"{name} {simulator.base_url}")
        if "bedrock" in chosen:
            _say(f"bedrock wants AWS_ACCESS_KEY_ID={BEDROCK_CREDENTIALS.access_key_id} AWS_SECRET_ACCESS_KEY={BEDROCK_CREDENTIALS.secret_access_key}")
        stopped.wait()


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
