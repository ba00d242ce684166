from __future__ import annotations

from ipaddress import ip_network
from typing import TYPE_CHECKING

import pytest

from app.config.sections import LOCAL_NETWORKS
from app.domain import Capability, Label, Price

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.config.specs import DeploymentSpec, GatewayFile

TAIL = "\nrules: [{use: a}]\n"


@pytest.fixture
def spec(load: Callable[..., GatewayFile]) -> Callable[..., DeploymentSpec]:
    return lambda body, **env: load(f"deployments:\n  a: {body}{TAIL}", **env).deployments["a"]


def _sentences(found: list[str]) -> list[str]:
    return [fault.partition(": ")[2] for fault in found]


def test_a_deployment_is_its_provider_and_model(spec: Callable[..., DeploymentSpec]) -> None:
    a = spec("{model: Groq/openai/gpt-oss-20b}")

    assert (a.name, a.line, a.provider, a.model) == ("a", 2, "groq", "openai/gpt-oss-20b")


def test_a_deployment_is_cleared_for_internal_unless_it_says_otherwise(spec: Callable[..., DeploymentSpec]) -> None:
    assert spec("{model: openai/a}").clearance is Label.INTERNAL
    assert spec("{model: openai/a, clearance: public}").clearance is Label.PUBLIC


def test_every_key_of_a_deployment_is_read(spec: Callable[..., DeploymentSpec]) -> None:
    a = spec(
        "{model: azure/a, api_base: https://h/v1, api_key: k, num_ctx: 1, context_window: 2, max_output_tokens: 3, api_version: v, aws_region_name: r, "
        "price: {input: 2.5, output: 10, cached_input: 1.25}, capabilities: [tools], allow_fields: [top_k], slots: 4}"
    )

    assert (a.api_base, a.api_key, a.num_ctx, a.context_window, a.max_output_tokens) == ("https://h/v1", "k", 1, 2, 3)
    assert (a.capabilities, a.allow_fields, a.slots) == (frozenset({Capability.TOOLS}), frozenset({"top_k"}), 4)
    assert a.params == {"api_version": "v", "aws_region_name": "r"}
    assert a.price == Price(2.5e-06, 1e-05, 1.25e-06)


def test_prices_are_given_for_a_million_tokens_and_the_cached_one_may_be_left_out(spec: Callable[..., DeploymentSpec]) -> None:
    assert spec("{model: openai/a, price: {input: 1, output: 0}}").price == Price(1e-06, 0)


def test_an_unset_variable_leaves_its_key_out_and_is_missing(spec: Callable[..., DeploymentSpec]) -> None:
    a = spec('{model: openai/a, api_key: "${A}", num_ctx: "${B}", clearance: "${C}", price: {input: "${D}", output: 1}}')

    assert a.missing == ("A", "B", "C", "D")
    assert (a.api_key, a.num_ctx, a.price, a.clearance) == (None, None, None, Label.INTERNAL)


def test_variables_can_stand_in_every_value(spec: Callable[..., DeploymentSpec]) -> None:
    a = spec('{model: "${P}/${M}", api_key: "${K}", num_ctx: "${N}"}', P="openai", M="gpt", K="k", N="4096")

    assert (a.provider, a.model, a.api_key, a.num_ctx, a.missing) == ("openai", "gpt", "k", 4096, ())
    assert a.variables["api_key"] == ("K",)


def test_a_model_whose_variable_is_unset_is_no_fault(spec: Callable[..., DeploymentSpec]) -> None:
    assert spec('{model: "${M}"}').missing == ("M",)


def test_an_empty_key_is_no_key(spec: Callable[..., DeploymentSpec]) -> None:
    a = spec("{model: openai/a, api_key: ''}")

    assert (a.api_key, a.missing, a.literal_secrets) == (None, (), ())


