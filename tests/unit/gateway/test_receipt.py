from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from app.domain import CacheState, Deployment, Facts, Finding, Label, LaneName, Price, Tier, Usage
from app.gateway import receipt as receipts
from app.gateway.receipt import Receipt, cost_usd
from tests.unit.policy.table import facts


def receipt_of(**known: Any) -> Receipt:
    receipt = Receipt()
    for name, value in known.items():
        setattr(receipt, name, value)
    return receipt


def noted(receipt: Receipt) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    receipt.note(fields)
    return fields


def test_an_empty_receipt_tells_the_time_only() -> None:
    assert [name for name, _ in Receipt().headers()] == [b"server-timing"]


def test_a_full_receipt_names_everything_and_no_value() -> None:
    findings = (Finding("email", Tier.HARD, "messages[0].content", 0, 9), Finding("card", Tier.HARD, "messages[0].content", 10, 26))
    receipt = receipt_of(facts=facts(Label.CONFIDENTIAL, findings=findings), rule="r", cache=CacheState.MISS, deployment="d", attempts=2)
    receipt.dropped, receipt.cost_usd, receipt.assess_s, receipt.cache_s, receipt.upstream_s = ("seed", "store"), 0.00012, 0.001, 0.0, 0.2

    headers = {name.decode(): value.decode() for name, value in receipt.headers()}

    timing = headers.pop("server-timing")
    assert timing.startswith("assess;dur=1.00, cache;dur=0.00, upstream;dur=200.00, total;dur=")
    assert headers == {
        "x-gateway-deployment": "d",
        "x-gateway-label": "confidential",
        "x-gateway-complexity": "simple",
        "x-gateway-findings": "card,email",
        "x-gateway-rule": "r",
        "x-gateway-cache": "miss",
        "x-gateway-attempts": "2",
        "x-gateway-cost-usd": "0.000120",
        "x-gateway-dropped-params": "seed,store",
    }


def test_the_log_has_identifiers_and_counts() -> None:
    receipt = receipt_of(facts=facts(), deployment="d", usage=Usage(3, 4))

    assert noted(receipt) == {
        "label": "public",
        "findings": 0,
        "complexity": "simple",
        "score": 0.0,
        "deployment": "d",
        "prompt_tokens": 3,
        "completion_tokens": 4,
    }
    assert noted(Receipt()) == {}


def test_the_log_tells_a_cost_without_what_floats_make_of_it() -> None:
    assert noted(receipt_of(cost_usd=0.1 + 0.2))["cost_usd"] == 0.3  # the sum is 0.30000000000000004


def test_what_nothing_read_of_the_request_is_not_told() -> None:
    unread: Any = SimpleNamespace(tokens_at_most=0, known_complexity=None)
    receipt = receipt_of(facts=Facts(Label.PUBLIC, "default", (), measures=unread))

    assert b"x-gateway-complexity" not in dict(receipt.headers())
    assert noted(receipt) == {"label": "public", "findings": 0}


def priced(price: Price | None) -> Deployment:
    return Deployment(name="d", provider="openai", model="m", lane=LaneName.RELAY, clearance=Label.PUBLIC, price=price)


@pytest.mark.parametrize(
    ("price", "usage", "cost"),
    [
        (None, Usage(1, 1), None),
        (Price(1.0, 2.0), Usage(3, 4), 11.0),
        (Price(1.0, 2.0), Usage(3, 4, cached_tokens=2), 11.0),
        (Price(1.0, 2.0, cached_input_usd=0.5), Usage(3, 4, cached_tokens=2), 10.0),
        (Price(1.0, 2.0, cached_input_usd=0.0), Usage(3, 0, cached_tokens=9), 0.0),
    ],
)
def test_cost_is_tokens_at_their_prices(price: Price | None, usage: Usage, cost: float | None) -> None:
    assert cost_usd(priced(price), usage) == cost


def test_headers_of_other_decisions_are_never_told() -> None:
    told = [dict(receipt_of(deployment="d", rule=rule, attempts=attempts).headers()) for rule in ("a", "b") for attempts in (1, 2)]

    assert [(headers[b"x-gateway-rule"], headers[b"x-gateway-attempts"]) for headers in told] == [(b"a", b"1"), (b"a", b"2"), (b"b", b"1"), (b"b", b"2")]


def test_what_is_kept_of_headers_is_bounded() -> None:
    for number in range(3000):
        assert dict(receipt_of(rule=f"rule {number}").headers())[b"x-gateway-rule"] == f"rule {number}".encode()

    assert len(receipts._kept) <= receipts._MAX_KEPT


@pytest.mark.parametrize("rule", ["a\r\nx-other: b", "a\nb", "a\0"])
def test_no_header_breaks_out_of_its_line(rule: str) -> None:
    with pytest.raises(RuntimeError, match="line"):
        receipt_of(rule=rule).lines()


def test_the_lines_of_a_head_are_its_headers_and_the_log_says_the_same() -> None:
    receipt = receipt_of(deployment="d", rule="r", attempts=1, cost_usd=0.5)

    lines = receipt.lines().decode().split("\r\n")

    assert lines[:4] == ["x-gateway-deployment: d", "x-gateway-rule: r", "x-gateway-attempts: 1", "x-gateway-cost-usd: 0.500000"]
    assert lines[4].startswith("server-timing: total;dur=")
    assert noted(receipt) == {"rule": "r", "deployment": "d", "attempts": 1, "cost_usd": 0.5}


@pytest.mark.parametrize(
    ("known", "timed"),
    [
        ({}, "total"),
        ({"cache_s": 0.001}, "cache;dur=1.00, total"),
        ({"queue_s": 0.002, "assess_s": 0.001, "upstream_s": 0.003}, "queue;dur=2.00, assess;dur=1.00, upstream;dur=3.00, total"),
        (
            {"queue_s": 0.002, "assess_s": 0.001, "cache_s": 0.0, "upstream_s": 0.003},
            "queue;dur=2.00, assess;dur=1.00, cache;dur=0.00, upstream;dur=3.00, total",
        ),
    ],
)
def test_times_are_told_where_they_are_known(known: dict[str, float], timed: str) -> None:
    told = dict(receipt_of(**known).headers())[b"server-timing"].decode()

    assert told.rpartition(";dur=")[0] == timed


def test_waits_add_up() -> None:
    receipt = Receipt()
    receipt.note_wait(1.0)
    receipt.note_wait(0.5)

    assert receipt.queue_s == 1.5
