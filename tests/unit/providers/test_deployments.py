from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from app.config.faults import ConfigError
from app.config.gateway_file import load_gateway_file
from app.domain import Address, Capability, Label, LaneName
from app.domain_routing import Member, Pool
from app.providers.catalog import Catalog, load_catalog
from app.providers.deployments import Assembled, assemble, load_configuration
from tests.integration.wire.certificates import Authority

if TYPE_CHECKING:
    from collections.abc import Callable

SHIPPED = Path(__file__).parents[3] / "config" / "gateway.yaml"
ALL = {"OPENAI_API_KEY": "sk-1", "ANTHROPIC_API_KEY": "sk-2", "OLLAMA_BASE_URL": "http://127.0.0.1:11434"}

TWO = """\
deployments:
  cloud: {model: openai/gpt-4o-mini, api_key: "${KEY}"}
  mine: {model: openai/m, api_base: "${MINE}", clearance: confidential}
pools:
  cheap: [cloud]
  local: [mine]
rules:
  - {when: {label: confidential}, use: local}
  - {use: cheap}
fallback: local
"""


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return load_catalog()


@pytest.fixture
def join(tmp_path: Path, catalog: Catalog) -> Callable[..., Assembled]:
    """Assemble a file's text, with variables by name."""

    def join_text(text: str, **env: str) -> Assembled:
        path = tmp_path / "gateway.yaml"
        path.write_text(text)
        return load_configuration(path, env, catalog)[1]

    return join_text


@pytest.fixture
def refusal(join: Callable[..., Assembled]) -> Callable[..., str]:
    def refusal_of(text: str, **env: str) -> str:
        with pytest.raises(ConfigError) as caught:
            join(text, **env)
        return str(caught.value).replace(str(caught.value.faults[0].file), "g")

    return refusal_of


def test_what_has_its_variables_is_active_and_the_rest_says_what_to_set(join: Callable[..., Assembled]) -> None:
    table = join(TWO, KEY="sk").table

    assert list(table.deployments) == ["cloud"]
    assert table.inactive == {"mine": "MINE is not set"}
    assert table.inactive_clearances == {"mine": Label.CONFIDENTIAL}
    assert {name: [member.deployment.name for member in pool.members] for name, pool in table.pools.items()} == {"cheap": ["cloud"], "local": []}


def test_the_demo_model_answers_everywhere_while_nothing_is_active(join: Callable[..., Assembled]) -> None:
    assembled = join(TWO)
    table = assembled.table

    demo = table.deployments["demo"]
    assert list(table.deployments) == ["demo"]
    assert (demo.lane, demo.clearance, demo.address) == (LaneName.DEMO, Label.CONFIDENTIAL, None)
    assert demo.capabilities == {Capability.STREAM, Capability.N, Capability.JSON_OBJECT}
    assert table.pools == {name: Pool(name, (Member(demo),)) for name in ("cheap", "local")}
    assert assembled.egress.clearances == {}
    assert assembled.is_demo


def test_rules_that_use_a_deployment_lead_to_the_demo_model_too(join: Callable[..., Assembled]) -> None:
    table = join('deployments: {m: {model: ollama_chat/l, api_base: "${X}", clearance: confidential}}\nrules: [{use: m}]').table

    assert [rule.use for rule in table.rules] == ["demo"]
    assert table.inactive == {"m": "X is not set"}


def test_egress_knows_the_addresses_of_what_is_active_alone(join: Callable[..., Assembled]) -> None:
    assembled = join(TWO, MINE="http://10.0.0.5:8000/v1")

    assert assembled.egress.clearances == {Address("http", "10.0.0.5", 8000): Label.CONFIDENTIAL}
    assert assembled.egress.local_networks


