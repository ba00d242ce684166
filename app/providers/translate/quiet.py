"""What LiteLLM's translators ask of its logging object: nothing is kept."""

from __future__ import annotations

from typing import Any


class QuietLog:
    """Takes every call and keeps nothing of it."""

    def __init__(self) -> None:
        self.model_call_details: dict[str, Any] = {}
        self.optional_params: dict[str, Any] = {}
        self.litellm_params: dict[str, Any] = {}

    def pre_call(self, *_args: Any, **_kwargs: Any) -> None:
        """Take what was to be sent."""

    def post_call(self, *_args: Any, **_kwargs: Any) -> None:
        """Take what came back."""
