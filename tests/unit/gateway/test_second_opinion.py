from __future__ import annotations

import asyncio
from typing import Any

import pytest

from app.domain import Facts, Failure, Finding, Label, Tier
from app.domain_opinion import Spotted
from app.errors import InvalidRequestError, UpstreamError
from app.gateway.second_opinion import OpinionLimits, SecondOpinion
from app.policy.opinion import LeftAlone, sheet_of
from app.utils.monitoring import DEGRADED, SECOND_OPINIONS

LABELS = frozenset({Label.PUBLIC, Label.INTERNAL})
JANE = Spotted("person", Tier.LIKELY, 0, 4)


class Reader:
    """Answers `outcome`, once `gate` is open."""

    def __init__(self, outcome: Any = (JANE,)) -> None:
        self.outcome = outcome
        self.texts: list[str] = []
        self.left_s: list[float] = []
        self.at_once = self.most_at_once = 0
        self.gate = asyncio.Event()
        self.gate.set()

    async def read(self, text: str, *, tenant: str, timeout_s: float) -> Any:
        del tenant
        self.texts.append(text)
        self.left_s.append(timeout_s)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await self.gate.wait()
        finally:
            self.at_once -= 1
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome


def opinion(reader: Reader, *, timeout_s: float = 5.0, max_chars: int = 100, concurrency: int = 4, left: LeftAlone | None = None) -> SecondOpinion:
    return SecondOpinion(reader, OpinionLimits(LABELS, timeout_s, max_chars, concurrency), b"secret", left or LeftAlone())


def label_of(finding: Finding) -> Label:
    return Label.INTERNAL if finding.tier is Tier.WEAK else Label.CONFIDENTIAL


async def asked(second: SecondOpinion, text: str = "Jane is ill.", tenant: str = "t", timeout_s: float = 60.0, label: Label = Label.PUBLIC) -> Facts:
    sheet = sheet_of({"messages": [{"role": "user", "content": text}]})
    return await second.revise(Facts(label, "default", ()), sheet, tenant, label_of, timeout_s)


def counted(outcome: str) -> float:
    return float(SECOND_OPINIONS.labels(outcome)._value.get())


def test_it_is_asked_for_its_labels_alone() -> None:
    second = SecondOpinion(Reader(), OpinionLimits(frozenset({Label.INTERNAL}), 1, 1), b"")

    assert [second.is_asked_for(Facts(label, "default", ())) for label in Label] == [False, True, False]


async def test_what_it_finds_raises_the_label() -> None:
    facts = await asked(opinion(Reader()))

    assert (facts.label, facts.label_reason, facts.findings) == (
        Label.CONFIDENTIAL,
        "second_opinion",
        (Finding("person", Tier.LIKELY, "messages[0].content", 0, 4),),
    )


async def test_where_it_finds_nothing_the_facts_stay() -> None:
    facts = await asked(opinion(Reader(())))

    assert (facts.label, facts.label_reason, facts.findings) == (Label.PUBLIC, "default", ())


async def test_what_is_left_alone_is_no_finding() -> None:
    assert (await asked(opinion(Reader(), left=LeftAlone.of(["Jane"], [])))).label is Label.PUBLIC


async def test_an_empty_text_is_read_by_nobody() -> None:
    reader = Reader()

    assert (await asked(opinion(reader), " \n")).label is Label.PUBLIC
    assert reader.texts == []


async def test_a_text_over_the_limit_is_confidential_and_is_sent_nowhere() -> None:
    reader = Reader(())

    facts = await asked(opinion(reader, max_chars=5))

    assert (facts.label, facts.label_reason, facts.kinds) == (Label.CONFIDENTIAL, "over_second_opinion_limit", ("second_opinion_unavailable",))
    assert reader.texts == []


@pytest.mark.parametrize("fault", [*(UpstreamError(failure) for failure in Failure), InvalidRequestError("no"), TimeoutError()])
async def test_whatever_fails_is_confidential_and_shows(fault: Exception) -> None:
    reader, before = Reader(fault), counted("failed")
    second = opinion(reader)

    facts = await asked(second, label=Label.INTERNAL)

    assert (facts.label, facts.label_reason, facts.kinds) == (Label.CONFIDENTIAL, "second_opinion_unavailable", ("second_opinion_unavailable",))
    assert second.status.startswith("failing")
    assert DEGRADED.labels("second_opinion")._value.get() == 1
    assert counted("failed") == before + 1


