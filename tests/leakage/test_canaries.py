"""What is confidential reaches no cloud provider and no sink, wherever in a request it stands, however it is written and whatever fails."""

from __future__ import annotations

import contextlib
import itertools
import os
import time
from typing import TYPE_CHECKING, Any

import pytest

from app.domain import Attempt, Plan
from app.gateway import chat as chat_module
from app.gateway.bounds import ChatLimits
from app.policy.sensitivity import scanner as scanner_module
from app.policy.sensitivity.catalogue import PATTERNS
from tests.leakage.canaries import CANARIES, ENCODINGS
from tests.leakage.lab import MODELS, leaks, refusals
from tests.leakage.pairwise import pairwise
from tests.leakage.positions import POSITIONS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.leakage.conftest import Evidence
    from tests.leakage.lab import Answer, Lab

WEAK = {"service_account", "customer_number"}  # internal by themselves: they may reach what is cleared for internal
STRONG = [kind for kind in CANARIES if kind not in WEAK]

WHOLE = "PROVE" in os.environ  # `make prove`; other runs take a quarter of it
FAULTS = {  # of every local server at once, as tests/simulators/faults.py writes them
    "nothing": None,
    "down": "refuse",
    "429": "status-429",
    "500": "status-500",
    "503 that quotes": "echo-503",
    "400 that quotes": "echo-400",
    "redirect to a cloud": "redirect-307",
    "hang": "hang",
    "cut": "cut-2",
    "error in its stream": "error-2",
    "no JSON": "malformed-1",
    "too long": "context",
}
TROUBLES = ["Redis down", "Redis paused", "scanner raising", "scanner slow", "scanner failing on one chunk", "planner always cloud"]
FACTORS = {
    "fault": [*FAULTS, *TROUBLES],
    "kind": STRONG,
    "position": list(POSITIONS),
    "encoding": list(ENCODINGS),
    "asked": ["auto", "inside", "open", "long", *(f"{where}-{name}" for where in ("cloud", "home") for name in MODELS)],
    "stream": ["whole", "streamed"],
    "cache": ["cold", "warm", "max-age"],
}
ROWS = pairwise(FACTORS)


def body_of(kind: str, position: str, encoding: str = "plain", **fields: Any) -> dict[str, Any]:
    return POSITIONS[position](ENCODINGS[encoding](CANARIES[kind].text)) | fields


def in_errors(answers: list[Answer], kinds: list[str]) -> dict[str, int]:
    errors = [answer.body for answer in answers if answer.status != 200]
    heads = [f"{name}: {value}".encode() for answer in answers for name, value in answer.headers.items()]
    return leaks([CANARIES[kind] for kind in kinds], {"an error's body": b"\n".join(errors), "a header": b"\n".join(heads)})


def test_every_kind_of_the_scanner_has_a_canary() -> None:
    assert set(CANARIES) == {pattern.kind for pattern in PATTERNS}


def test_pairs_are_all_covered() -> None:
    wanted = sum(len(one) * len(other) for one, other in itertools.combinations(FACTORS.values(), 2))
    covered = {frozenset(pair) for row in ROWS for pair in itertools.combinations(row.items(), 2)}

    assert len(POSITIONS) >= 40
    assert len(covered) == wanted


@pytest.mark.parametrize("kind", CANARIES)
async def test_no_position_leaks(lab: Lab, evidence: Evidence, kind: str) -> None:
    asked = [(position, stream) for number, position in enumerate(POSITIONS) for stream in (False, True) if WHOLE or stream == bool(number % 2)]

    answers = await lab.gather(body_of(kind, position, stream=stream) for position, stream in asked)
    if WHOLE:
        answers += await lab.gather(body_of(kind, position, stream=False) for position in POSITIONS)  # what the first round could have left in a cache

    clouds = [lab.public] if kind in WEAK else [lab.public, *lab.clouds.values()]
    sinks = await lab.sinks()
    if kind in WEAK:  # the public cloud must not see these; sinks may hold what is internal
        sinks = {name: held for name, held in sinks.items() if name not in {"Redis", *(f"cloud {cloud}" for cloud in lab.clouds)}}
    found = leaks([CANARIES[kind]], sinks)
    evidence(
        "position",
        f"each kind at each position, {'streamed, whole, and again' if WHOLE else 'streamed or whole'}",
        len(answers),
        lab.arrived(*clouds) + sum(found.values()),
    )
    label = "internal" if kind in WEAK else "confidential"
    lower = [position for (position, _), answer in zip(asked, answers, strict=False) if answer.label not in {label, "confidential"}]
    assert lower == []
    assert {answer.status for answer in answers} <= {200, 400}
    assert sum(answer.status == 200 for answer in answers) > len(answers) * 0.7
    assert lab.connections(*clouds) == 0
    assert found == {}


async def test_an_error_does_not_quote_a_key(lab: Lab) -> None:
    answer = await lab.post(body_of("email", "unknown top key"))

    assert answer.status == 400
    assert in_errors([answer], ["email"]) == {}


