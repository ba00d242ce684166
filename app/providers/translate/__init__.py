"""The translate lane: providers that do not speak OpenAI's dialect. LiteLLM's provider configurations are used as pure functions; it opens no connection.

Importing this package does not import LiteLLM; `load` does, and must have been called before the first attempt.
"""

from app.providers.translate.facts import PROVIDERS, capabilities, default_base_url, unsupported
from app.providers.translate.lane import TranslateLane
from app.providers.translate.loading import load

__all__ = ["PROVIDERS", "TranslateLane", "capabilities", "default_base_url", "load", "unsupported"]
