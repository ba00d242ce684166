"""What is probably a slip in the settings, and stops nothing: lines of `.env` that nothing reads, and keys of callers that can be guessed."""

from __future__ import annotations

import difflib
import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

from dotenv.parser import parse_stream

from app.config.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_DOTENV: Final = Path(".env")
_SETTINGS: Final = frozenset(name.upper() for name in Settings.model_fields)

# A word of its own upon a line may be a part of a secret: only what looks like a variable's name is repeated.
_NAME: Final = re.compile(r"[A-Z][A-Z0-9_]{1,40}")

# What other programs read from the same file: docker-compose.yml, the libraries of providers and clouds, proxies, and the usual ones of every process.
_OTHERS: Final = re.compile(
    r"PROMETHEUS_KEY|GRAFANA_PASSWORD|(?i:(?:https?|all|no)_proxy)|PATH|HOME|USER|LANG|TZ|TERM|TMPDIR|NO_COLOR|DEBUG|PUID|PGID|UMASK"
    r"|(?:AWS|AZURE|GOOGLE|GCP|GCLOUD|VERTEX|VERTEXAI|BEDROCK|OLLAMA|LITELLM|HF|HUGGINGFACE|LANGFUSE|OTEL|SSL|REQUESTS|CURL|PYTHON|PIP|UV|LC|XDG"
    r"|COMPOSE|DOCKER|BUILDKIT|GF|POSTGRES|DATABASE|SENTRY|CLOUDFLARE|KUBERNETES|GITHUB|CI|MALLOC|TIKTOKEN|TOKENIZERS|ANONYMIZED|CHROMA_SERVER)_\w+"
    r"|OPENAI_(?:ORG|PROJECT|API_)\w*|\w+(?:API_?KEY|_API_BASE|_API_VERSION|_API_URL|_BASE_URL|_TOKEN|_SECRET_KEY|_ENDPOINT)"
)
_IN_YAML: Final = re.compile(r"\$\{(\w+)\}")
_SURELY_A_SLIP: Final = 0.9  # OPENAI_API_KEYS is one (0.97), OPENAI_API_BASE none (0.83)
_SHORT: Final = 16


def slips(settings: Settings, dotenv: Path = _DOTENV) -> list[str]:
    """Return a sentence for each; none holds a value. `dotenv` was read once already, by load_settings."""
    return [*_unread(dotenv, settings.gateway_config), *_short(settings)]


def _unread(dotenv: Path, gateway_config: Path) -> Iterator[str]:
    if not dotenv.is_file():
        return
    named = frozenset(_IN_YAML.findall(gateway_config.read_text(encoding="utf-8-sig")))
    with dotenv.open(encoding="utf-8-sig") as lines:
        bindings = list(parse_stream(lines))
    for binding in bindings:
        text = binding.original.string
        where = f"{dotenv}:{binding.original.line + len(text[: len(text) - len(text.lstrip())].splitlines())}"
        if binding.error or (binding.key is not None and binding.value is None):
            yield f"{where}: this is not NAME=value, and not read; a value with spaces or quotes in it stands in quotes"
        elif binding.key is not None and binding.key.upper() not in _SETTINGS and binding.key not in named:
            yield from (f"{where}: {sentence}" for sentence in _unknown(binding.key, {*_SETTINGS, *named}))


def _unknown(name: str, known: Iterable[str]) -> Iterator[str]:
    near = difflib.get_close_matches(name.upper(), sorted(known), n=1)
    surely = bool(near) and difflib.SequenceMatcher(None, name.upper(), near[0]).ratio() >= _SURELY_A_SLIP
    if surely or not _OTHERS.fullmatch(name):
        told = name if _NAME.fullmatch(name) else "this"
        yield f"{told} is no setting; did you mean {near[0]}?" if near else f"{told} is no setting, and gateway.yaml does not name it"


def _short(settings: Settings) -> Iterator[str]:
    short = sum(len(key.secret.get_secret_value()) < _SHORT for key in settings.api_keys)
    if short:
        yield f"GATEWAY_API_KEYS: {short} of {len(settings.api_keys)} can be guessed, under {_SHORT} characters; `openssl rand -hex 32` prints one"
