"""The grammar of the command line, and what it answers to words that it does not know."""

from __future__ import annotations

import argparse
import difflib
import sys
from functools import partial
from typing import TYPE_CHECKING, Final, NoReturn

from app import VERSION

if TYPE_CHECKING:
    from collections.abc import Sequence

_PROG: Final = "python -m app"
_START: Final = """\
to begin:
  python -m app check                 what the configuration comes to
  python -m app serve                 serve; with nothing configured, a demo model answers
  python -m app explain request.json  how a chat request would be routed, and why

Settings are variables of the environment or lines of .env; .env.example lists them.
GATEWAY_CONFIG names the file of deployments, pools and rules [config/gateway.yaml].
`python -m app COMMAND --help` says more of a command.
"""
_CHECK: Final = """\
--probe asks each active deployment once for its list of models, which costs nothing;
no completion is ever asked for.

exit status: 0 sound; 1 something is wrong, such as a rule that nothing can answer or,
with --probe, a deployment that does not answer; 2 a configuration that cannot be served
"""
_EXPLAIN: Final = """\
examples:
  python -m app explain request.json
  echo '{"model": "auto", "messages": [{"role": "user", "content": "Hello."}]}' |
    python -m app explain -

exit status: 0, or 2 for a request that the gateway would refuse to read
"""
_CALIBRATE: Final = """\
examples:
  python -m app calibrate gateway.log
  zcat -f gateway.log* | python -m app calibrate - --share 20%

Lines have a score where a rule in play reads `complexity`, `min_score` or `max_score`.
Scores are all that is read of a request.

exit status: 0, 1 for a log without scores, 2 for one that cannot be read
"""


_FORMAT: Final = partial(argparse.RawDescriptionHelpFormatter, max_help_position=18)


class _Parser(argparse.ArgumentParser):
    """An ArgumentParser that says what to write instead."""

    def error(self, message: str) -> NoReturn:
        sys.stderr.write(f"{self.prog}: {message}\nTry `{self.prog} --help`.\n")
        sys.exit(2)


def share(text: str) -> float:
    """Read a share between 0 and 1, written as 0.3 or 30%. Raises ArgumentTypeError."""
    try:
        value = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        value = -1.0
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError("write a share between 0 and 1, such as 0.3 or 30%")
    return value


def parse(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Return the command and its arguments. Exits with 2 and a sentence for what is none, with 0 for --help."""
    argv = sys.argv[1:] if argv is None else list(argv)
    parser, commands = _parser()
    if not argv:
        parser.print_help(sys.stderr)
        sys.exit(2)
    if not argv[0].startswith("-") and argv[0] not in commands:
        near = difflib.get_close_matches(argv[0], commands, n=1, cutoff=0.5)
        meant = f"did you mean `{near[0]}`?" if near else f"there are {', '.join(commands)}."
        parser.error(f"no command `{argv[0]}`; {meant}")
    return parser.parse_args(argv)


def _parser() -> tuple[_Parser, Sequence[str]]:
    parser = _Parser(
        prog=_PROG,
        description="An OpenAI-compatible gateway that keeps confidential requests local.",
        epilog=_START,
        formatter_class=_FORMAT,
    )
    parser.add_argument("-V", "--version", action="version", version=f"Sluice {VERSION}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", title="commands", parser_class=_Parser)

    def add(name: str, sentence: str, epilog: str = "") -> argparse.ArgumentParser:
        described = f"{sentence[:1].upper()}{sentence[1:]}."
        return commands.add_parser(name, help=sentence, description=described, epilog=epilog, formatter_class=_FORMAT)

    add("serve", "serve on HOST:PORT [127.0.0.1:8000] until SIGTERM; SIGHUP reads gateway.yaml anew")
    checking = add("check", "validate the settings and gateway.yaml, and say what they come to", _CHECK)
    checking.add_argument("--probe", action="store_true", help="ask each active deployment for its list of models, and say how it answered")
    checking.add_argument("--json", action="store_true", help="print one JSON object, for scripts")
    explaining = add("explain", "say how a chat request would be routed, and why; nothing is called", _EXPLAIN)
    explaining.add_argument("file", metavar="FILE", help="a file with the request's JSON body, or - for standard input")
    explaining.add_argument("--json", action="store_true", help="print what POST /v1/route answers")
    calibrating = add("calibrate", "say where to cut the scores of complexity, by those of the gateway's own log", _CALIBRATE)
    calibrating.add_argument("logs", metavar="LOG", nargs="+", help="a log of JSON lines, plain or compressed by gzip, or - for standard input")
    calibrating.add_argument("--share", type=share, metavar="SHARE", help="the share that is to be complex [target_share of gateway.yaml, else 0.3]")
    calibrating.add_argument("--json", action="store_true", help="print one JSON object, for scripts")
    return parser, list(commands.choices)
