"""What LiteLLM's registry knows of models (price, window, abilities), read from its file without importing it, and our list of where providers are."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import orjson

from app.domain import Capability, Price

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_REGISTRY: Final = "model_prices_and_context_window_backup.json"
_OURS: Final = Path(__file__).with_name("catalog.json")

_FLAGS: Final = {
    "supports_function_calling": Capability.TOOLS,
    "supports_vision": Capability.IMAGES,
    "supports_audio_input": Capability.AUDIO,
    "supports_pdf_input": Capability.FILES,
    "supports_response_schema": Capability.JSON_SCHEMA,
}
REGISTERED: Final = frozenset(_FLAGS.values())
"""The capabilities of which the registry says whether a model that it knows has them."""

# The provider's names in the registry where they differ from the one that a deployment is written with.
_REGISTRY_NAMES: Final = {
    "bedrock": ("bedrock", "bedrock_converse"),
    "cohere_chat": ("cohere_chat", "cohere"),
    "ollama_chat": ("ollama",),
}
_BEDROCK_REGIONS: Final = ("us.", "eu.", "apac.", "jp.", "au.", "ca.", "us-gov.", "global.")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a provider is, and which variables hold its key by convention, the first one set counting. `base_url` is None where only the operator knows."""

    base_url: str | None
    keys: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Entry:
    """What the registry says of a model. `mode` is `chat`, `responses`, `embedding`, ...; windows are tokens."""

    mode: str
    price: Price | None
    context_window: int | None
    max_output_tokens: int | None
    capabilities: frozenset[Capability]


class Catalog:
    """Models by provider and name. Holds the whole registry (some 15 MB): build the table, then let it go."""

    def __init__(self, registry: Mapping[str, Any], endpoints: Mapping[str, Endpoint], excluded: Mapping[str, str]) -> None:
        self._registry = registry
        self.endpoints = endpoints
        self.excluded = excluded

    def entry(self, provider: str, model: str) -> Entry | None:
        """Return what is known of a model, or None."""
        names = _REGISTRY_NAMES.get(provider, (provider,))
        for key in _keys(provider, model):
            found = self._registry.get(key)
            if isinstance(found, dict) and found.get("litellm_provider") in names:
                return _entry(found)
        return None

    def knows_provider(self, provider: str) -> bool:
        """Say whether the registry has a model of that provider, whether or not it can be used."""
        return any(isinstance(found, dict) and found.get("litellm_provider") == provider for found in self._registry.values())


def load_catalog() -> Catalog:
    """Read both files; LiteLLM is found, not imported (importing takes seconds and reads the environment)."""
    package = find_spec("litellm")
    if package is None or package.origin is None:
        raise ModuleNotFoundError("litellm is not installed; run `make install`", name="litellm")
    registry = orjson.loads(Path(package.origin).with_name(_REGISTRY).read_bytes())
    ours = orjson.loads(_OURS.read_bytes())
    endpoints = {name: Endpoint(entry["base_url"], tuple(entry["keys"])) for name, entry in ours["providers"].items()}
    return Catalog(registry, endpoints, ours["excluded"])


def _keys(provider: str, model: str) -> Iterator[str]:
    """Yield the names that the registry may have for a model, the most exact first."""
    yield f"{provider}/{model}"
    if provider == "ollama_chat":  # `llama3.1:8b-instruct-q4` is a `llama3.1`
        yield f"ollama/{model}"
        yield f"ollama/{model.partition(':')[0]}"
        return
    if provider == "bedrock":
        model = model.removeprefix("converse/").removeprefix("invoke/")
        yield f"bedrock/{model}"
    yield model
    if provider == "bedrock":
        for region in _BEDROCK_REGIONS:
            if model.startswith(region):
                yield model.removeprefix(region)


def _entry(found: Mapping[str, Any]) -> Entry:
    return Entry(
        mode=str(found.get("mode", "chat")),
        price=_price(found),
        context_window=_whole(found.get("max_input_tokens")) or _whole(found.get("max_tokens")),
        max_output_tokens=_whole(found.get("max_output_tokens")),
        capabilities=frozenset(capability for flag, capability in _FLAGS.items() if found.get(flag) is True),
    )


def _price(found: Mapping[str, Any]) -> Price | None:
    costs = [found.get(key) for key in ("input_cost_per_token", "output_cost_per_token", "cache_read_input_token_cost")]
    sent, received, cached = (float(cost) if isinstance(cost, int | float) and cost >= 0 else None for cost in costs)
    return None if sent is None or received is None else Price(sent, received, cached)


def _whole(value: object) -> int | None:
    return int(value) if isinstance(value, int | float) and value > 0 else None