def test_a_key_in_the_file_itself_is_noted_and_not_shown(spec: Callable[..., DeploymentSpec]) -> None:
    a = spec("{model: bedrock/a, api_key: hush, aws_secret_access_key: hush}")

    assert a.literal_secrets == ("api_key", "aws_secret_access_key")
    assert "hush" not in repr(a)


@pytest.mark.parametrize("value", ["$OPENAI_API_KEY", "os.environ/OPENAI_API_KEY", "env:OPENAI_API_KEY", "'%OPENAI_API_KEY%'"])
def test_a_variable_in_the_notation_of_another_tool_is_refused_as_a_key(value: str, faults: Callable[..., list[str]]) -> None:
    sentence = 'api_key would be sent as it stands, for variables are named otherwise here; write "${NAME}", in quotes'

    assert _sentences(faults(f"deployments:\n  a: {{model: openai/a, api_key: {value}}}{TAIL}", OPENAI_API_KEY="hush")) == [sentence]


@pytest.mark.parametrize("value", ["sk-proj-$a", "$1x", "environ", "p%a%b"])
def test_a_key_that_holds_such_a_sign_is_a_key(value: str, spec: Callable[..., DeploymentSpec]) -> None:
    assert spec(f"{{model: openai/a, api_key: {value}}}").api_key == value


def test_a_model_that_only_writes_text_has_no_capabilities(spec: Callable[..., DeploymentSpec]) -> None:
    assert spec("{model: openai/a, capabilities: []}").capabilities == frozenset()


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ("{}", "the deployment a needs `model`, as provider/model, such as openai/gpt-4o-mini"),
        ("{model: gpt-4}", "model must be provider/model, such as openai/gpt-4o-mini"),
        ("{model: openai/}", "model must be provider/model, such as openai/gpt-4o-mini"),
        ("{model: openai/a, modle: b}", 'unknown key "modle" in the deployment a; did you mean "model"?'),
        ("{model: openai/a, clearance: secret}", 'clearance: "secret" is not known; expected public, internal or confidential'),
        ("{model: openai/a, capabilities: [toolz]}", 'capabilities: "toolz" is not known; did you mean "tools"?'),
        ("{model: openai/a, context_window: -1}", "context_window must be at least 1"),
        ("{model: openai/a, num_ctx: x}", "num_ctx must be a whole number"),
        ("{model: openai/a, price: {input: -1, output: 1}}", "price's input must be a number of at least 0"),
        ("{model: openai/a, price: {input: 1}}", "price needs `output`, in US dollars per million tokens"),
        ('{model: openai/a, api_key: "${A"}', "${ is not closed around a name; write ${NAME}, or $${ for the two characters themselves"),
    ],
)
def test_what_a_deployment_cannot_be_is_refused(faults: Callable[..., list[str]], body: str, sentence: str) -> None:
    assert sentence in _sentences(faults(f"deployments:\n  a: {body}{TAIL}"))


@pytest.mark.parametrize("name", ["auto", "demo"])
def test_names_that_mean_something_cannot_be_taken(faults: Callable[..., list[str]], name: str) -> None:
    assert _sentences(faults(f"deployments: {{{name}: {{model: openai/a}}}}\nrules: [{{use: {name}}}]"))[0].startswith(f'"{name}" cannot be a name')
    assert f'"{name}" cannot be a name' in str(faults(f"deployments: {{a: {{model: openai/a}}}}\npools: {{{name}: [a]}}{TAIL}"))


@pytest.mark.parametrize(
    ("pools", "sentence"),
    [
        ("{p: []}", "the pool p is empty; name at least one deployment, or leave the pool out"),
        ("{p: }", "the pool p is empty; name at least one deployment, or leave the pool out"),
        ("{p: [a, a]}", '"a" stands twice in the pool p; leave one out'),
        ("{a: [a]}", '"a" is the deployment of line 2; give the pool another name'),
        ("{p: a}", "the pool p must be a list"),
        ("{'p q': [a]}", "a pool's name must be 1 to 128 of"),
    ],
)
def test_what_a_pool_cannot_be_is_refused(faults: Callable[..., list[str]], pools: str, sentence: str) -> None:
    assert any(said.startswith(sentence) for said in _sentences(faults(f"deployments:\n  a: {{model: openai/a}}\npools: {pools}{TAIL}")))