async def test_a_failure_is_not_remembered_and_an_answer_ends_it() -> None:
    reader = Reader(UpstreamError(Failure.BROKEN))
    second = opinion(reader)
    await asked(second)
    await asked(second)
    reader.outcome = ()

    facts = await asked(second)

    assert (facts.label, second.status) == (Label.PUBLIC, "ok")
    assert DEGRADED.labels("second_opinion")._value.get() == 0


@pytest.mark.parametrize("outcome", [UpstreamError(Failure.BROKEN), ()])
async def test_one_that_a_reload_replaced_says_nothing_more_in_the_metric(outcome: Any) -> None:
    old = opinion(Reader(outcome))
    old.retire()
    DEGRADED.labels("second_opinion").set(2)

    await asked(old)

    assert DEGRADED.labels("second_opinion")._value.get() == 2
    assert (old.status == "ok") == (outcome == ())


@pytest.mark.parametrize(("own", "requests"), [(0.01, 60.0), (60.0, 0.01)])
async def test_one_that_hangs_is_given_up_within_its_own_time_and_the_requests(own: float, requests: float) -> None:
    reader = Reader()
    reader.gate.clear()

    async with asyncio.timeout(5):
        facts = await asked(opinion(reader, timeout_s=own), timeout_s=requests)

    assert facts.label_reason == "second_opinion_unavailable"
    assert reader.left_s[0] <= 0.01
    assert reader.at_once == 0


@pytest.mark.parametrize("outcome", [None, UpstreamError(Failure.TIMEOUT)])
@pytest.mark.parametrize(("left", "status"), [(0.01, "ok"), (0.2, "failing: what it is asked for is confidential")])
async def test_a_time_out_is_its_own_only_where_it_had_the_time(outcome: Any, left: float, status: str) -> None:
    reader = Reader(outcome)
    if outcome is None:
        reader.gate.clear()
    second = opinion(reader, timeout_s=0.4)

    facts = await asked(second, timeout_s=left)

    assert (facts.label_reason, second.status) == ("second_opinion_unavailable", status)


async def test_no_more_are_asked_at_once_than_allowed_and_who_finds_no_turn_is_confidential() -> None:
    reader, before = Reader(()), counted("busy")
    reader.gate.clear()
    second = opinion(reader, concurrency=2)
    first = [asyncio.create_task(asked(second, f"text {number}", f"tenant {number}")) for number in range(66)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)

    facts = await asked(second, "one more", "tenant 0")
    reader.gate.set()
    others = await asyncio.gather(*first)

    assert (facts.label, second.status) == (Label.CONFIDENTIAL, "ok")
    assert reader.most_at_once == 2
    assert {each.label for each in others} == {Label.PUBLIC}
    assert counted("busy") == before + 1


async def test_a_caller_that_leaves_takes_its_question_with_it() -> None:
    reader = Reader()
    reader.gate.clear()
    second = opinion(reader, concurrency=1)
    task = asyncio.create_task(asked(second))
    await asyncio.sleep(0)
    assert reader.at_once == 1

    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    reader.gate.set()

    assert reader.at_once == 0
    assert (await asked(second, "Jane again")).label is Label.CONFIDENTIAL


async def test_the_same_text_of_the_same_tenant_is_asked_for_once() -> None:
    reader = Reader()
    second = opinion(reader)

    first, again, other = [await asked(second, tenant=tenant) for tenant in ("t", "t", "another")]

    assert first.findings == again.findings == other.findings
    assert len(reader.texts) == 2
    assert all(b"Jane" not in key for key in second._known)


async def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.gateway.second_opinion._MAX_KNOWN", 2)
    reader = Reader(())
    second = opinion(reader)
    for number in range(5):
        await asked(second, f"text {number}")
    reader.outcome = (JANE,) * 101
    await asked(second, "a text of many names")

    assert len(second._known) == 2
    assert all(len(kept) <= 100 for kept in second._known.values())