def test_one_address_with_two_clearances_counts_as_the_higher_with_a_warning(join: Callable[..., Assembled]) -> None:
    text = TWO.replace("openai/gpt-4o-mini", "openai/x, api_base: 'http://10.0.0.5:8000'")

    assembled = join(text, KEY="sk", MINE="HTTP://10.0.0.5:8000/v1")

    assert assembled.egress.clearances == {Address("http", "10.0.0.5", 8000): Label.CONFIDENTIAL}
    assert any("cloud (internal) and mine (confidential) share http://10.0.0.5:8000" in warning for warning in assembled.warnings)


def test_litellm_is_needed_where_something_active_is_translated(join: Callable[..., Assembled]) -> None:
    text = TWO.replace("openai/m", "ollama_chat/m")

    assert join(text, MINE="http://ollama:11434").needs_litellm
    assert not join(text, KEY="sk").needs_litellm
    assert not join(text).needs_litellm


def test_faults_of_every_step_are_told_at_once(refusal: Callable[..., str]) -> None:
    said = refusal(TWO.replace("fallback: local", "fallback: locl").replace("openai/gpt-4o-mini", "opnai/x"), MINE="http://8.8.8.8/v1")

    assert [line.split(":")[1] for line in said.splitlines()] == ["2", "3", "10"]


def test_a_closure_that_leaks_stops_the_start(refusal: Callable[..., str]) -> None:
    said = refusal(TWO.replace("fallback: local", "fallback: cheap"), KEY="sk", MINE="http://10.0.0.5/v1")

    assert said.startswith("g:10: a confidential request can reach cloud (cleared for internal) by the fallback")


def test_a_closure_that_leaks_stops_the_start_while_the_leak_is_inactive(refusal: Callable[..., str]) -> None:
    assert "can reach cloud" in refusal(TWO.replace("fallback: local", "fallback: cheap"), MINE="http://10.0.0.5/v1")


def test_nothing_is_said_of_the_closure_of_rules_that_cannot_be_read(refusal: Callable[..., str]) -> None:
    said = refusal(TWO.replace("label: confidential", "label: secret"), KEY="sk")

    assert len(said.splitlines()) == 1
    assert 'label: "secret" is not known' in said


def test_a_file_that_is_read_already_can_be_assembled(tmp_path: Path, catalog: Catalog) -> None:
    path = tmp_path / "gateway.yaml"
    path.write_text(TWO)

    assert list(assemble(load_gateway_file(path, {"KEY": "sk"}), catalog).table.deployments) == ["cloud"]
    path.write_text(TWO.replace("openai/m", "opnai/m"))
    with pytest.raises(ConfigError, match='unknown provider "opnai"'):
        assemble(load_gateway_file(path, {}), catalog)


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path, catalog: Catalog) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load_configuration(tmp_path / "none.yaml", {}, catalog)


EMBED = """\
deployments:
  chat: {model: openai/gpt-4o-mini, api_key: "${KEY}", clearance: internal}
  mine: {model: openai/m, api_base: "http://10.0.0.5/v1", clearance: confidential}
  vectors: {model: openai/text-embedding-3-small, api_key: "${VKEY}"}
rules:
  - {when: {label: confidential}, use: mine}
  - {use: chat}
search: {embedder: vectors}
"""


def test_an_embedding_model_makes_vectors_and_answers_no_chat(join: Callable[..., Assembled]) -> None:
    assembled = join(EMBED, KEY="sk", VKEY="sk")

    assert assembled.embedder is not None
    assert (assembled.embedder.name, assembled.search_clearance) == ("vectors", Label.INTERNAL)
    assert set(assembled.table.deployments) == {"chat", "mine"}


def test_egress_knows_the_embedders_address(join: Callable[..., Assembled]) -> None:
    text = EMBED.replace("openai/text-embedding-3-small,", "openai/nomic, api_base: 'http://10.0.0.6/v1',")

    assert join(text, KEY="sk", VKEY="sk").egress.clearances[Address("http", "10.0.0.6", 80)] is Label.INTERNAL