def _more(load: Callable[..., GatewayFile], text: str, **env: str) -> GatewayFile:
    return load(f"deployments: {{a: {{model: openai/a}}}}\nrules: [{{use: a}}]\n{text}", **env)


def test_loopback_and_private_networks_are_local_by_default(load: Callable[..., GatewayFile]) -> None:
    assert _more(load, "").local_networks == LOCAL_NETWORKS


def test_local_networks_take_the_place_of_the_default(load: Callable[..., GatewayFile]) -> None:
    assert _more(load, 'local_networks: [10.0.0.0/8, "${NET}"]', NET="fd00::/8").local_networks == (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))
    assert _more(load, "local_networks: []").local_networks == ()


def test_a_public_network_that_counts_as_local_is_warned_of(load: Callable[..., GatewayFile]) -> None:
    assert "0.0.0.0/0" in _more(load, "local_networks: [0.0.0.0/0]").warnings[0]
    assert "8.8.8.0/24" in _more(load, "local_networks: [8.8.8.0/24]").warnings[0]


def test_an_entry_whose_variable_is_unset_is_left_out_with_a_warning(load: Callable[..., GatewayFile]) -> None:
    file = _more(load, 'local_networks: ["${NET}"]\ntrusted_hosts: ["${HOST_A}", {host: b, network: "${NET}"}]')

    assert (file.local_networks, file.trusted_hosts, len(file.warnings)) == ((), {}, 3)


def test_trusted_hosts_are_trusted_by_tls_or_in_a_network(load: Callable[..., GatewayFile]) -> None:
    file = _more(load, "trusted_hosts: [LLM.example.com., {host: gpu.example.com, network: 203.0.113.0/24}]")

    assert file.trusted_hosts == {"llm.example.com": None, "gpu.example.com": ip_network("203.0.113.0/24")}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("local_networks: [10.0.0.1/8]", "the bits after its prefix must be 0"),
        ("local_networks: [here]", "must be a network such as 10.0.0.0/8"),
        ("local_networks: 10.0.0.0/8", "local_networks must be a list"),
        ("trusted_hosts: [https://a.example]", "must be a host name without scheme or path"),
        ("trusted_hosts: [{network: 10.0.0.0/8}]", "an entry of trusted_hosts needs `host`"),
        ("trusted_hosts: [{host: a, network: b}]", "network must be a network such as 10.0.0.0/8"),
        ("search: {embeder: a}", 'did you mean "embedder"?'),
        ("search: {clearance: secret}", "expected public, internal or confidential"),
        ("scan: {allow: [images]}", 'allow does not know "images"; expected image, audio'),
        ("scan: {alow: [image]}", 'did you mean "allow"?'),
    ],
)
def test_what_a_section_cannot_hold_is_refused(faults: Callable[..., list[str]], text: str, sentence: str) -> None:
    assert sentence in str(faults(f"deployments: {{a: {{model: openai/a}}}}\nrules: [{{use: a}}]\n{text}"))


def test_search_names_an_embedder_and_bounds_the_collection(load: Callable[..., GatewayFile]) -> None:
    search = _more(load, "search: {embedder: a, clearance: public}").search

    assert search.embedder is not None
    assert (search.embedder.name, search.clearance) == ("a", Label.PUBLIC)
    assert _more(load, "search: {embedder: builtin}").search.embedder is None


def test_kinds_that_cannot_be_scanned_are_let_through_by_name(load: Callable[..., GatewayFile]) -> None:
    assert _more(load, "scan: {allow: [image, file]}").scan.allow == {"image", "file"}
    assert _more(load, "scan:").scan.allow == frozenset()
