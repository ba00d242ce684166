from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from app.domain import Facts, Failure, Finding, Label, Tenant, Tier
from app.domain_opinion import Spotted
from app.errors import OverloadedError, UpstreamError
from app.gateway.bounds import ChatLimits
from app.gateway.chat import ChatGateway
from app.gateway.labelling import Labeller
from app.gateway.reading import SCAN_INLINE_BYTES
from app.gateway.scans import Scans
from app.gateway.second_opinion import OpinionLimits, SecondOpinion
from app.gateway.taint import Conversations
from app.policy.taint import passage
from app.services.taint import MemoryMarks
from tests.unit.gateway.in_loop import Watched
from tests.unit.policy.table import table

OWNER, OTHER = Tenant("owner", "t"), Tenant("other", "u")
SAID = "The mill by the river is to be bought before the harvest is in."
LONG = "x" * (SCAN_INLINE_BYTES + 1)


class FakeAssessor(Watched):
    """Finds SECRET confidential, and notes whether it ran on the event loop."""

    def assess(self, body: Any, _hints: Any) -> Facts:
        self.note()
        return Facts(Label.CONFIDENTIAL if "SECRET" in body["messages"][0]["content"] else Label.PUBLIC, "default", ())

    def label_of(self, _: Finding) -> Label:
        return Label.CONFIDENTIAL


class FakeReader:
    def __init__(self) -> None:
        self.texts: list[str] = []

    async def read(self, text: str, *, tenant: str, timeout_s: float) -> tuple[Spotted, ...]:
        del tenant, timeout_s
        self.texts.append(text)
        await asyncio.sleep(0)
        return (Spotted("person", Tier.LIKELY, 0, 4),) if text.startswith("Jane") else ()


def labeller(reader: FakeReader | None = None, *, places: int = 64) -> tuple[Labeller, FakeAssessor]:
    assessor = FakeAssessor()
    given: Any = assessor
    chat = ChatGateway(table({"cheap": []}), given, {}, None, b"", ChatLimits(), Scans(ThreadPoolExecutor(1), 1, places=places))
    if reader is not None:
        chat.second_opinion = SecondOpinion(reader, OpinionLimits(frozenset({Label.PUBLIC}), 5, 1_000_000), b"")
    return Labeller(chat), assessor


async def labels(found: Labeller, texts: list[str]) -> list[Label]:
    return await found.labels(OWNER, [[text] for text in texts])


async def test_each_text_gets_its_label_in_order() -> None:
    found, _ = labeller()

    assert await labels(found, ["a", "SECRET", "b"]) == [Label.PUBLIC, Label.CONFIDENTIAL, Label.PUBLIC]


async def test_a_second_opinion_reads_what_the_scanner_lets_pass_and_nothing_else() -> None:
    reader = FakeReader()
    found, _ = labeller(reader)

    assert await labels(found, ["Jane", "SECRET", "b", *(f"{n}" for n in range(30))]) == [Label.CONFIDENTIAL] * 2 + [Label.PUBLIC] * 31
    assert sorted(reader.texts) == sorted(["Jane", "b", *(f"{n}" for n in range(30))])


async def test_a_reader_that_fails_is_not_asked_for_the_rest_of_an_upload() -> None:
    class Failing(FakeReader):
        async def read(self, text: str, *, tenant: str, timeout_s: float) -> tuple[Spotted, ...]:
            await super().read(text, tenant=tenant, timeout_s=timeout_s)
            raise UpstreamError(Failure.TIMEOUT)

    reader = Failing()
    found, _ = labeller(reader)

    assert await labels(found, [f"{n}" for n in range(1000)]) == [Label.CONFIDENTIAL] * 1000
    assert len(reader.texts) <= 16


async def test_long_texts_are_scanned_off_the_event_loop_and_short_ones_on_it() -> None:
    found, assessor = labeller(FakeReader())

    await labels(found, ["short"])
    await labels(found, [LONG])

    assert assessor.in_loop == [True, False]


async def test_long_texts_wait_in_the_line_that_chat_requests_wait_in() -> None:
    found, _ = labeller(places=0)
    await found.chat.scans._slots.take("another", 1)

    with pytest.raises(OverloadedError):
        await labels(found, [LONG])
    assert await labels(found, ["short"]) == [Label.PUBLIC]


async def test_what_was_said_in_a_conversation_that_stays_confidential_is_confidential_here_too() -> None:
    found, _ = labeller()
    conversations = found.chat.conversations = Conversations(MemoryMarks(3600), b"secret")
    items = [["a", "b"], ["short", f"  {SAID.upper()} "], [SAID + " And more."], [LONG, SAID]]
    before = await found.labels(OWNER, items)
    await conversations.marks.add(OWNER.key_id, conversations.text_marks(OWNER, [passage(SAID)]))

    assert before == [Label.PUBLIC] * 4
    assert await found.labels(OWNER, items) == [Label.PUBLIC, Label.CONFIDENTIAL, Label.PUBLIC, Label.CONFIDENTIAL]
    assert await found.labels(OWNER, items[:1]) == [Label.PUBLIC]
    assert await found.labels(OTHER, items) == [Label.PUBLIC] * 4
