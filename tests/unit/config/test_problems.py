from __future__ import annotations

from typing import TYPE_CHECKING

from app.config.gateway_file import load_gateway_file
from app.config.known import Known
from app.config.problems import doubts, problems
from app.domain import Capability, Price

if TYPE_CHECKING:
    from pathlib import Path

    from app.config.specs import GatewayFile

KNOWN = {
    "plain": Known(context_window=8_000, price=Price(1, 1)),
    "able": Known(context_window=128_000, capabilities=frozenset({Capability.TOOLS})),
    "open": Known(price=Price(1, 1)),
}


def load(folder: Path, rule: str, *, pools: str = "", more: str = "") -> GatewayFile:
    path = folder / "gateway.yaml"
    deployments = ", ".join(f"{name}: {{model: openai/{name}, clearance: confidential}}" for name in KNOWN)
    pools = f"pools: {{plains: [plain], both: [plain, able], opens: [plain, open]{pools}}}"
    path.write_text(f"deployments: {{{deployments}}}\n{pools}\n{more}\nrules:\n  - {rule}\n  - {{name: default, use: both}}\n")
    return load_gateway_file(path, {})


def test_a_rule_that_requires_what_nobody_in_its_pool_has_is_reported_by_line(tmp_path: Path) -> None:
    [found] = problems(load(tmp_path, "{name: r, when: {tag: x}, use: plains, require: [tools]}"), KNOWN)

    assert "gateway.yaml:5: r requires tools, which no deployment of the pool plains has" in found


def test_a_rule_for_requests_that_need_what_its_deployment_does_not_have_is_reported(tmp_path: Path) -> None:
    [found] = problems(load(tmp_path, "{name: r, when: {needs: tools}, use: plain}"), KNOWN)

    assert "r is for requests that need tools, which no deployment of plain has" in found


def test_one_deployment_that_has_it_all_is_enough(tmp_path: Path) -> None:
    assert problems(load(tmp_path, "{name: r, when: {needs: tools}, use: both, require: [tools]}"), KNOWN) == []


def test_a_rule_that_rejects_needs_nobody(tmp_path: Path) -> None:
    assert problems(load(tmp_path, "{name: r, when: {needs: tools, min_tokens: 9000000}, reject: No tools here.}"), KNOWN) == []


def test_a_rule_for_prompts_that_fit_nobody_is_reported(tmp_path: Path) -> None:
    [found] = problems(load(tmp_path, "{name: r, when: {min_tokens: 9000}, use: plains}"), KNOWN)

    assert "r is for prompts of 9,000 tokens or more, and the largest window that they may go to has 8,000" in found


def test_a_window_that_is_not_known_or_that_of_the_fallback_or_of_the_long_pool_may_fit(tmp_path: Path) -> None:
    rule = "{name: r, when: {min_tokens: 9000}, use: %s}"

    assert problems(load(tmp_path, rule % "opens"), KNOWN) == []
    assert problems(load(tmp_path, rule % "plains", more="fallback: both"), KNOWN) == []
    assert problems(load(tmp_path, rule % "plains", pools=", long: [able]"), KNOWN) == []


def test_a_pool_that_chooses_by_a_price_that_is_not_known_is_doubtful(tmp_path: Path) -> None:
    rule = "{name: r, when: {tag: x}, use: thrift}"

    [found] = doubts(load(tmp_path, rule, pools=", thrift: {members: [plain, able], choose: cheapest}"), KNOWN, ())

    assert "thrift chooses the cheapest, and no price is known of able" in found
    assert doubts(load(tmp_path, rule, pools=", thrift: {members: [plain, open], choose: cheapest}"), KNOWN, ()) == []


def test_a_rule_for_a_key_that_nobody_has_is_doubtful_where_there_are_keys(tmp_path: Path) -> None:
    file = load(tmp_path, "{name: r, when: {key: [research, billing]}, use: both}")

    assert "r is for the key billing or research, which GATEWAY_API_KEYS does not have" in doubts(file, KNOWN, ["web"])[0]
    assert doubts(file, KNOWN, []) == doubts(file, KNOWN, ["web", "research"]) == []
