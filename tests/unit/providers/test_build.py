from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from app.config.gateway_file import read_gateway_file
from app.domain import Address, Capability, Label, LaneName, Price
from app.providers.build import Built, build
from app.providers.catalog import Catalog, load_catalog
from tests.integration.wire.certificates import Authority

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from app.domain import Deployment


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return load_catalog()


@pytest.fixture
def one(tmp_path: Path, catalog: Catalog) -> Callable[..., Built]:
    """Build one deployment from its body."""

    def build_one(body: str, more: str = "", **env: str) -> Built:
        path = tmp_path / "gateway.yaml"
        path.write_text(f"deployments: {{a: {body}}}\nrules: [{{use: a}}]\n{more}")
        file, faults = read_gateway_file(path, env)
        assert faults == []
        assert file is not None
        return build(file.deployments["a"], file, catalog)

    return build_one


@pytest.fixture
def active(one: Callable[..., Built]) -> Callable[..., Deployment]:
    def build_active(body: str, more: str = "", **env: str) -> Deployment:
        built = one(body, more, **env)
        assert built.faults == []
        assert built.deployment is not None
        return built.deployment

    return build_active


def _faults(built: Built) -> str:
    return "\n".join(fault.sentence for fault in built.faults)


@pytest.mark.parametrize(
    ("model", "provider", "lane", "base_url"),
    [
        ("openai/gpt-4o", "openai", LaneName.RELAY, "https://api.openai.com/v1"),
        ("groq/openai/gpt-oss-20b", "groq", LaneName.RELAY, "https://api.groq.com/openai/v1"),
        ("mistral/mistral-large-latest", "mistral", LaneName.RELAY, "https://api.mistral.ai/v1"),
        ("deepseek/deepseek-chat", "deepseek", LaneName.RELAY, "https://api.deepseek.com/beta"),
        ("together_ai/x", "together_ai", LaneName.RELAY, "https://api.together.ai/v1"),
        ("fireworks_ai/x", "fireworks_ai", LaneName.RELAY, "https://api.fireworks.ai/inference/v1"),
        ("openrouter/a/b", "openrouter", LaneName.RELAY, "https://openrouter.ai/api/v1"),
        ("xai/grok-4.3", "xai", LaneName.RELAY, "https://api.x.ai/v1"),
        ("perplexity/sonar", "perplexity", LaneName.RELAY, "https://api.perplexity.ai"),
        ("ai21/jamba", "ai21_chat", LaneName.RELAY, "https://api.ai21.com/studio/v1"),
        ("anthropic/claude-sonnet-4-6", "anthropic", LaneName.TRANSLATE, "https://api.anthropic.com"),
        ("gemini/gemini-2.5-flash", "gemini", LaneName.TRANSLATE, "https://generativelanguage.googleapis.com"),
        ("cohere/command-a-03-2025", "cohere_chat", LaneName.TRANSLATE, "https://api.cohere.com"),
    ],
)
def test_a_provider_decides_lane_and_address(active: Callable[..., Deployment], model: str, provider: str, lane: LaneName, base_url: str) -> None:
    env = dict.fromkeys(
        ("OPENAI", "GROQ", "MISTRAL", "DEEPSEEK", "TOGETHER", "FIREWORKS", "OPENROUTER", "XAI", "PERPLEXITY", "AI21", "ANTHROPIC", "GEMINI", "COHERE"), "k"
    )

    a = active(f"{{model: {model}}}", **{f"{name}_API_KEY": key for name, key in env.items()})

    assert (a.provider, a.model, a.lane, a.base_url, a.api_key) == (provider, model.partition("/")[2], lane, base_url, "k")


@pytest.mark.parametrize(
    ("body", "base_url"),
    [
        ("{model: vllm/qwen, api_base: 'http://gpu:8000/v1/'}", "http://gpu:8000/v1"),
        ("{model: hosted_vllm/qwen, api_base: 'http://GPU:8000'}", "http://gpu:8000"),
        ("{model: llama.cpp/qwen}", "http://127.0.0.1:8080/v1"),
        ("{model: openai/qwen, api_base: 'http://[::1]:80/v1'}", "http://[::1]/v1"),
        ("{model: ollama_chat/llama3.1, num_ctx: 8192}", "http://127.0.0.1:11434"),
    ],
)
def test_servers_of_ones_own_need_no_key(active: Callable[..., Deployment], body: str, base_url: str) -> None:
    a = active(body)

    assert (a.base_url, a.api_key) == (base_url, None)


def test_variables_that_move_an_address_elsewhere_move_none_here(active: Callable[..., Deployment]) -> None:
    a = active("{model: openai/gpt-4o}", OPENAI_API_KEY="k", OPENAI_API_BASE="http://evil.example", OPENAI_BASE_URL="http://evil.example")

    assert a.address == Address("https", "api.openai.com", 443)


