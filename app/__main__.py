"""The command line: `python -m app serve`, `check`, `explain` and `calibrate`."""

from __future__ import annotations

import contextlib
import errno
import math
import os
import secrets
import signal
import socket
import sys
import tempfile
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, cast

try:
    import uvicorn
except ModuleNotFoundError:
    sys.exit(f"{sys.executable} lacks Sluice's packages: run `make install`, and then `.venv/bin/python -m app`.")

from app.cli.arguments import parse
from app.cli.terminal import say
from app.config.faults import ConfigError
from app.config.settings import environment, load_settings
from app.config.slips import slips
from app.http_protocol import HeldHttpProtocol
from app.listening import doors
from app.utils import net

if TYPE_CHECKING:
    import argparse
    import asyncio
    from collections.abc import Sequence

    from starlette.types import ASGIApp

    from app.config.assembled import Assembled
    from app.config.settings import Settings
    from app.loading import Loaded


_BACKLOG = 2048


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return the exit status: 0; 1 where it found something wrong; 2 for what cannot be used: a configuration, a file, a port."""
    arguments = parse(argv)
    leave_no_core()
    try:
        return _run_command(arguments)
    except ConfigError as exc:
        say(str(exc))
        return 2


def _run_command(arguments: argparse.Namespace) -> int:
    match arguments.command:
        case "check":
            from app.cli.check import check  # noqa: PLC0415 -- each command imports what it needs alone

            return check(probe=arguments.probe, in_json=arguments.json)
        case "explain":
            from app.cli.explain import explain  # noqa: PLC0415 -- as above

            return explain(arguments.file, as_json=arguments.json)
        case "calibrate":
            from app.cli.calibrate import calibrate  # noqa: PLC0415 -- as above

            return calibrate(arguments.logs, arguments.share, as_json=arguments.json)
    return serve()


def serve() -> int:
    """Serve until a signal. Raises ConfigError."""
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
    if hasattr(signal, "SIGUSR1"):
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)  # which replaces the workers, where there are several, and would end this process
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
            say(f"Port {settings.port} on {settings.host} is in use: stop what listens there, or set PORT to another.")
        else:
            say(f"Cannot listen on {settings.host}:{settings.port} ({exc.strerror}): set HOST and PORT to an address of this machine.")
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
        timeout_graceful_shutdown=math.ceil(settings.shutdown_grace_s),
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
        server.run(sockets=doors(listener))
    except KeyboardInterrupt:  # uvicorn raises the signal anew once it has shut down
        return


def _announce(settings: Settings, assembled: Assembled) -> None:
    """Print what is active, what is not and why, and a line to try."""
    table = assembled.table
    for deployment in table.deployments.values():
        what = f"{deployment.provider}/{deployment.model} at {deployment.address}" if deployment.address else "built in, answers while nothing is configured"
        say(f"  active    {deployment.name:18} {what}, cleared for {deployment.clearance}")
    for name, why in table.inactive.items():
        say(f"  inactive  {name:18} {why}")
    for warning in (*assembled.warnings, *slips(settings)):
        say(f"  warning   {warning}")
    if not settings.api_keys:
        open_to = "ANYBODY WHO REACHES THIS PORT (ALLOW_ANONYMOUS)" if settings.allow_anonymous else "this machine only"
        say(f"No GATEWAY_API_KEYS: no key is asked for, and the gateway answers to {open_to}.")
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    key = " -H 'Authorization: Bearer YOUR_KEY'" if settings.api_keys else ""
    body = """'{"model": "auto", "messages": [{"role": "user", "content": "Say hello."}]}'"""
    url = f"http://{host}:{settings.port}"
    if settings.api_keys:  # no browser sends one to /docs
        say(f"Serving on {url}. Its API's description:")
        say(f"  curl{key} {url}/openapi.json")
        say("Try:")
    else:
        say(f"Serving on {url} (API description at /docs). Try:")
    say(f"  curl -i {url}/v1/chat/completions -H 'Content-Type: application/json'{key} -d {body}")
    say(f"Process {os.getpid()}: SIGHUP reads {settings.gateway_config} anew, SIGTERM or Ctrl-C stops it.")


def _exit_status() -> int:
    """Run the command of this process; 128 and the signal's number where Ctrl-C ended it, or nobody reads what it prints, as shells say it."""
    try:
        status = main()
        sys.stdout.flush()
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the interpreter complains as it flushes at its end
        return 141
    return status


if __name__ == "__main__":
    sys.exit(_exit_status())
