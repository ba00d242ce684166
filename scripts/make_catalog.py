"""Write app/providers/catalog.json: where each OpenAI-compatible provider is and which variables hold its key.

LiteLLM knows both in code alone, so it is asked once, here, and what it says is reviewed as a diff. Run by `make catalog` after an upgrade of LiteLLM.
"""

from __future__ import annotations

import json
import os
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

CATALOG: Final = Path(__file__).resolve().parent.parent / "app" / "providers" / "catalog.json"

# LiteLLM counts these as OpenAI-compatible, and they cannot be called with a base URL and a bearer key alone; each with what stands in the way.
_EXCLUDED: Final = {
    "ai21": "its name for models that only complete text; ai21_chat is its chat",
    "azure_ai": "another path and key header for each kind of model",
    "chatgpt": "signs in by device code",
    "clarifai": "the model's name is a URL",
    "codestral": "fill-in-the-middle has a path of its own; mistral/codestral-latest is its chat",
    "github_copilot": "signs in by device code",
    "ragflow": "the agent's name is part of the path",
    "sarvam": "wants a key header of its own",
}
# Compatible by their own documentation, but LiteLLM puts their addresses together while it calls, or takes them from the caller alone.
_ADDED: Final[dict[str, dict[str, Any]]] = {
    "amazon_nova": {"base_url": "https://api.nova.amazon.com/v1", "keys": ["AMAZON_NOVA_API_KEY"]},
    "azure": {"base_url": None, "keys": ["AZURE_API_KEY"]},
    "cometapi": {"base_url": "https://api.cometapi.com/v1", "keys": ["COMETAPI_KEY"]},
    "compactifai": {"base_url": "https://api.compactif.ai/v1", "keys": ["COMPACTIFAI_API_KEY"]},
    "hosted_vllm": {"base_url": None, "keys": []},
    "litellm_proxy": {"base_url": None, "keys": ["LITELLM_PROXY_API_KEY"]},
    "lm_studio": {"base_url": None, "keys": []},
    "minimax": {"base_url": "https://api.minimax.io/v1", "keys": ["MINIMAX_API_KEY"]},
    "openai": {"base_url": "https://api.openai.com/v1", "keys": ["OPENAI_API_KEY"]},
    "openrouter": {"base_url": "https://openrouter.ai/api/v1", "keys": ["OPENROUTER_API_KEY", "OR_API_KEY"]},
    "ovhcloud": {"base_url": "https://oai.endpoints.kepler.ai.cloud.ovh.net/v1", "keys": ["OVHCLOUD_API_KEY"]},
    "xinference": {"base_url": None, "keys": []},
}
# Servers that one runs oneself, which want no key.
_KEYLESS: Final = {"docker_model_runner", "llamafile"}
_ENDING: Final = "/chat/completions"
_OFFLINE: Final = (
    "LITELLM_LOCAL_MODEL_COST_MAP",
    "LITELLM_LOCAL_ANTHROPIC_BETA_HEADERS",
    "LITELLM_LOCAL_BLOG_POSTS",
    "LITELLM_LOCAL_POLICY_TEMPLATES",
    "LITELLM_LOCAL_AUTOROUTER_PRESETS",
)


class _Recorder:
    """Notes which environment variables are asked for; all of them are unset, so that no local setting gets into the catalog."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def install(self) -> None:
        """Stand in for the environment's own look-up."""
        for name in list(os.environ):
            if name not in {*_OFFLINE, "LITELLM_MODE", "HF_HUB_OFFLINE", "PATH", "HOME"}:
                del os.environ[name]
        environ = type(os.environ)
        look_up = environ.__getitem__

        def record(mapping: Any, name: Any) -> Any:
            self.asked.append(name)
            return look_up(mapping, name)

        environ.__getitem__ = record  # type: ignore[method-assign] # the look-up is what is to be watched


def build() -> dict[str, Any]:
    """Return the catalog. Imports LiteLLM, which opens no connection with what is set here."""
    os.environ.update(dict.fromkeys(_OFFLINE, "True") | {"LITELLM_MODE": "PRODUCTION", "HF_HUB_OFFLINE": "1"})
    import litellm  # noqa: PLC0415 -- it reads the environment while it is imported
    from litellm.llms.openai_like.json_loader import JSONProviderRegistry  # noqa: PLC0415

    recorder = _Recorder()
    recorder.install()
    names = {"mistral", *litellm.openai_compatible_providers, *JSONProviderRegistry.list_providers()} - {*_EXCLUDED, *_ADDED}
    providers: dict[str, Any] = dict(_ADDED)
    for name in sorted(names):
        entry = _ask(litellm, name, recorder)
        if entry is not None:
            providers[name] = entry
    return {"litellm": version("litellm"), "excluded": _EXCLUDED, "providers": dict(sorted(providers.items()))}


def _ask(litellm: Any, name: str, recorder: _Recorder) -> dict[str, Any] | None:
    recorder.asked.clear()
    try:
        _, provider, _, base_url = litellm.get_llm_provider(f"{name}/some-model")
    except litellm.BadRequestError:
        return None
    keys = [variable for variable in dict.fromkeys(recorder.asked) if _is_key(variable)]
    known = provider in {member.value for member in litellm.LlmProviders}
    config = litellm.ProviderConfigManager.get_provider_chat_config("some-model", litellm.LlmProviders(provider)) if known else None
    url = config.get_complete_url(base_url, "key", "some-model", {}, {}) if config is not None else base_url
    if not url or "api.openai.com" in url:  # what LiteLLM falls back to where it knows no address
        return None
    return {"base_url": str(url).rstrip("/").removesuffix(_ENDING).rstrip("/"), "keys": [] if name in _KEYLESS else keys}


def _is_key(variable: str) -> bool:
    """Say whether a variable holds a key that is sent as it is; another cloud's, or a token that is traded for one, does not."""
    return variable.endswith(("_API_KEY", "_TOKEN", "_SECRET_KEY")) and "AZURE" not in variable and "OIDC" not in variable


def main(arguments: list[str]) -> int:
    """Write the file; with `--check`, only say whether it is what would be written."""
    text = json.dumps(build(), indent=2) + "\n"
    if arguments == ["--check"]:
        return 0 if CATALOG.read_text(encoding="utf-8") == text else 1
    CATALOG.write_text(text, encoding="utf-8")
    sys.stdout.write(f"wrote {CATALOG}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