def test_a_providers_own_key_never_goes_to_another_address(active: Callable[..., Deployment]) -> None:
    assert active("{model: openai/x, api_base: 'https://llm.example/v1'}", OPENAI_API_KEY="k").api_key is None


def test_a_provider_without_its_key_is_inactive(one: Callable[..., Built]) -> None:
    built = one("{model: groq/x}", GROQ_API_KEY=" ")

    assert (built.deployment, built.inactive, built.faults) == (None, "GROQ_API_KEY is not set", [])


def test_any_of_a_providers_variables_holds_its_key(active: Callable[..., Deployment]) -> None:
    assert active("{model: perplexity/sonar}", PERPLEXITY_API_KEY="k").api_key == "k"


def test_several_unset_variables_are_all_named(one: Callable[..., Built]) -> None:
    assert one('{model: openai/x, api_base: "${A}", api_key: "${B}"}').inactive == "A and B are not set"


def test_a_deployment_without_a_model_yet_is_inactive(one: Callable[..., Built]) -> None:
    assert one('{model: "${M}"}').inactive == "M is not set"


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ("{model: opnai/x}", 'unknown provider "opnai"; did you mean "openai"'),
        ("{model: wholly-unheard/x}", "a server that speaks OpenAI's dialect is openai/MODEL with an api_base"),
        ("{model: vertex_ai/gemini-2.5-pro}", "`vertex_ai` can only be reached through LiteLLM's own network code"),
        ("{model: sagemaker/x}", "`sagemaker` can only be reached through LiteLLM's own network code"),
        ("{model: github_copilot/gpt-4o}", "github_copilot cannot be used: signs in by device code"),
        ("{model: hosted_vllm/x}", "hosted_vllm has no address of its own; write `api_base`"),
        ("{model: openai/x, api_base: 'localhost:8000'}", "api_base must start with http:// or https://"),
        ("{model: openai/x, api_base: 'http://h/v1/chat/completions'}", "ends in /chat/completions; leave that out"),
        ("{model: openai/x, api_key: 'a b'}", "api_key holds a space or a character that no key has"),
        ("{model: openai/gpt-4o, api_key: k, num_ctx: 9}", "num_ctx is for Ollama alone; write context_window"),
        ("{model: ollama_chat/l, context_window: 9}", "write num_ctx alone"),
        ("{model: azure/d, api_base: 'https://n.openai.azure.com', api_key: k}", "azure needs `api_version`"),
        ("{model: azure/d, api_base: 'https://n.openai.azure.com/openai/v1', api_key: k, api_version: v}", "api_base must be the resource alone"),
        ("{model: openai/x, api_key: k, clearance: confidential}", "cannot be cleared for confidential: api.openai.com is a public name"),
        ("{model: openai/x, api_base: 'http://8.8.8.8/v1', clearance: confidential}", "8.8.8.8 is in none of local_networks"),
        ("{model: 'ollama_chat/gpt-oss:120b-cloud', num_ctx: 9, clearance: confidential}", "the model runs in its maker's cloud"),
        ("{model: 'ollama_chat/GPT-OSS:120B-Cloud', num_ctx: 9, clearance: confidential}", "the model runs in its maker's cloud"),
        ("{model: 'openai/gpt-oss:120b-cloud', api_base: 'http://127.0.0.1:11434/v1', clearance: confidential}", "the model runs in its maker's cloud"),
        ("{model: ollama_chat/glm_cloud, num_ctx: 9, clearance: confidential}", "the model runs in its maker's cloud"),
        ("{model: 'hosted_vllm/glm-4.6:CLOUD', api_base: 'http://127.0.0.1:11434/v1', clearance: confidential}", "the model runs in its maker's cloud"),
        ("{model: openai/x, api_base: 'http://[fd00:ec2::254]/v1', clearance: confidential}", "a cloud's metadata service"),
    ],
)
def test_what_cannot_be_served_is_refused_with_what_to_write(one: Callable[..., Built], body: str, sentence: str) -> None:
    assert sentence in _faults(one(body))


def test_a_fault_names_the_variable_and_not_what_it_holds(one: Callable[..., Built]) -> None:
    said = _faults(one('{model: openai/x, api_base: "${BASE}", api_key: "${KEY}"}', BASE="hush", KEY="hush\x07hush"))

    assert "api_base (BASE) must start with http://" in said
    assert "api_key (KEY) holds a space" in said
    assert "hush" not in said


def test_an_address_is_held_to_its_clearance_while_the_key_is_missing(one: Callable[..., Built]) -> None:
    built = one('{model: openai/x, api_key: "${KEY}", clearance: confidential}')

    assert "api.openai.com is a public name" in _faults(built)


