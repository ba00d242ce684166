"""Ways past the scanner and sinks beside the body: headers, fields that stand for others, the dry run, and what errors quote."""

from __future__ import annotations

import itertools
import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.leakage.canaries import CANARIES, ENCODINGS
from tests.leakage.lab import CHAT, leaks
from tests.leakage.positions import POSITIONS
from tests.leakage.test_canaries import STRONG, WHOLE

if TYPE_CHECKING:
    from tests.leakage.conftest import Evidence
    from tests.leakage.lab import Lab

EMAIL = CANARIES["email"]
HELLO = {"model": "auto", "messages": [{"role": "user", "content": "Hello."}]}
HEADERS = ["OpenAI-Beta", "Idempotency-Key"]  # what is forwarded


@pytest.mark.parametrize("place", ["in the header", "in a field of its name", "deep in a field of its name"])
@pytest.mark.parametrize("name", HEADERS)
async def test_a_forwarded_header_hides_no_field_and_no_field_a_header(lab: Lab, evidence: Evidence, name: str, place: str) -> None:
    fields: dict[str, Any] = {"in the header": {}, "in a field of its name": {name.lower(): EMAIL.text}}.get(place, {name.lower(): {"a": [EMAIL.text]}})

    answer = await lab.post(HELLO | fields, headers={name: EMAIL.text if place == "in the header" else "x"})

    found = leaks([EMAIL], await lab.sinks())
    evidence("header", "a value in a forwarded header, and in a field of the header's name", 1, lab.arrived() + sum(found.values()))
    assert answer.label == "confidential"
    assert lab.connections() == 0
    assert found == {}


async def test_an_error_quotes_no_value(lab: Lab, evidence: Evidence) -> None:
    """A model that does not exist, keys that are not known, addresses that are not allowed: what the caller sent stands in the answer nowhere."""
    image = {"type": "image_url", EMAIL.text: {"url": "https://example.com/a.png"}}
    asked: list[Any] = [ask(CANARIES[kind].text) for kind in STRONG for ask in (lambda text: HELLO | {"model": text}, POSITIONS["unknown top key"])]
    bodies: list[tuple[str, Any]] = [(path, body) for body in asked for path in (CHAT, "/v1/route")]
    bodies += [(CHAT, HELLO | {"messages": [{"role": "user", "content": [image]}]})]
    bodies += [(path, body | {EMAIL.text: 1}) for path, body in (("/search", {"query": "a"}), ("/documents", {"documents": [{"text": "a"}]}))]

    answers = [await lab.post(body, path=path) for path, body in bodies]

    said = b"\n".join(answer.body + repr(answer.headers).encode() for answer in answers if answer.status != 200)
    found = leaks([CANARIES[kind] for kind in STRONG], {"an error": said, **await lab.sinks()})
    evidence("errors", "a model, a key or an address that is refused, for each kind", len(answers), sum(found.values()))
    assert sum(answer.status >= 400 for answer in answers) > len(answers) / 3
    assert found == {}


async def test_the_dry_run_tells_places_and_no_values(lab: Lab, evidence: Evidence) -> None:
    """Each kind, at each position in turn, and each encoding: the answer has kinds, positions and offsets."""
    wheel = itertools.cycle(ENCODINGS)
    asked = [(kind, place) for kind in STRONG for place in POSITIONS][:: 1 if WHOLE else 4]

    answers = await lab.gather((POSITIONS[place](ENCODINGS[next(wheel)](CANARIES[kind].text)) for kind, place in asked), path="/v1/route")

    told = leaks([CANARIES[kind] for kind in STRONG], {"an explanation": b"\n".join(answer.body for answer in answers)})
    evidence(
        "dry run",
        "each kind at each position, encodings in turn: what is told, and what is called",
        len(answers),
        lab.arrived(*lab.everyone) + sum(told.values()),
    )
    assert {json.loads(answer.body)["label"] for answer in answers} == {"confidential"}
    assert told == {}
    assert lab.connections(*lab.everyone) == 0
