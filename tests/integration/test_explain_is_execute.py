"""Given the same snapshot, the dry run and the real run agree byte for byte: every body of a corpus under every configuration."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from app.domain import CUTS, Cuts, LaneName, Snapshot, Tenant
from app.errors import GatewayError
from app.gateway import chat as chat_module
from app.gateway.bounds import ChatLimits
from app.gateway.chat import ChatGateway
from app.gateway.explain import Explanation, explain, to_wire
from app.gateway.receipt import Receipt
from app.gateway.scans import Scans
from app.gateway.snapshot import ask
from app.policy.assess import Assessor
from app.policy.planner import decide
from app.providers.catalog import load_catalog
from app.providers.deployments import load_configuration
from app.routers.chat import read_request
from app.utils.json import dump_json
from tests.leakage.positions import POSITIONS
from tests.unit.gateway.test_attempts import TOKEN, FakeLane, streamed, whole
from tests.unit.gateway.test_reply import FINISH

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from app.domain import Plan
    from app.domain_routing import RoutingTable

DEPLOYMENTS = """
deployments:
  mini: {model: openai/gpt-4o-mini, api_base: "http://127.0.0.1:9/v1", price: {input: 0.1, output: 9}}
  big: {model: openai/gpt-4o, api_base: "http://127.0.0.1:8/v1", price: {input: 3, output: 1}}
  tiny: {model: openai/tiny, api_base: "http://127.0.0.1:7/v1", context_window: 200}
  vast: {model: openai/gpt-4.1, api_base: "http://127.0.0.1:6/v1"}
  home: {model: openai/llama, api_base: "http://127.0.0.1:5/v1", clearance: confidential, context_window: 4000, capabilities: [tools, json_object]}
"""
FIRST = "{name: private, when: {label: confidential}, use: local}"
CONFIGURATIONS = {
    "in order": f"""
pools: {{cheap: [tiny, mini], strong: [big, mini], long: [vast], local: [home]}}
rules: [{FIRST}, {{when: {{min_tokens: 2000}}, use: long}}, {{when: {{complexity: complex}}, use: strong}}, {{use: cheap}}]
fallback: local
""",
    "drawn": f"""
pools:
  cheap: {{members: [{{use: mini, weight: 3}}, big, {{use: vast, share: 5%}}], sticky: true}}
  trial: {{experiment: tone, members: [{{use: mini, arm: old}}, {{use: big, arm: new, share: 20%}}]}}
  local: [home]
rules:
  - {FIRST}
  - {{when: {{tag: trial}}, use: trial}}
  - {{when: {{hint: [complex, internal]}}, use: big}}
  - {{use: cheap}}
on_conflict: reject
""",
    "measured": f"""
pools:
  fast: {{members: [mini, big, vast], choose: fastest, hedge: true}}
  idle: {{members: [mini, big, vast], choose: least-busy}}
  near: {{members: [mini, big, vast], choose: latency, sticky: true}}
  thrifty: {{members: [mini, big, tiny], choose: cheapest}}
  local: [home]
rules:
  - {FIRST}
  - {{when: {{hours: "08:00-18:00", days: [mon, tue, wed, thu, fri], zone: Europe/Berlin}}, use: fast}}
  - {{when: {{max_score: 0.2}}, use: thrifty}}
  - {{when: {{key: [ann]}}, use: near}}
  - {{use: idle}}
fallback: local
""",
    "guarded": f"""
pools: {{cheap: [mini, tiny], local: [home]}}
rules:
  - {FIRST}
  - {{when: {{findings: [email, phone]}}, reject: "Leave addresses out."}}
  - {{when: {{min_score: 0.5}}, use: cheap, require: [images]}}
  - {{when: {{model: "gpt-*"}}, use: big}}
  - {{when: {{needs: [tools], tag: draft}}, reject: "No tools in drafts."}}
  - {{use: cheap}}