@contextlib.contextmanager
def trouble(lab: Lab, name: str) -> Iterator[None]:
    """Let something fail, of the local servers or of the gateway itself, until the block ends."""
    with pytest.MonkeyPatch.context() as patch:
        if name in FAULTS:
            lab.set_fault(FAULTS[name])
            for home in lab.homes.values():
                home.redirect_to = f"{lab.public.url}/v1/chat/completions"
            if name == "hang":
                patch.setattr(lab.gateway.parts.chat, "limits", ChatLimits(timeout_s=0.5, connect_s=0.3, idle_s=0.3))
        elif name == "planner always cloud":
            patch.setattr(chat_module, "decide", lambda table, _facts, body, *_: always_cloud(table, body))
        elif name.startswith("scanner"):
            patch.setattr(scanner_module.Scanner, "scan", broken_scan(name))
        if name == "Redis down":
            lab.redis.stop()
        if name == "Redis paused":
            lab.redis.pause()
        try:
            yield
        finally:
            lab.set_fault(None)
            if name == "Redis down":
                lab.redis.start()
            if name == "Redis paused":
                lab.redis.resume()


def always_cloud(table: Any, body: dict[str, Any]) -> Plan:
    """Return the plan of a planner that is wrong: the cloud of the dialect that was asked for, whatever the label."""
    dialect = str(body["model"]).partition("-")[2]
    name = f"cloud-{dialect}" if dialect in MODELS else "cloud-public"
    return Plan("wrong", "inside", (Attempt(table.deployments[name], "because"),))


def broken_scan(name: str) -> Callable[..., Any]:
    """Return a scan that is slow, or fails: at once, or at the text that holds the canary, after others went well."""
    real = scanner_module.Scanner.scan

    def scan(self: Any, scalars: Any, joins: Any = ()) -> Any:
        if name == "scanner raising":
            raise RuntimeError(repr([scalar.text for scalar in scalars]))
        if name == "scanner slow":
            time.sleep(0.02)
            return real(self, scalars, joins)
        for scalar in scalars[:-1]:
            real(self, [scalar])
        raise ValueError(scalars[-1].text)

    return scan


@pytest.mark.parametrize("fault", FACTORS["fault"])
async def test_no_combination_leaks(lab: Lab, evidence: Evidence, fault: str) -> None:
    rows = [row for row in ROWS if row["fault"] == fault][:: 1 if WHOLE else 4]
    asked = [row for row in rows for _ in range(2 if row["cache"] == "warm" else 1)]
    bodies = [body_of(row["kind"], row["position"], row["encoding"], stream=row["stream"] == "streamed", model=row["asked"]) for row in asked]
    refused_before = refusals()

    with trouble(lab, fault):
        answers = await lab.gather(bodies, at_once=24)

    found = leaks([CANARIES[kind] for kind in STRONG], await lab.sinks())
    if fault != "400 that quotes":  # a provider's words about the caller's own request are the caller's
        found |= in_errors([answer for row, answer in zip(asked, answers, strict=True) if row["position"] != "unknown top key"], STRONG)
    evidence("combination", f"every pair of kind, position, encoding, model, stream, cache; {fault}", len(answers), lab.arrived() + sum(found.values()))
    assert [row for row, answer in zip(asked, answers, strict=True) if answer.status == 200 and answer.label != "confidential"] == []
    assert [row for row, answer in zip(asked, answers, strict=True) if answer.headers.get("x-gateway-cache", "bypass") != "bypass"] == []
    assert lab.connections() == 0
    assert found == {}
    if fault == "planner always cloud":
        stopped = sum(b"not_cleared" in answer.body for answer in answers)
        assert not any(answer.status == 200 for answer in answers)
        assert stopped > 0.8 * len(answers)
        assert refusals() - refused_before == stopped
    if fault in {"nothing", "Redis down", "Redis paused", "scanner slow"}:
        assert sum(answer.status == 200 for answer in answers) > 0.6 * len(answers)


async def test_what_is_public_does_arrive_from_every_position(lab: Lab, evidence: Evidence) -> None:
    """The control: a gateway that calls nobody, or positions that are no longer sent, would pass everything above."""
    # Cut, escaped twice; of an unknown type: confidential.
    changed = {*(position for position in POSITIONS if position.startswith("over two")), "escaped tool call arguments", "unknown part"}
    whole = {position: f"An ordinary sentence, number {number}." for number, position in enumerate(POSITIONS) if position not in changed}

    answers = [await lab.post(POSITIONS[position](text)) for position, text in whole.items()]

    silent = [position for position, text in whole.items() if not lab.public.saw(text.encode())]
    evidence("control", "a harmless text at each position arrives at the cloud", len(answers), lab.arrived(lab.public))
    assert silent == []
    assert {answer.label for answer in answers} == {"public"}


async def test_a_canary_that_is_planted_in_a_sink_is_seen(lab: Lab, evidence: Evidence) -> None:
    """The control of the sinks: each search finds what is there."""
    canary = CANARIES["email"]
    lab.log.write(canary.value)
    lab.redis.command("SET", "planted", canary.value)
    (lab.places[0] / "planted").write_text(canary.value)
    try:
        await lab.post({"model": "cloud-public", "messages": [{"role": "user", "content": "Say hello."}], "user": canary.value})
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(chat_module, "decide", lambda table, *_: Plan("wrong", "", (Attempt(table.deployments["cloud-public"], ""),)))
            patch.setattr("app.providers.egress.Egress.admit", lambda *_: None)
            patch.setattr("app.providers.egress.Egress.admit_peer", lambda *_: None)
            await lab.post({"model": "auto", "messages": [{"role": "user", "content": canary.value}]})

        found = leaks([canary], await lab.sinks())
    finally:
        lab.log.seek(0)
        lab.log.truncate()
        lab.redis.command("DEL", "planted")
        (lab.places[0] / "planted").unlink()
    evidence("control", "a canary planted in a sink, or let past planner and egress, is seen", 4, 0)
    assert set(found) == {"email in the log", "email in Redis", "email in files", "email in the public cloud"}