def test_a_trusted_host_can_be_cleared_for_confidential(active: Callable[..., Deployment]) -> None:
    a = active("{model: openai/x, api_base: 'https://llm.example/v1', api_key: k, clearance: confidential}", "trusted_hosts: [llm.example]")

    assert a.clearance is Label.CONFIDENTIAL


def test_azure_carries_its_version(active: Callable[..., Deployment]) -> None:
    a = active("{model: azure/my-gpt, api_base: 'https://n.openai.azure.com/', api_key: k, api_version: 2024-10-21}")

    assert (a.base_url, a.params, a.lane) == ("https://n.openai.azure.com", {"api_version": "2024-10-21"}, LaneName.RELAY)


def test_bedrock_takes_what_is_left_out_from_awss_variables(active: Callable[..., Deployment]) -> None:
    a = active("{model: bedrock/anthropic.claude-x}", AWS_REGION="eu-west-1", AWS_ACCESS_KEY_ID="i", AWS_SECRET_ACCESS_KEY="s", AWS_SESSION_TOKEN="t")

    assert a.base_url == "https://bedrock-runtime.eu-west-1.amazonaws.com"
    assert a.params == {"aws_region_name": "eu-west-1", "aws_access_key_id": "i", "aws_secret_access_key": "s", "aws_session_token": "t"}


def test_bedrock_without_keys_is_inactive(one: Callable[..., Built]) -> None:
    assert one("{model: bedrock/x}").inactive == "AWS_REGION, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not set"


def test_bedrocks_own_key_stands_in_for_the_pair(active: Callable[..., Deployment]) -> None:
    a = active("{model: bedrock/x, aws_region_name: us-east-1, api_key: k}")

    assert (a.api_key, a.params) == ("k", {"aws_region_name": "us-east-1"})


def test_ollamas_window_is_what_each_call_asks_for(active: Callable[..., Deployment]) -> None:
    a = active("{model: ollama_chat/llama3.1, num_ctx: 16384}")

    assert (a.num_ctx, a.context_window) == (16384, 16384)


def test_without_a_window_ollama_gets_its_own_default_and_a_warning(one: Callable[..., Built]) -> None:
    built = one("{model: ollama_chat/llama3.1}")

    assert built.deployment is not None
    assert (built.deployment.num_ctx, built.deployment.context_window) == (4096, 4096)
    assert "num_ctx is not set" in built.warnings[0]


def test_ollamas_old_interface_counts_as_its_chat_with_a_warning(one: Callable[..., Built]) -> None:
    built = one("{model: ollama/llama3.1, num_ctx: 9}")

    assert built.deployment is not None
    assert built.deployment.provider == "ollama_chat"
    assert "taken as ollama_chat/" in built.warnings[0]


@pytest.mark.parametrize("written", ["http://h:11434/v1", "http://h:11434/api/", "http://h:11434"])
def test_ollamas_address_has_no_path(active: Callable[..., Deployment], written: str) -> None:
    assert active(f"{{model: ollama_chat/l, num_ctx: 9, api_base: '{written}'}}").base_url == "http://h:11434"


def test_ollama_may_stand_below_a_path_of_ones_own(active: Callable[..., Deployment]) -> None:
    assert active("{model: ollama_chat/l, num_ctx: 9, api_base: 'http://h/ollama/v1'}").base_url == "http://h/ollama"


def test_window_and_price_come_from_the_registry(active: Callable[..., Deployment]) -> None:
    a = active("{model: openai/gpt-4o-mini, api_key: k}")

    assert (a.context_window, a.max_output_tokens, a.price) == (128000, 16384, Price(1.5e-07, 6e-07, 7.5e-08))


def test_the_file_goes_before_the_registry(active: Callable[..., Deployment]) -> None:
    a = active("{model: openai/gpt-4o-mini, api_key: k, context_window: 9, max_output_tokens: 8, price: {input: 1, output: 2}, capabilities: [n]}")

    assert (a.context_window, a.max_output_tokens, a.price) == (9, 8, Price(1e-06, 2e-06))
    assert a.capabilities == {Capability.N, Capability.STREAM}


def test_a_model_here_costs_nothing_and_one_in_its_makers_cloud_is_not_known(active: Callable[..., Deployment]) -> None:
    assert active("{model: ollama_chat/unheard-of, num_ctx: 9}").price == Price(0, 0)
    assert active("{model: 'ollama_chat/unheard-of:cloud', num_ctx: 9}").price is None
    assert active("{model: 'ollama_chat/unheard-of:7b-CLOUD', num_ctx: 9}").price is None