def test_an_embedder_that_is_inactive_leaves_none_and_keeps_its_bound(join: Callable[..., Assembled]) -> None:
    assembled = join(EMBED, KEY="sk")

    assert (assembled.embedder, assembled.search_clearance) == (None, Label.INTERNAL)
    assert assembled.table.inactive["vectors"] == "VKEY is not set"


def test_the_built_in_embedder_bounds_nothing_and_the_file_may(join: Callable[..., Assembled]) -> None:
    assert join(TWO, KEY="sk").search_clearance is Label.CONFIDENTIAL
    assert join(TWO + "search: {clearance: public}", KEY="sk").search_clearance is Label.PUBLIC


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("embedder: vectors", "embedder: vectors, clearance: confidential", "the embedder is cleared for internal alone"),
        ("use: chat", "use: vectors", "vectors is an embedding model and cannot answer chats; name another in use"),
        ("rules:", "pools: {p: [vectors]}\nrules:", "vectors is an embedding model and cannot answer chats; leave it out of the pool p"),
        ("openai/text-embedding-3-small", "ollama_chat/nomic", "an embedder must speak OpenAI's dialect"),
    ],
)
def test_what_an_embedder_cannot_be_is_refused(refusal: Callable[..., str], old: str, new: str, sentence: str) -> None:
    assert sentence in refusal(EMBED.replace(old, new, 1), KEY="sk", VKEY="sk")


def test_images_that_no_cleared_deployment_can_see_are_warned_of(join: Callable[..., Assembled]) -> None:
    blind = TWO.replace("clearance: confidential", "clearance: confidential, capabilities: [tools]")

    assert "can see images" in str(join(blind, MINE="http://10.0.0.5/v1").warnings)
    assert "can see images" not in str(join(TWO, MINE="http://10.0.0.5/v1").warnings)
    assert "can see images" not in str(join(blind + "scan: {allow: [image]}", MINE="http://10.0.0.5/v1").warnings)


@pytest.mark.parametrize("unset", [(), ("OPENAI_API_KEY",), ("ANTHROPIC_API_KEY",), ("OLLAMA_BASE_URL",), ("OPENAI_API_KEY", "ANTHROPIC_API_KEY"), tuple(ALL)])
def test_the_shipped_file_serves_with_any_of_its_credentials(catalog: Catalog, unset: tuple[str, ...]) -> None:
    env = {name: value for name, value in ALL.items() if name not in unset}

    table = load_configuration(SHIPPED, env, catalog)[1].table

    assert bool(table.inactive) == bool(unset)
    if env.keys() & {"OPENAI_API_KEY", "ANTHROPIC_API_KEY"} or not env:
        assert all(table.pools[name].members for name in ("cheap", "balanced", "strong", "long"))
    assert all(member.deployment.clearance is Label.CONFIDENTIAL for member in table.pools["local"].members)


def test_no_key_is_shown_by_what_is_assembled(join: Callable[..., Assembled]) -> None:
    assert "hush" not in repr(join(TWO, KEY="hush"))


AUTHORITIES = """\
deployments:
  one: {{model: openai/m, api_base: "https://127.0.0.1:1/v1", api_key: k, clearance: confidential, ca_file: ca.pem}}
  two: {{model: openai/n, api_base: "https://127.0.0.1:1/v1", api_key: k, clearance: confidential{more}}}
rules: [{{use: one}}]
"""


def test_an_address_has_the_authorities_of_its_deployments(join: Callable[..., Assembled], tmp_path: Path) -> None:
    Authority(tmp_path, "An Authority")

    egress = join(AUTHORITIES.format(more=", ca_file: ca.pem")).egress

    assert egress.authorities == {Address("https", "127.0.0.1", 1): f"{tmp_path.as_posix()}/ca.pem"}


def test_one_address_has_no_two_authorities(refusal: Callable[..., str], tmp_path: Path) -> None:
    Authority(tmp_path, "An Authority")

    assert refusal(AUTHORITIES.format(more="")) == "g:3: two: one has the same address and another ca_file, or none; write the same for both"
