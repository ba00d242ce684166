"""What a tenant's conversations leave behind: keyed hashes of what was confidential in them, and of the blobs that providers gave to them. Never a text."""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from app.gateway.transcript import Transcript, may_hold_blobs
from app.policy.blobs import find_blobs, without
from app.policy.taint import NOTHING, Earlier, passages

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

    from app.domain import Call, Deployment, LaneName, Tenant
    from app.gateway.ports import Answer, Lane, Marks

_MARK_BYTES = 16
_TEXT = b"text\x00"
_BLOB = b"blob\x00"


@dataclass(frozen=True, slots=True)
class Carried:
    """The marks of what a request carries: of what was said in it, of its instructions, and of each blob with each deployment that may have issued it."""

    said: tuple[bytes, ...] = ()
    instructed: tuple[bytes, ...] = ()
    blobs: Mapping[bytes, tuple[str, str]] = field(default_factory=dict, repr=False)

    @property
    def every(self) -> tuple[bytes, ...]:
        """All marks."""
        return (*self.said, *self.instructed, *self.blobs)


@dataclass(frozen=True, slots=True)
class Conversations:
    """Makes marks: HMAC-SHA256 of a folded text, or of a blob and the deployment that issued it, keyed by the secret and the tenant, cut to 16 bytes.

    Without the secret a mark tells nothing, and the same text is another mark for another tenant.
    """

    marks: Marks
    secret: bytes = field(repr=False)

    def carried(self, tenant: Tenant, body: Mapping[str, Any], deployments: Iterable[Deployment]) -> Carried:
        """Return the marks of what a parsed body carries. Takes about 20 µs, and 20 more for each KB."""
        found = passages(body)
        marks = tuple(self.text_marks(tenant, (*found.said, *found.instructed)))
        return Carried(marks[: len(found.said)], marks[len(found.said) :], self.blob_marks(tenant, find_blobs(body), deployments))

    def text_marks(self, tenant: Tenant, texts: Iterable[str]) -> list[bytes]:
        """Return the marks of folded texts."""
        key = self._key(tenant)
        return [hmac.digest(key, _TEXT + text.encode("utf-8", "surrogatepass"), "sha256")[:_MARK_BYTES] for text in texts]

    def blob_marks(self, tenant: Tenant, blobs: Sequence[str], deployments: Iterable[Deployment]) -> dict[bytes, tuple[str, str]]:
        """Return the mark of each blob with each deployment. What a name issued before a reload gave it another address is unknown."""
        if not blobs:
            return {}
        key = self._key(tenant)
        places = [(f"{deployment.name}\x1f{deployment.address}\x1f".encode(), deployment.name) for deployment in deployments]
        spelled = [(blob.encode("utf-8", "surrogatepass"), blob) for blob in blobs]
        return {hmac.digest(key, _BLOB + place + raw, "sha256")[:_MARK_BYTES]: (blob, name) for raw, blob in spelled for place, name in places}

    def _key(self, tenant: Tenant) -> bytes:
        return hmac.digest(self.secret, tenant.key_id.encode("utf-8", "surrogatepass"), "sha256")


class Conversation:
    """One turn of a conversation: what is remembered of the turns before it, and what is to be remembered of this one."""

    __slots__ = ("_carried", "_conversations", "_lasts", "_tenant", "earlier")

    def __init__(self, conversations: Conversations, tenant: Tenant) -> None:
        self.earlier = NOTHING
        self._conversations = conversations
        self._tenant = tenant
        self._carried: Carried | None = None
        self._lasts = False

    def may_carry_on(self) -> bool:
        """Say whether the request can carry anything on: none can where the tenant left nothing behind."""
        return self._conversations.marks.may_hold(self._tenant.key_id)

    async def recall(self, read: Callable[[], Awaitable[Carried]]) -> None:
        """Look up what the request carries (`read` says what). One round trip at most."""
        self._carried = carried = await read()
        every = carried.every
        if not every:
            return
        known = await self._conversations.marks.known(self._tenant.key_id, every)
        if not known:
            return
        issuers: dict[str, frozenset[str]] = {}
        for mark in carried.blobs.keys() & known:
            blob, name = carried.blobs[mark]
            issuers[blob] = issuers.get(blob, frozenset()) | {name}
        self.earlier = Earlier(not known.isdisjoint((*carried.said, *carried.instructed)), issuers)

    async def keep(self, read: Callable[[], Awaitable[Carried]]) -> None:
        """Let the conversation stay confidential: what is said in the request, and later the answer, is remembered."""
        self._lasts = True
        carried = await read() if self._carried is None else self._carried
        await self._add(carried.said)

    def body_for(self, deployment: Deployment, body: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the body that a deployment may see: without the blobs that others issued."""
        foreign = frozenset(blob for blob, names in self.earlier.issuers.items() if deployment.name not in names)
        return without(body, foreign) if foreign else body

    def lanes(self, lanes: Mapping[LaneName, Lane]) -> Mapping[LaneName, Lane]:
        """Return lanes by which each deployment gets its own blobs alone."""
        return {name: _OwnBlobs(lane, self) for name, lane in lanes.items()} if self.earlier.issuers else lanes

    def may_leave_marks(self, choices: Sequence[Any]) -> bool:
        """Say whether the `choices` of a whole answer can hold anything to remember: most hold nothing, and need not be heard."""
        return self._lasts or may_hold_blobs(choices)

    def transcript(self) -> Transcript:
        """Return what shall hear the answer."""
        return Transcript(texts=self._lasts)

    async def heard(self, transcript: Transcript, deployment: Deployment) -> None:
        """Remember what a deployment answered: its blobs, and in a conversation that stays confidential its texts."""
        texts = self._conversations.text_marks(self._tenant, transcript.passages()) if self._lasts else []
        blobs = self._conversations.blob_marks(self._tenant, transcript.blobs(), (deployment,))
        await self._add((*texts, *blobs))

    async def _add(self, marks: Sequence[bytes]) -> None:
        if marks:
            await self._conversations.marks.add(self._tenant.key_id, marks)


@dataclass(frozen=True, slots=True)
class _OwnBlobs:
    """A lane that takes out what its deployment did not issue."""

    lane: Lane
    conversation: Conversation

    async def open(self, call: Call) -> Answer:
        return await self.lane.open(replace(call, body=self.conversation.body_for(call.deployment, call.body)))
