from __future__ import annotations

import pytest

from app.errors import UpstreamError
from app.providers.translate.dialect import checked_path, joined
from tests.unit.providers.translate.support import deployment


@pytest.mark.parametrize(
    ("base", "path"),
    [
        ("https://api.anthropic.com", "/v1/messages"),
        ("https://api.anthropic.com/v1", "/v1/messages"),
        ("https://api.anthropic.com/v1/messages", "/v1/messages"),
        ("https://proxy.example/anthropic", "/anthropic/v1/messages"),
        ("https://proxy.example/anthropic/v1", "/anthropic/v1/messages"),
        ("https://proxy.example/messages", "/messages/v1/messages"),
    ],
)
def test_a_base_may_end_anywhere_on_the_way(base: str, path: str) -> None:
    assert joined(deployment("anthropic", base), "/v1/messages") == path


@pytest.mark.parametrize(
    ("url", "path"),
    [("http://127.0.0.1:1/api/chat", "/api/chat"), ("http://127.0.0.1:1/x?alt=sse", "/x?alt=sse")],
)
def test_a_url_of_the_deployment_is_reduced_to_its_path(url: str, path: str) -> None:
    assert checked_path(url, deployment("ollama_chat")) == path


@pytest.mark.parametrize("url", ["http://127.0.0.1:2/x", "https://127.0.0.1:1/x", "http://evil.example:1/x", "http://127.0.0.1:1@evil.example/x", "/x"])
def test_a_url_of_another_origin_is_refused_before_anything_is_sent(url: str) -> None:
    with pytest.raises(UpstreamError) as caught:
        checked_path(url, deployment("ollama_chat"))

    assert not caught.value.sent
