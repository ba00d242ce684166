"""The command line: `python -m app serve`, `check` and `explain`."""

from __future__ import annotations

import argparse
import contextlib
import errno
import json
import os
import secrets
import socket
import sys
import tempfile
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, cast

import uvicorn

from app.config.check import report
from app.config.faults import ConfigError
from app.config.settings import environment, load_settings
from app.errors import GatewayError
from app.gateway.explain_text import to_text
from app.http_protocol import HeldHttpProtocol
from app.providers.catalog import load_catalog
from app.providers.deployments import load_configuration
from app.utils import net

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Sequence

    from starlette.types import ASGIApp

    from app.config.assembled import Assembled
    from app.config.settings import Settings
    from app.loading import Loaded


_BACKLOG = 2048


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return the exit status: 0, or 2 for a configuration or a port that cannot be used."""
    parser = argparse.ArgumentParser(prog="python -m app", description="An OpenAI-compatible gateway that keeps confidential requests local.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("serve", help="serve on HOST:PORT (127.0.0.1:8000)")
    commands.add_parser("check", help="validate the settings and gateway.yaml, and print what each label can reach")
    explaining = commands.add_parser("explain", help="say how a chat request would be routed, and why; nothing is called")
    explaining.add_argument("file", help="a file with the request's JSON body, or - for standard input")
    explaining.add_argument("--json", action="store_true", help="print what POST /v1/route answers")
    arguments = parser.parse_args(argv)
    try:
        if arguments.command == "explain":
            return explain(arguments.file, as_json=arguments.json)
        return serve() if arguments.command == "serve" else check()
    except ConfigError as exc:
        _say(str(exc))
        return 2


def explain(file: str, *, as_json: bool) -> int:
    """Print how the request in `file` would be routed. Raises ConfigError."""
    from app import main as root  # noqa: PLC0415 -- the other commands need no scanner

    try:
        raw = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    except OSError as exc:
        _say(f"{file} cannot be read: {exc.strerror}.")
        return 2
    settings = load_settings()
    config, assembled = load_configuration(settings.gateway_config, {**environment(), **settings.variables()}, load_catalog())
    try:
        explained = root.explain_offline(settings, config, assembled, raw)
    except GatewayError as error:
        _say(error.message)
        return 2
    sys.stdout.write(json.dumps(explained, indent=2) + "\n" if as_json else to_text(explained, colour=sys.stdout.isatty()))
    return 0


def check() -> int:
    """Print what the configuration comes to. Raises ConfigError."""
    settings = load_settings()
    from app.assessing import check_scan  # noqa: PLC0415 -- the scanner says whether it takes the file's own patterns

    file, assembled = load_configuration(settings.gateway_config, {**environment(), **settings.variables()}, load_catalog())
    check_scan(file)
    sys.stdout.write(report(file, assembled) + "\n")
    return 0


def serve() -> int:
    """Serve until a signal. Raises ConfigError."""
    leave_no_core()
    settings = load_settings()
    listener = _listen(settings)
    if listener is None:
        return 2
    from app import main as root  # noqa: PLC0415 -- a busy port is told before a second of imports
    from app.loading import load_anew  # noqa: PLC0415 -- as above
    from app.parts import compose  # noqa: PLC0415 -- as above

    root.configure_logging(settings)
    net.spread()
    if settings.workers > 1:
        loaded = load_anew(settings)
        _announce(settings, loaded.assembled)
        return _serve_workers(settings, listener, loaded)
    parts = compose(settings, environment(), read=partial(load_anew, settings))
    _announce(settings, parts.assembled)
    _run(uvicorn.Server(_uvicorn(root.build_app(parts), settings)), listener)
    return 0


def leave_no_core() -> None:
    """Turn core dumps off, here and in every child: one would hold requests.

    Where the kernel pipes cores to a program (core(5), "Piping core dumps"), the limit does not hold; the filter then leaves out all memory that is no file's.
    """
    with contextlib.suppress(ImportError):  # Windows has no core dumps
        import resource  # noqa: PLC0415 -- POSIX only

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with contextlib.suppress(OSError):
        Path("/proc/self/coredump_filter").write_text("0", encoding="ascii")


def _listen(settings: Settings) -> socket.socket | None:
    """Return a socket bound to HOST and PORT, or None with a sentence where that cannot be."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)  # asyncio sets TCP_NODELAY where the protocol is named
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.host, settings.port))
        listener.listen(_BACKLOG)
    except OSError as exc:
        listener.close()
        if exc.errno == errno.EADDRINUSE:
            _say(f"Port {settings.port} on {settings.host} is in use: stop what listens there, or set PORT to another.")
        else:
            _say(f"Cannot listen on {settings.host}:{settings.port} ({exc.strerror}): set HOST and PORT to an address of this machine.")
        return None
    listener.set_inheritable(True)
    return listener


