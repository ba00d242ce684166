from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from app.domain import Address, Deployment, Label, LaneName, Tenant
from app.gateway.taint import Carried, Conversation, Conversations
from app.services.taint import MemoryMarks

if TYPE_CHECKING:
    from collections.abc import Mapping

SECRET = "The Aurora acquisition closes on the fourteenth of May."
ANSWER = "Then the lawyers have to be told by the tenth of May."
SYSTEM = "You are a helpful assistant of the Example Corporation."
SEAL = "EqQBCgIYAhIM/c2lnbmF0dXJl+Q=="
MINE = Tenant("mine", "key-1")
OTHERS = Tenant("others", "key-2")


def deployment(name: str, host: str = "cloud.example.com") -> Deployment:
    return Deployment(name, "openai", "gpt", LaneName.RELAY, Label.INTERNAL, address=Address("https", host, 443))


PLACES = (deployment("one"), deployment("two"))


@pytest.fixture
def marks() -> MemoryMarks:
    return MemoryMarks(3600)


@pytest.fixture
def conversations(marks: MemoryMarks) -> Conversations:
    return Conversations(marks, b"s" * 32)


def body(*messages: tuple[str, str], **fields: Any) -> dict[str, Any]:
    return {"model": "auto", "messages": [{"role": role, "content": text} | fields for role, text in messages]}


async def turn(conversations: Conversations, tenant: Tenant, asked: Mapping[str, Any], *, lasts: bool = False, places: Any = PLACES) -> Conversation:
    async def read() -> Carried:
        return conversations.carried(tenant, asked, places)

    conversation = Conversation(conversations, tenant)
    if conversation.may_carry_on():
        await conversation.recall(read)
    if lasts:
        await conversation.keep(read)
    return conversation


async def answered(conversation: Conversation, place: Deployment = PLACES[0], **message: Any) -> None:
    transcript = conversation.transcript()
    transcript.hear(0, message)
    await conversation.heard(transcript, place)


async def test_a_later_turn_is_known_by_anything_it_still_carries(conversations: Conversations) -> None:
    await answered(await turn(conversations, MINE, body(("system", SYSTEM), ("user", SECRET)), lasts=True), content=ANSWER)

    for asked in (body(("user", SECRET.upper()), ("user", "Go on.")), body(("assistant", ANSWER), ("user", "Go on.")), body(("system", SECRET))):
        assert (await turn(conversations, MINE, asked)).earlier.confidential


async def test_what_is_instructed_short_or_anothers_is_not_known(conversations: Conversations) -> None:
    await answered(await turn(conversations, MINE, body(("system", SYSTEM), ("user", SECRET), ("user", "Go on.")), lasts=True), content="Yes.")

    assert not (await turn(conversations, MINE, body(("system", SYSTEM), ("user", "Go on.")))).earlier.confidential
    assert not (await turn(conversations, OTHERS, body(("user", SECRET)))).earlier.confidential


async def test_a_turn_that_does_not_last_leaves_nothing_behind(conversations: Conversations, marks: MemoryMarks) -> None:
    await answered(await turn(conversations, MINE, body(("user", SECRET))), content=ANSWER)

    assert len(marks) == 0


async def test_a_tenant_that_left_nothing_behind_carries_nothing_on(conversations: Conversations) -> None:
    await turn(conversations, OTHERS, body(("user", SECRET)), lasts=True)

    assert not Conversation(conversations, MINE).may_carry_on()
    assert Conversation(conversations, OTHERS).may_carry_on()


async def test_a_blob_goes_to_the_deployment_that_issued_it_alone(conversations: Conversations) -> None:
    asked = body(("assistant", "a"), encrypted_content=SEAL)
    await answered(await turn(conversations, MINE, asked), PLACES[0], encrypted_content=SEAL)

    later = await turn(conversations, MINE, asked)

    assert later.earlier.issuers == {SEAL: {"one"}}
    assert later.body_for(PLACES[0], asked) is asked
    assert later.body_for(PLACES[1], asked) == body(("assistant", "a"))
    assert (await turn(conversations, OTHERS, asked)).earlier.issuers == {}


async def test_a_name_that_got_another_address_issued_nothing(conversations: Conversations) -> None:
    asked = body(("assistant", "a"), encrypted_content=SEAL)
    await answered(await turn(conversations, MINE, asked), PLACES[0], encrypted_content=SEAL)

    assert (await turn(conversations, MINE, asked, places=(deployment("one", "elsewhere.example.com"),))).earlier.issuers == {}


def test_marks_are_keyed_by_secret_and_tenant_and_hold_no_text(marks: MemoryMarks) -> None:
    made = [Conversations(marks, secret).text_marks(tenant, [SECRET])[0] for secret, tenant in ((b"a" * 32, MINE), (b"a" * 32, OTHERS), (b"b" * 32, MINE))]

    assert len(set(made)) == 3
    assert {len(mark) for mark in made} == {16}
    assert SECRET not in repr(Conversations(marks, b"a" * 32))
    assert "aaa" not in repr(Conversations(marks, b"a" * 32))


async def test_a_body_with_nothing_to_look_for_asks_nobody(conversations: Conversations, marks: MemoryMarks) -> None:
    await marks.add(MINE.key_id, [b"x" * 16])

    assert not (await turn(conversations, MINE, body(("user", "Hello")))).earlier.confidential
