"""How each dialect lists its models: a request that costs nothing, and that asks for the address, the key and the model's name at once.

Formats: OpenAI's `GET /v1/models`; Anthropic's `GET /v1/models` (docs.anthropic.com, "List models"); Gemini's `models.list` (ai.google.dev); Cohere's
`GET /v1/models`; Ollama's `GET /api/tags` (docs/api.md of ollama/ollama); Azure OpenAI's `GET /openai/models`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, urlsplit

from app.providers.residence import whole_name
from app.providers.translate.dialect import joined

if TYPE_CHECKING:
    from collections.abc import Mapping

    from app.domain import Deployment

_OLLAMA: Final = frozenset({"ollama", "ollama_chat"})
_COHERE: Final = frozenset({"cohere", "cohere_chat"})
_ANTHROPIC_VERSION: Final = "2023-06-01"
_PAGE: Final = 1_000  # the most that Anthropic, Gemini and Cohere give at once; all have fewer
_DATED: Final = re.compile(r"-\d{8}|-\d{4}-\d{2}-\d{2}")

# Azure lists what its resource could deploy, not the names that its deployments have; Fireworks' list leaves most of its models out.
_OTHER_NAMES: Final = frozenset({"azure", "fireworks_ai"})
_ROOTED: Final = frozenset({"deepseek"})  # its list stands beside `/beta`, not below
_NOT_ASKED: Final = {"bedrock": "Bedrock lists its models at another host than it answers at, which egress does not admit"}


@dataclass(frozen=True, slots=True)
class Listing:
    """The request for a deployment's list of models."""

    path: str
    headers: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Models:
    """What a list says of one deployment. `listed` is None where the list is not of the names that are asked for, or not whole."""

    count: int
    listed: bool | None
    remote: bool = False  # an Ollama's model that runs on another host


def why_not(deployment: Deployment) -> str | None:
    """Return why a deployment is not asked for its models; None where it is."""
    return _NOT_ASKED.get(deployment.provider)


def listing(deployment: Deployment) -> Listing:
    """Return the request for the list of a deployment that `why_not` says nothing against."""
    base = urlsplit(deployment.base_url).path.rstrip("/")
    match deployment.provider:
        case "azure":
            path = f"{base}/openai/models?api-version={quote(deployment.params.get('api_version', ''), safe='')}"
        case "anthropic":
            path = f"{joined(deployment, '/v1/messages').removesuffix('/messages')}/models?limit={_PAGE}"
        case "gemini":
            path = f"{joined(deployment, '/v1beta/models')}?pageSize={_PAGE}"
        case provider if provider in _COHERE:
            path = f"{joined(deployment, '/v2/chat').removesuffix('/v2/chat')}/v1/models?page_size={_PAGE}"
        case provider if provider in _OLLAMA:
            path = f"{base.removesuffix('/v1').removesuffix('/api')}/api/tags"
        case provider if provider in _ROOTED:
            path = "/models"
        case _:
            path = f"{base}/models"
    return Listing(path, (("accept", "application/json"), ("user-agent", "sluice"), *_credentials(deployment)))


def _credentials(deployment: Deployment) -> tuple[tuple[str, str], ...]:
    version = (("anthropic-version", _ANTHROPIC_VERSION),) if deployment.provider == "anthropic" else ()
    key = deployment.api_key
    if key is None:
        return version
    own = {"azure": "api-key", "anthropic": "x-api-key", "gemini": "x-goog-api-key"}.get(deployment.provider)
    return (*version, (own, key) if own is not None else ("authorization", f"Bearer {key}"))


def read_models(deployment: Deployment, answer: Any) -> Models | None:
    """Return what a parsed answer says of the deployment's model; None where it is no list of models."""
    entries = _entries(answer)
    if entries is None:
        return None
    ours = [entry for entry in entries if any(_is_same(deployment, str(entry[key])) for key in ("id", "name", "model") if entry.get(key))]
    remote = any(entry.get("remote_host") or entry.get("remote_model") for entry in ours)
    if not ours and (deployment.provider in _OTHER_NAMES or not _is_whole(answer) or _takes_any_name(entries)):
        return Models(len(entries), None)
    return Models(len(entries), bool(ours), remote)


def _entries(answer: Any) -> list[Mapping[str, Any]] | None:
    """Return the entries of `{"data": [...]}`, `{"models": [...]}` or a bare list."""
    if isinstance(answer, dict):
        answer = answer.get("data", answer.get("models"))
    return [entry for entry in answer if isinstance(entry, dict)] if isinstance(answer, list) else None


def _is_whole(answer: Any) -> bool:
    return not (isinstance(answer, dict) and (answer.get("has_more") or answer.get("nextPageToken") or answer.get("next_page_token")))


def _takes_any_name(entries: list[Mapping[str, Any]]) -> bool:
    """Say whether this is llama.cpp's server, which answers by its one model whatever name it is asked for."""
    return bool(entries) and all(entry.get("owned_by") == "llamacpp" for entry in entries)


def _is_same(deployment: Deployment, name: str) -> bool:
    """Say whether a listed name is the deployment's: as it is written, less what a dialect puts around it, or the dated name of an alias."""
    ours = deployment.model.removeprefix("models/")
    theirs = name.removeprefix("models/")
    if ours == theirs or whole_name(ours) == whole_name(theirs):
        return True
    return bool(_DATED.fullmatch(theirs.removeprefix(ours.removesuffix("-latest"))))