@pytest.mark.parametrize(
    ("written", "slots"),
    [
        ("{model: ollama_chat/l, num_ctx: 9, clearance: confidential}", 8),
        ("{model: ollama_chat/l, num_ctx: 9, clearance: confidential, slots: 2}", 2),
        ("{model: ollama_chat/l, num_ctx: 9}", None),
        ("{model: openai/l, api_base: 'http://127.0.0.1:1/v1', clearance: confidential}", 64),
        ("{model: openai/l, api_base: 'http://127.0.0.1:1/v1', slots: 3}", 3),
    ],
)
def test_what_may_hold_confidential_requests_has_a_number_of_slots(active: Callable[..., Deployment], written: str, slots: int | None) -> None:
    assert active(written).slots == slots


def test_what_the_registry_knows_a_model_to_lack_is_not_asked_of_it(active: Callable[..., Deployment]) -> None:
    assert Capability.IMAGES not in active("{model: openai/gpt-3.5-turbo, api_key: k}").capabilities
    assert Capability.IMAGES not in active("{model: ollama_chat/llama3.1, num_ctx: 9}").capabilities
    assert Capability.JSON_SCHEMA in active("{model: ollama_chat/llama3.1, num_ctx: 9}").capabilities


def test_of_an_unknown_model_the_provider_decides(active: Callable[..., Deployment]) -> None:
    assert active("{model: openai/unheard-of, api_key: k}").capabilities == frozenset(Capability)


def test_an_embedding_model_is_noted(one: Callable[..., Built]) -> None:
    assert one("{model: openai/text-embedding-3-small, api_key: k}").embeds
    assert not one("{model: openai/gpt-4o, api_key: k}").embeds


@pytest.mark.parametrize(
    ("body", "warning"),
    [
        ("{model: openai/x, api_base: 'http://gpu:8000'}", "write http://gpu:8000/v1"),
        ("{model: openai/x, api_base: 'http://llm.example/v1'}", "unencrypted; write https"),
        ("{model: openai/x, api_key: sk-literal}", "api_key stands in the file itself"),
        ("{model: openai/x, api_base: 'https://llm.example/v1'}", "no key is sent"),
        ("{model: openai/gpt-5-pro, api_key: k}", "registry has this model for responses"),
    ],
)
def test_what_is_likely_a_slip_is_warned_of(one: Callable[..., Built], body: str, warning: str) -> None:
    built = one(body)

    assert built.deployment is not None
    assert any(warning in said and ":1: a: " in said for said in built.warnings)
    assert "sk-literal" not in str(built.warnings)


def test_an_inactive_deployment_warns_of_nothing(one: Callable[..., Built]) -> None:
    assert one('{model: ollama_chat/l, api_base: "${X}"}').warnings == []


def test_fields_that_confidential_requests_may_carry_are_passed_on(active: Callable[..., Deployment]) -> None:
    assert active("{model: openai/x, api_key: k, allow_fields: [guided_regex]}").allow_fields == {"guided_regex"}


def test_a_model_that_has_to_be_loaded_has_a_limit_of_its_own_to_the_first_token(active: Callable[..., Deployment]) -> None:
    assert active("{model: ollama_chat/llama3.1, api_base: http://127.0.0.1:11434}").first_token_s == 600
    assert active("{model: ollama_chat/llama3.1, api_base: http://127.0.0.1:11434, first_token_s: 45.5}").first_token_s == 45.5
    assert active("{model: openai/gpt-4o}", OPENAI_API_KEY="k").first_token_s is None


def test_a_limit_of_no_time_is_refused(one: Callable[..., Built]) -> None:
    assert "first_token_s must be more than 0" in _faults(one("{model: openai/x, api_base: 'http://127.0.0.1:1/v1', first_token_s: 0}"))


def test_a_file_of_authorities_is_named_from_the_files_own_folder(active: Callable[..., Deployment], tmp_path: Path) -> None:
    Authority(tmp_path, "An Authority")

    assert active("{model: openai/x, api_base: 'https://127.0.0.1:1/v1', api_key: k, ca_file: ca.pem}").ca_file == f"{tmp_path.as_posix()}/ca.pem"


@pytest.mark.parametrize(
    ("written", "content", "scheme", "sentence"),
    [
        ("ca.pem", None, "https", "ca_file cannot be read (No such file or directory)"),
        ("ca.pem", "no certificate", "https", "ca_file is no list of certificates in PEM form"),
        ("ca.pem", "no certificate", "http", "ca_file is for https"),
    ],
)
def test_a_file_of_authorities_that_cannot_be_used_is_refused(
    one: Callable[..., Built], tmp_path: Path, written: str, content: str | None, scheme: str, sentence: str
) -> None:
    if content is not None:
        (tmp_path / written).write_text(content)

    assert sentence in _faults(one(f"{{model: openai/x, api_base: '{scheme}://127.0.0.1:1/v1', api_key: k, ca_file: {written}}}"))
