"""What is known of each provider on this lane without LiteLLM: read when the configuration is loaded, long before LiteLLM may be."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.domain import Capability

if TYPE_CHECKING:
    from collections.abc import Mapping

PROVIDERS = frozenset({"anthropic", "bedrock", "cohere", "cohere_chat", "gemini", "ollama", "ollama_chat"})

_OLLAMA = frozenset({Capability.TOOLS, Capability.IMAGES, Capability.JSON_OBJECT, Capability.JSON_SCHEMA, Capability.STREAM})
_ANTHROPIC = frozenset({Capability.TOOLS, Capability.IMAGES, Capability.FILES, Capability.JSON_SCHEMA, Capability.STREAM})
_GEMINI = frozenset(Capability)
_COHERE = frozenset({Capability.TOOLS, Capability.IMAGES, Capability.JSON_OBJECT, Capability.JSON_SCHEMA, Capability.STREAM})
_BEDROCK_TEXT = frozenset({Capability.FILES, Capability.STREAM})
_BEDROCK_TOOLS = _BEDROCK_TEXT | {Capability.TOOLS}
_BEDROCK_SEEING = _BEDROCK_TOOLS | {Capability.IMAGES}
_BEDROCK_FORCED = _BEDROCK_TOOLS | {Capability.JSON_SCHEMA}  # a schema is a tool that the model is made to call
_BEDROCK_ALL = _BEDROCK_FORCED | {Capability.IMAGES}

_CAPABILITIES = {
    "anthropic": _ANTHROPIC,
    "cohere": _COHERE,
    "cohere_chat": _COHERE,
    "gemini": _GEMINI,
    "ollama": _OLLAMA,
    "ollama_chat": _OLLAMA,
}

# "Supported models and model features" of Bedrock's Converse API: what takes tools and images; `ToolChoice`: what can be made to call one. A name may carry
# a region first (`us.`, `eu.`, `global.`).
_BEDROCK_BY_PREFIX = (
    ("anthropic.", _BEDROCK_ALL),
    ("amazon.nova-micro", _BEDROCK_FORCED),
    ("amazon.nova", _BEDROCK_ALL),
    ("meta.llama3-1", _BEDROCK_TOOLS),
    ("meta.llama3-2", _BEDROCK_SEEING),
    ("meta.llama3-3", _BEDROCK_TOOLS),
    ("meta.llama4", _BEDROCK_SEEING),
    ("mistral.mistral-large", _BEDROCK_TOOLS),
    ("mistral.pixtral", _BEDROCK_SEEING),
    ("cohere.command-r", _BEDROCK_TOOLS),
    ("openai.gpt-oss", _BEDROCK_TOOLS),
    ("qwen.", _BEDROCK_TOOLS),
)
_BEDROCK_REGIONS = ("us.", "eu.", "apac.", "jp.", "au.", "ca.", "us-gov.", "global.")

_BASE_URLS = {
    "anthropic": "https://api.anthropic.com",
    "cohere": "https://api.cohere.com",
    "cohere_chat": "https://api.cohere.com",
    "gemini": "https://generativelanguage.googleapis.com",
    "ollama": "http://127.0.0.1:11434",
    "ollama_chat": "http://127.0.0.1:11434",
}

_WHY_NOT = {
    "vertex_ai": "its OAuth tokens are fetched",
    "vertex_ai_beta": "its OAuth tokens are fetched",
    "watsonx": "its IAM tokens are fetched",
    "github_copilot": "its tokens are fetched",
    "chatgpt": "its tokens are fetched",
    "gigachat": "its OAuth tokens are fetched",
    "sap": "its OAuth tokens are fetched",
    "replicate": "its answers are polled for",
}


def unsupported(provider: str) -> str | None:
    """Return why a provider that does not speak OpenAI's dialect cannot be used, and what can; None when it can."""
    if provider in PROVIDERS:
        return None
    why = f" ({_WHY_NOT[provider]})" if provider in _WHY_NOT else ""
    return (
        f"`{provider}` can only be reached through LiteLLM's own network code{why}, which is never used. What works: "
        "anthropic, bedrock, cohere_chat, gemini, ollama_chat, and every provider that speaks OpenAI's dialect."
    )


def capabilities(provider: str, model: str) -> frozenset[Capability]:
    """Return what a model can be asked for by way of this lane. An unknown Bedrock model (an ARN hides it) is taken to do all that Converse can."""
    if provider != "bedrock":
        return _CAPABILITIES[provider]
    name = model.rsplit("/", 1)[-1] if not model.startswith("arn:") else model
    for region in _BEDROCK_REGIONS:
        name = name.removeprefix(region)
    if name.startswith(
        ("amazon.titan", "ai21.", "meta.llama2", "meta.llama3-8b", "meta.llama3-70b", "mistral.mistral-7b", "mistral.mixtral", "cohere.command-text")
    ):
        return _BEDROCK_TEXT
    return next((able for prefix, able in _BEDROCK_BY_PREFIX if name.startswith(prefix)), _BEDROCK_ALL)


def default_base_url(provider: str, params: Mapping[str, str] | None = None) -> str | None:
    """Return where a provider is when the deployment names no address; None when only the operator can know (Bedrock without `aws_region_name`)."""
    if provider == "bedrock":
        region = (params or {}).get("aws_region_name")
        return f"https://bedrock-runtime.{region}.amazonaws.com" if region else None
    return _BASE_URLS.get(provider)
