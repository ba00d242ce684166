"""Every call of a walk passes the same gate: retries, second calls beside slow ones, fallbacks and `long`, under a plan that is wrong."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from app.domain import Attempt, Plan
from app.domain_attempts import AttemptPolicy
from app.gateway import chat as chat_module
from tests.leakage.canaries import CANARIES
from tests.leakage.lab import MODELS, leaks, refusals

if TYPE_CHECKING:
    from tests.leakage.conftest import Evidence
    from tests.leakage.lab import Lab

EMAIL = CANARIES["email"]
FAULTS = ["hang", "status-503", "status-429-retryms-10", "context", "cut-0", "refuse"]


def wrong(table: Any, home: str) -> Plan:
    """Return the plan of a planner that lets one local server come first and every cloud after it, as fallback, second call and `long`."""
    clouds = tuple(Attempt(deployment, "because") for name, deployment in table.deployments.items() if name.startswith("cloud-"))
    return Plan("wrong", "inside", (Attempt(table.deployments[home], "because"), *clouds), (), clouds, hedge=True)


@pytest.mark.parametrize("fault", FAULTS)
async def test_no_call_of_a_walk_passes_by_egress(lab: Lab, monkeypatch: pytest.MonkeyPatch, evidence: Evidence, fault: str) -> None:
    chat = lab.gateway.parts.chat
    monkeypatch.setattr(chat, "table", replace(chat.table, attempts=AttemptPolicy(retries=2, wait_s=0.1)))
    lab.set_fault(fault)
    refused_before = refusals()
    answers = []
    for dialect, stream in itertools.product(MODELS, (False, True)):
        monkeypatch.setattr(chat_module, "decide", lambda table, *_, home=f"home-{dialect}": wrong(table, home))
        for _ in range(20):
            chat.vitals.sample("inside", 0.0, stream=stream)
        body = {"model": "auto", "messages": [{"role": "user", "content": EMAIL.text}], "stream": stream}
        answers.append(await lab.post(body, headers={"x-timeout": "0.4"}))

    found = leaks([EMAIL], await lab.sinks())
    evidence(
        "attempts",
        f"retries, races, fallbacks and `long` of a planner that names every cloud; local: {fault}",
        len(answers),
        lab.arrived() + sum(found.values()),
    )
    assert {answer.label for answer in answers} == {"confidential"}
    assert not any(answer.status == 200 for answer in answers)
    assert refusals() - refused_before >= len(answers)
    assert lab.connections() == 0
    assert found == {}
