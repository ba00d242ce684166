"""`python -m app explain FILE`: how a chat request would be routed, and why."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from app.cli.terminal import say, say_what_is_waited_for, wants_colour
from app.config.settings import environment, load_settings
from app.errors import GatewayError
from app.gateway.explain_text import to_text
from app.providers.catalog import load_catalog
from app.providers.deployments import load_configuration


def explain(file: str, *, as_json: bool) -> int:
    """Print how the request in `file` would be routed, and return the exit status. Raises ConfigError."""
    from app import main as root  # noqa: PLC0415 -- the other commands need no scanner

    if file == "-":
        say_what_is_waited_for("a request's JSON body")
    try:
        raw = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    except OSError as exc:
        say(f"{file} cannot be read ({exc.strerror}): name a file with a request's JSON body, or - for standard input.")
        return 2
    settings = load_settings()
    config, assembled = load_configuration(settings.gateway_config, {**environment(), **settings.variables()}, load_catalog())
    try:
        explained = root.explain_offline(settings, config, assembled, raw)
    except GatewayError as error:
        say(error.message)
        return 2
    sys.stdout.write(json.dumps(explained, indent=2) + "\n" if as_json else to_text(explained, colour=wants_colour(sys.stdout)))
    return 0
