"""What is read of a chat request before anything is decided: what earlier turns left, what the scanner finds, a second opinion, exact counts."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from app.gateway.taint import Conversation
from app.policy.counting import may_take_long
from app.policy.opinion import sheet_of
from app.policy.taint import NOTHING, is_lasting

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.domain import Cuts, Facts
    from app.gateway.request import ChatRequest, Terms
    from app.gateway.scans import Scans
    from app.gateway.second_opinion import SecondOpinion
    from app.gateway.taint import Carried, Conversations
    from app.policy.taint import Earlier

P = ParamSpec("P")
T = TypeVar("T")

# Above this parsing and scanning take milliseconds, and leave the event loop.
SCAN_INLINE_BYTES = 64 * 1024


@dataclass(slots=True)
class Reading:
    """Reads one request by `terms`; a long one off the event loop, in its tenant's turn. `limit_s` is the time that the operator allows a request."""

    request: ChatRequest
    terms: Terms
    scans: Scans
    conversations: Conversations | None
    limit_s: float

    async def recall(self) -> Conversation | None:
        """Return what is remembered of the turns before this one; None where nothing ever is."""
        conversation = self.conversation()
        if conversation is not None and conversation.may_carry_on():
            await conversation.recall(self.carried)
        return conversation

    def conversation(self) -> Conversation | None:
        """Return what `recall` does, before anything was looked up."""
        return None if self.conversations is None else Conversation(self.conversations, self.request.tenant)

    def facts_at_once(self, conversation: Conversation | None, cuts: Cuts | None) -> Facts | None:
        """Return what `facts` does, where it waits for nothing: for a short request that nobody reads a second time. None for any other."""
        request, terms = self.request, self.terms
        if request.size_bytes > SCAN_INLINE_BYTES or terms.second_opinion is not None:
            return None
        return terms.assessor.assess(_going_out(request), request.hints, _earlier(conversation), cuts)

    async def facts(self, conversation: Conversation | None, cuts: Cuts | None) -> Facts:
        """Return what is known of the request, its forwarded headers and what it carries on included."""
        found = self.facts_at_once(conversation, cuts)
        if found is not None:
            return found
        request, terms = self.request, self.terms
        going_out, earlier = _going_out(request), _earlier(conversation)
        if terms.second_opinion is not None:
            return await self._revised(terms.second_opinion, going_out, earlier, cuts)
        return await self._read(terms.assessor.assess, going_out, request.hints, earlier, cuts)

    async def _revised(self, opinion: SecondOpinion, going_out: dict[str, Any], earlier: Earlier, cuts: Cuts | None) -> Facts:
        """Return what is known of the request, with what a second opinion finds in it."""
        request, assessor = self.request, self.terms.assessor
        start = time.perf_counter()
        facts = await self._read(assessor.assess, going_out, request.hints, earlier, cuts)
        if not opinion.is_asked_for(facts):
            return facts
        sheet = await self._read(sheet_of, going_out)
        left_s = request.bounds.timeout_below(self.limit_s) - (time.perf_counter() - start)
        return await opinion.revise(facts, sheet, request.tenant.key_id, assessor.label_of, left_s)

    async def keep(self, conversation: Conversation, facts: Facts) -> None:
        """Remember the request, where what makes it confidential lasts beyond it."""
        if is_lasting(facts, self.request.hints, conversation.earlier, self.terms.assessor.label_of):
            await conversation.keep(self.carried)

    async def weigh(self, facts: Facts, decide: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Decide by the facts: off the event loop where a long text may have to be counted, or a vocabulary loaded."""
        if not may_take_long(self.terms.table, facts):
            return decide(*args, **kwargs)

        def decided() -> T:
            with facts.measures.loading():
                return decide(*args, **kwargs)

        return await self.scans.run(self.request.tenant.key_id, self.request.size_bytes, decided)

    async def carried(self) -> Carried:
        """Return the marks of what the request carries."""
        assert self.conversations is not None  # noqa: S101 -- who calls has made a conversation of it
        request = self.request
        return await self._read(self.conversations.carried, request.tenant, request.body, tuple(self.terms.table.deployments.values()))

    async def _read(self, read: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        if self.request.size_bytes <= SCAN_INLINE_BYTES:
            return read(*args, **kwargs)
        return await self.scans.run(self.request.tenant.key_id, self.request.size_bytes, read, *args, **kwargs)


def _going_out(request: ChatRequest) -> dict[str, Any]:
    """Return all that may leave. A header stands beside a field of its name and not in its place, for then nobody would have read the field."""
    body = request.body
    if not request.headers:
        return body
    return {**body, **{name: [body[name], value] if name in body else value for name, value in request.headers}}


def _earlier(conversation: Conversation | None) -> Earlier:
    return NOTHING if conversation is None else conversation.earlier
