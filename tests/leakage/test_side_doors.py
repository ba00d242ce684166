"""Ways past the scanner and sinks beside the body: headers, fields that stand for others, the dry run, and what errors quote."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.leakage.canaries import CANARIES
from tests.leakage.lab import CHAT, leaks
from tests.leakage.positions import POSITIONS

if TYPE_CHECKING:
    from tests.leakage.conftest import Evidence
    from tests.leakage.lab import Lab

EMAIL = CANARIES["email"]
KEY = CANARIES["api_key"]
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
