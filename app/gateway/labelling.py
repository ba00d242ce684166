"""Labels of texts outside any conversation, such as documents and queries: assessed as a chat request that says them would be, in the tenant's turn.

What the tenant said in a conversation that stays confidential is confidential here too.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar

from app.domain import Label
from app.gateway.hints import NO_HINTS
from app.gateway.reading import SCAN_INLINE_BYTES
from app.policy.opinion import UNAVAILABLE, sheet_of, unread
from app.policy.taint import passage

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from app.domain import Facts, Tenant
    from app.gateway.chat import ChatGateway
    from app.policy.opinion import Sheet

T = TypeVar("T")

_AT_ONCE: Final = 8  # texts of one upload that ask for a second opinion together


@dataclass(frozen=True, slots=True)
class Labeller:
    """Labels texts by what chat requests are decided by at the moment; a fault of the scanner comes out as confidential."""

    chat: ChatGateway

    async def labels(self, tenant: Tenant, items: Sequence[Sequence[str]]) -> list[Label]:
        """Return the label of each item, which is a text and all that is kept with it. Raises OverloadedError where there are more long ones than turns."""
        found = await self._assessed(tenant.key_id, ["\n".join(lines) for lines in items])
        said = await self._said_in_confidence(tenant, items)
        return [Label.CONFIDENTIAL if was_said else label for label, was_said in zip(found, said, strict=True)]

    async def _said_in_confidence(self, tenant: Tenant, items: Sequence[Sequence[str]]) -> list[bool]:
        """Say of each item whether it holds a whole text of a conversation of the tenant's that stays confidential."""
        conversations = self.chat.conversations
        if conversations is None or not conversations.marks.may_hold(tenant.key_id):
            return [False] * len(items)

        def marked() -> list[list[bytes]]:
            return [conversations.text_marks(tenant, filter(None, map(passage, lines))) for lines in items]

        marks = await self._in_turn(tenant.key_id, sum(len(line) for lines in items for line in lines), marked)
        every = [mark for each in marks for mark in each]
        known = await conversations.marks.known(tenant.key_id, every) if every else frozenset()
        return [not known.isdisjoint(each) for each in marks]

    async def _assessed(self, tenant: str, texts: Sequence[str]) -> list[Label]:
        terms = self.chat.terms
        size = sum(map(len, texts))
        facts = await self._in_turn(tenant, size, lambda: [terms.assessor.assess(_body(text), NO_HINTS) for text in texts])
        opinion = terms.second_opinion
        if opinion is None:
            return [each.label for each in facts]
        again = [text for text, each in zip(texts, facts, strict=True) if opinion.is_asked_for(each)]
        sheets = iter(await self._in_turn(tenant, sum(map(len, again)), lambda: [sheet_of(_body(text)) for text in again]))
        gate = asyncio.Semaphore(_AT_ONCE)
        failed = False  # then the other texts wait for no time-out of their own

        async def revised(each: Facts, sheet: Sheet) -> Facts:
            nonlocal failed
            async with gate:
                if failed:
                    return unread(each, UNAVAILABLE)
                found = await opinion.revise(each, sheet, tenant, terms.assessor.label_of, opinion.limits.timeout_s)
            failed = failed or found.label_reason == UNAVAILABLE
            return found

        asked = [revised(each, next(sheets)) if opinion.is_asked_for(each) else _as_it_is(each) for each in facts]
        return [each.label for each in await asyncio.gather(*asked)]

    async def _in_turn(self, tenant: str, size: int, work: Callable[[], T]) -> T:
        return work() if size <= SCAN_INLINE_BYTES else await self.chat.scans.run(tenant, size, work)


async def _as_it_is(facts: Facts) -> Facts:
    return facts


def _body(text: str) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": text}]}
