"""Compile requirements/*.in into requirements*.txt: every version and hash, for every supported Python and platform at once.

The index is the one that pip is told of (PIP_INDEX_URL), and never written into the files.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# Output, its input, and the output whose versions bind it.
FILES = (
    ("requirements.txt", "requirements/runtime.in", None),
    ("requirements-dev.txt", "requirements/dev.in", "requirements.txt"),
    ("requirements-clients.txt", "requirements/clients.in", None),
    ("requirements-bench.txt", "requirements/bench.in", None),
)


def main() -> None:
    """Compile each file whose input exists; arguments are passed to uv (`--upgrade`)."""
    environment = {"UV_CUSTOM_COMPILE_COMMAND": "make lock", **os.environ}
    if index := os.environ.get("PIP_INDEX_URL"):
        environment.setdefault("UV_DEFAULT_INDEX", index)
    if certificates := os.environ.get("PIP_CERT"):
        environment.setdefault("SSL_CERT_FILE", certificates)
    for output, source, constraint in FILES:
        if not (ROOT / source).exists():
            continue
        command = [sys.executable, "-m", "uv", "pip", "compile", "--universal", "--python-version", "3.11", "--generate-hashes", "--no-emit-index-url"]
        command += ["--quiet", source, "-o", output, *(["-c", constraint] if constraint else []), *sys.argv[1:]]
        subprocess.run(command, cwd=ROOT, env=environment, check=True)
        print(f"{output} from {source}", flush=True)


if __name__ == "__main__":
    main()