def _uvicorn(app: ASGIApp | str, settings: Settings) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        factory=isinstance(app, str),
        workers=settings.workers,
        loop="uvloop" if find_spec("uvloop") else "asyncio",
        # httptools, for h11 was seen to serve a request smuggled with Transfer-Encoding and Content-Length. uvicorn calls whatever makes a protocol.
        http=cast("type[asyncio.Protocol]", partial(HeldHttpProtocol, write_idle_s=settings.stream_idle_s)),
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        proxy_headers=False,  # limits.client_address reads them, from trusted proxies alone
        server_header=False,
        timeout_graceful_shutdown=round(settings.shutdown_grace_s),
    )


def _serve_workers(settings: Settings, listener: socket.socket, loaded: Loaded) -> int:
    """Serve from several processes that share the listener, a secret (so that they share cache keys) and a folder for metrics."""
    from app.loading import load_anew  # noqa: PLC0415 -- as in serve
    from app.main import worker_app  # noqa: PLC0415 -- as in serve
    from app.supervisor import Supervisor  # noqa: PLC0415 -- as above

    os.environ["GATEWAY_SECRET"] = settings.gateway_secret.get_secret_value() if settings.gateway_secret else secrets.token_hex(32)
    with tempfile.TemporaryDirectory(prefix="sluice-metrics-") as folder:
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder
        config = _uvicorn("app.main:worker_app", settings)
        Supervisor(config, [listener], loaded=loaded, serve=worker_app, read=partial(load_anew, settings)).run()
    return 0


def _run(server: uvicorn.Server, listener: socket.socket) -> None:
    try:
        server.run(sockets=[listener])
    except KeyboardInterrupt:  # uvicorn raises the signal anew once it has shut down
        return


def _announce(settings: Settings, assembled: Assembled) -> None:
    """Print what is active, what is not and why, and a line to try."""
    table = assembled.table
    for deployment in table.deployments.values():
        what = f"{deployment.provider}/{deployment.model} at {deployment.address}" if deployment.address else "built in, answers while nothing is configured"
        _say(f"  active    {deployment.name:18} {what}, cleared for {deployment.clearance}")
    for name, why in table.inactive.items():
        _say(f"  inactive  {name:18} {why}")
    for warning in assembled.warnings:
        _say(f"  warning   {warning}")
    if not settings.api_keys:
        open_to = "ANYBODY WHO REACHES THIS PORT (ALLOW_ANONYMOUS)" if settings.allow_anonymous else "this machine only"
        _say(f"No GATEWAY_API_KEYS: no key is asked for, and the gateway answers to {open_to}.")
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    key = " -H 'Authorization: Bearer YOUR_KEY'" if settings.api_keys else ""
    body = """'{"model": "auto", "messages": [{"role": "user", "content": "Say hello."}]}'"""
    _say(f"Serving on http://{host}:{settings.port} (API description at /docs). Try:")
    _say(f"  curl -i http://{host}:{settings.port}/v1/chat/completions -H 'Content-Type: application/json'{key} -d {body}")


def _say(sentence: str) -> None:
    sys.stderr.write(sentence + "\n")
    sys.stderr.flush()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        sys.exit(main())
