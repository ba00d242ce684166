"""Importing LiteLLM so that it stays a library: no network, no `.env`, no output."""

from __future__ import annotations

import importlib
import logging
import os
import warnings
from typing import Any, Final

_ENVIRONMENT: Final = {
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "LITELLM_LOCAL_ANTHROPIC_BETA_HEADERS": "True",
    "LITELLM_LOCAL_BLOG_POSTS": "True",
    "LITELLM_LOCAL_POLICY_TEMPLATES": "True",
    "LITELLM_LOCAL_AUTOROUTER_PRESETS": "True",
    "LITELLM_MODE": "PRODUCTION",  # else it loads `.env`
    "HF_HUB_OFFLINE": "1",
    "MAX_IMAGE_URL_DOWNLOAD_SIZE_MB": "0",
    "AWS_EC2_METADATA_DISABLED": "true",
}
_LOGGERS: Final = ("LiteLLM", "LiteLLM Proxy", "LiteLLM Router")
DIALECTS: Final = ("anthropic", "bedrock", "cohere", "gemini", "ollama")


def load() -> None:
    """Import LiteLLM and every dialect that uses it (about 2.5 s and 170 MB). Call it before the server says that it is ready. Idempotent."""
    os.environ.update(_ENVIRONMENT)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # LiteLLM's modules warn of pydantic's and their own past as they are imported
        warnings.filterwarnings("ignore", "Item '\\w+' on TypedDict class", UserWarning)  # pydantic, of LiteLLM's types when one is first made
        litellm: Any = importlib.import_module("litellm")
        for name in DIALECTS:
            importlib.import_module(f"app.providers.translate.{name}")
        litellm.ModelResponse()
        litellm.ModelResponseStream()
    litellm.disable_hf_tokenizer_download = True
    litellm.suppress_debug_info = True  # else it prints advice to standard output
    litellm.telemetry = False
    litellm.turn_off_message_logging = True
    for name in _LOGGERS:
        logger = logging.getLogger(name)
        logger.handlers = []
        logger.disabled = True
