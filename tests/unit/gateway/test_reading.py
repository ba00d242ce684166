from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from app.domain import Hints, Label, Tenant
from app.gateway.cache_control import CacheControl
from app.gateway.reading import SCAN_INLINE_BYTES, Reading
from app.gateway.request import ChatRequest, Terms
from app.gateway.scans import Scans
from app.gateway.taint import Carried, Conversations
from app.policy.taint import NOTHING
from app.services.taint import MemoryMarks
from tests.unit.gateway.in_loop import Watched
from tests.unit.policy.table import deployment, facts, table

TABLE = table({"cheap": [deployment("a")]}, fallback="cheap")


class Recording(Watched):
    """An assessor that notes what it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.given: list[dict[str, Any]] = []

    def assess(self, body: dict[str, Any], *_: object) -> Any:
        self.given.append(body)
        self.note()
        return facts(Label.PUBLIC)


def reading(assessor: Any, *, size: int = 10, headers: tuple[tuple[str, str], ...] = (), **body: Any) -> Reading:
    request = ChatRequest({"model": "auto", **body}, size, Tenant("t", "t"), Hints(), CacheControl(), headers)
    return Reading(request, Terms(TABLE, assessor, None), Scans(ThreadPoolExecutor(1), 1), None, 5.0)


@pytest.mark.parametrize(("size", "on_loop"), [(SCAN_INLINE_BYTES, True), (SCAN_INLINE_BYTES + 1, False)])
async def test_what_takes_long_is_read_off_the_event_loop(size: int, *, on_loop: bool) -> None:
    assessor = Recording()

    await reading(assessor, size=size).facts(None, None)

    assert assessor.in_loop == [on_loop]


async def test_a_forwarded_header_is_read_beside_the_field_of_its_name() -> None:
    assessor = Recording()

    await reading(assessor, headers=(("user", "from a header"), ("openai-beta", "x")), user="from the body").facts(None, None)

    assert assessor.given == [{"model": "auto", "user": ["from the body", "from a header"], "openai-beta": "x"}]


async def test_without_marks_nothing_is_recalled() -> None:
    assert await reading(Recording()).recall() is None


async def test_nothing_is_read_of_a_tenant_that_left_nothing_behind() -> None:
    class Unread(Conversations):
        def carried(self, *_: object) -> Carried:
            raise AssertionError

    found = reading(Recording())
    found.conversations = Unread(MemoryMarks(3600), b"s" * 32)
    conversation = await found.recall()

    assert conversation is not None
    assert conversation.earlier is NOTHING
