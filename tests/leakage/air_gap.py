"""Run inside a network namespace that has no route: serve, ask, and print what the kernel counted. `python air_gap.py FOLDER`."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import sys
from pathlib import Path

from tests.integration.test_command_line import post, serving
from tests.leakage.canaries import CANARIES
from tests.leakage.lab import MODELS, configuration
from tests.simulators import DIALECTS, OpenAISimulator


def no_routes() -> int:
    """Return how many packets of this namespace, of any protocol, had nowhere to go."""
    lines = [line.split() for line in Path("/proc/net/snmp").read_text().splitlines() if line.startswith("Ip:")]
    sixth = dict(line.split() for line in Path("/proc/net/snmp6").read_text().splitlines())
    return int(lines[1][lines[0].index("OutNoRoutes")]) + int(sixth.get("Ip6OutNoRoutes", 0))


def main(folder: Path) -> None:
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    assert subprocess.run(["ip", "route"], capture_output=True, text=True, check=True).stdout == ""
    before = no_routes()
    with contextlib.ExitStack() as stack:
        clouds = {name: stack.enter_context(kind()) for name, kind in DIALECTS.items()}
        homes = {name: stack.enter_context(kind()) for name, kind in DIALECTS.items()}
        public = stack.enter_context(OpenAISimulator())
        (folder / "gateway.yaml").write_text(configuration(clouds, homes, public))
        url, _, _ = stack.enter_context(serving(folder, GATEWAY_CONFIG=str(folder / "gateway.yaml")))
        answers = {}
        for name in MODELS:
            body = {"model": f"home-{name}", "messages": [{"role": "user", "content": CANARIES["email"].text}]}
            status, _, headers = post(url, body)
            answers[name] = [status, {key.lower(): value for key, value in headers.items()}.get("x-gateway-label")]
    tried = no_routes() - before
    with contextlib.suppress(OSError), socket.socket() as control:
        control.connect(("192.0.2.1", 9))
    sys.stdout.write(json.dumps({"answers": answers, "tried": tried, "control": no_routes() - before - tried}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