scan: {{labels: {{email: internal}}}}
""",
}
TEXTS = (
    "Say hello.",
    "Write to henrietta.quackenbush@corvid-logistics.net today.",
    "My card is 4929 1234 5678 9015, is that safe?",
    "Prove step by step that the design of this distributed consensus protocol tolerates two faults, and compare the trade-offs. " * 3,
    "word " * 300,
    "Bitte vergleiche die beiden Entwürfe und begründe deine Wahl.",
    "word " * 6000,
)
MODELS = ("auto", "auto", "auto", "cheap", "fast", "mini", "tiny", "home", "gpt-9", "nothing")
NAMES = ("mini", "big", "tiny", "vast", "home")


def bodies() -> Iterator[tuple[dict[str, Any], dict[str, str]]]:
    """Yield 240 bodies with their headers, the same ones every time."""
    rng = random.Random(11)  # noqa: S311 -- a corpus
    for position in POSITIONS.values():
        yield position("4929 1234 5678 9010"), {}
    for _ in range(240 - len(POSITIONS)):
        turns = [{"role": "user", "content": rng.choice(TEXTS)}]
        if rng.random() < 0.3:
            turns = [*turns, {"role": "assistant", "content": "Yes."}, {"role": "user", "content": rng.choice(["go on", TEXTS[0]])}]
        body: dict[str, Any] = {"model": rng.choice(MODELS), "messages": turns, "stream": rng.random() < 0.3}
        if rng.random() < 0.3:
            body["max_tokens"] = rng.choice([10, 190, 100_000])
        if rng.random() < 0.3:
            body["tools"] = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]
        if rng.random() < 0.2:
            body["n"] = 2
        headers = {"x-no-fallback": "true"} if rng.random() < 0.2 else {}
        if rng.random() < 0.3:
            headers["x-gateway-tags"] = rng.choice(["draft", "trial", "other, draft"])
        if rng.random() < 0.2:
            headers["x-complexity"] = rng.choice(["simple", "complex"])
        if rng.random() < 0.2:
            headers["x-sensitivity"] = rng.choice(["internal", "confidential"])
        yield body, headers


def snapshot(rng: random.Random) -> Snapshot:
    return Snapshot(
        now=1_767_600_000 + rng.random() * 7 * 86_400,
        resting={name: rng.random() * 30 for name in NAMES if rng.random() < 0.15},
        first_token_s={name: rng.random() for name in NAMES if rng.random() < 0.7},
        in_flight={name: rng.randrange(9) for name in NAMES if rng.random() < 0.7},
        draw=rng.random(),
        conversation=rng.random(),
        stays_with=rng.choice(["", *NAMES]),
        cuts=rng.choice([None, Cuts(0.05, 0.2), Cuts(0.3, 0.8)]),
    )


class Answering(FakeLane):
    """Answers every call."""

    async def open(self, call: Any) -> Any:
        self.outcomes = {call.deployment.name: streamed(TOKEN, FINISH) if call.stream else whole()}
        return await super().open(call)


def told(plan: Plan | None, error: GatewayError | None, explanation: Explanation, table: RoutingTable) -> bytes:
    """Return a plan or a refusal as POST /v1/route tells it."""
    wire = to_wire(Explanation(explanation.facts, (), plan, error))
    return dump_json(
        {"plan": wire["plan"], "error": wire["error"], "attempts": plan and [table.deployments[each.deployment.name].name for each in plan.attempts]}
    )


@pytest.mark.parametrize("name", CONFIGURATIONS)
async def test_the_dry_run_and_the_real_run_agree_byte_for_byte(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "gateway.yaml"
    path.write_text(DEPLOYMENTS + CONFIGURATIONS[name])
    file, assembled = load_configuration(path, {}, load_catalog())
    table = assembled.table
    kinds = dict(file.scan.labels)
    gateway = ChatGateway(
        table, Assessor(kind_labels=kinds), {LaneName.RELAY: Answering({})}, None, b"secret", ChatLimits(timeout_s=5), Scans(ThreadPoolExecutor(1), 1)
    )
    real: list[Plan | GatewayError] = []

    def spy(*args: Any) -> Plan:
        try:
            real.append(decide(*args))
        except GatewayError as error:
            real.append(error)
            raise
        return real[-1]  # type: ignore[return-value] # what was put there above

    monkeypatch.setattr(chat_module, "decide", spy)
    rng = random.Random(3)  # noqa: S311 -- a corpus
    rules: set[str] = set()
    for body, headers in bodies():
        taken = snapshot(rng)
        monkeypatch.setattr(chat_module, "take_snapshot", lambda *_, taken=taken: taken)
        request = read_request(dump_json(body), headers, Tenant("ann", "key:ann"))
        reading = gateway.reading(gateway.terms, request)
        explanation = explain(table, await reading.facts(await reading.recall(), taken.cuts), request.body, ask(table, request), taken)
        receipt = Receipt()
        real.clear()
        try:
            reply = await gateway.run(request, receipt)
        except GatewayError:
            pass
        else:
            if reply.stream:
                _ = [data async for data in reply.chunks()]
            await reply.finish()

        (made,) = real
        plan, error = (None, made) if isinstance(made, GatewayError) else (made, None)
        assert told(plan, error, explanation, table) == told(explanation.plan, explanation.error, explanation, table)
        if plan is not None:
            rules.add(plan.rule)
            assert (receipt.rule, receipt.arm or "") == (plan.rule, plan.arm)
            assert set(explanation.not_read) == {"complexity", "prompt_tokens"} - known(explanation, receipt)
        assert receipt.facts is not None
        assert receipt.facts.complexity.cuts == explanation.facts.complexity.cuts == (taken.cuts or CUTS)

    assert len(rules) >= 4


def known(explanation: Explanation, receipt: Receipt) -> set[str]:
    """Return what the real path read of the facts that are computed when read, which the explanation says too."""
    assert receipt.facts is not None
    read = {"complexity"} if receipt.facts.known_complexity is not None else set()
    return read | ({"prompt_tokens"} - set(explanation.not_read))
