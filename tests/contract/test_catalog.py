"""What the catalog says of the installed LiteLLM is true: an upgrade that moves an address or a field fails here."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from app.config.addresses import parse_base_url
from app.config.gateway_file import load_gateway_file
from app.providers.catalog import load_catalog

ROOT = Path(__file__).parents[2]
CATALOG = load_catalog()


def test_the_list_of_providers_is_what_litellm_knows_today() -> None:
    checked = subprocess.run([sys.executable, "scripts/make_catalog.py", "--check"], cwd=ROOT, check=False, capture_output=True, timeout=120)

    assert checked.returncode == 0, "run `make catalog` and review the difference"


@pytest.mark.parametrize("name", sorted(CATALOG.endpoints))
def test_a_providers_address_is_in_its_one_spelling(name: str) -> None:
    base_url = CATALOG.endpoints[name].base_url

    assert base_url is None or parse_base_url(base_url).text == base_url


def test_no_provider_has_another_ones_address() -> None:
    shared = {"qwen_ai_platform": "dashscope"}  # two names for one service
    hosts = {name: parse_base_url(each.base_url).address for name, each in CATALOG.endpoints.items() if each.base_url and name not in shared}

    assert len(set(hosts.values())) == len(hosts)


def test_a_provider_outside_this_machine_is_reached_by_tls_and_has_a_key() -> None:
    for name, endpoint in CATALOG.endpoints.items():
        address = parse_base_url(endpoint.base_url).address if endpoint.base_url else None
        if address is not None and address.host not in ("localhost", "127.0.0.1"):
            assert address.scheme == "https", name
            assert endpoint.keys, name


def test_every_model_of_the_shipped_configuration_is_known() -> None:
    file = load_gateway_file(ROOT / "config" / "gateway.yaml", {"OPENAI_API_KEY": "k", "ANTHROPIC_API_KEY": "k", "OLLAMA_BASE_URL": "http://ollama:11434"})

    for spec in file.deployments.values():
        entry = CATALOG.entry(spec.provider, spec.model)
        assert entry is not None, spec.name
        assert entry.price is not None, spec.name
        assert entry.context_window, spec.name
