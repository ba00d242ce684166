from __future__ import annotations

from datetime import UTC
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import pytest

from app.config.hours import describe_hours
from app.domain_routing import Hours

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.config.specs import GatewayFile

HEAD = "deployments: {a: {model: openai/a}}\nrules:\n"


@pytest.mark.parametrize(
    ("when", "hours"),
    [
        ("{hours: '08:00-18:00', zone: utc}", Hours(UTC, start=480, end=1080)),
        ("{hours: '9:30 - 24:00', zone: Europe/Berlin}", Hours(ZoneInfo("Europe/Berlin"), start=570, end=1440)),
        ("{hours: '22:00-06:00', zone: UTC}", Hours(UTC, start=1320, end=360)),
        ("{days: [mon, Sunday], zone: UTC}", Hours(UTC, frozenset({0, 6}))),
        ("{days: fri, hours: '00:00-01:00', zone: UTC}", Hours(UTC, frozenset({4}), 0, 60)),
    ],
)
def test_times_are_read(load: Callable[..., GatewayFile], when: str, hours: Hours) -> None:
    file = load(f"{HEAD}  - {{when: {when}, use: a}}\n  - {{use: a}}")

    assert file.rules[0].rule.when.hours == hours


@pytest.mark.parametrize(
    ("when", "sentence"),
    [
        ("{hours: '08:00-18:00'}", "hours needs `zone`: the time zone that it is read in, such as `zone: Europe/Berlin`, or `zone: UTC`"),
        ("{days: mon}", "days needs `zone`: the time zone that it is read in, such as `zone: Europe/Berlin`, or `zone: UTC`"),
        ("{zone: UTC}", "zone has no effect without `hours` or `days`; write one, or leave it out"),
        ("{days: mon, zone: Europe/Berlim}", 'zone is no time zone of this machine "Europe/Berlim"; write a name such as Europe/Berlin, or UTC'),
        ("{days: mon, zone: ../etc}", 'zone is no time zone of this machine "../etc"; write a name such as Europe/Berlin, or UTC'),
        ("{days: mon, zone: [UTC]}", "zone must be one value, not a list"),
        ("{days: monn, zone: UTC}", 'days: "monn" is not known; did you mean "mon"?'),
        ("{days: [[mon]], zone: UTC}", "days must be one value, not a list"),
        ("{hours: 8-18, zone: UTC}", 'hours must be a range of the day such as "08:00-18:00", or "22:00-06:00" past midnight'),
        ("{hours: '08:00-08:00', zone: UTC}", 'hours must be a range of the day such as "08:00-18:00", or "22:00-06:00" past midnight'),
        ("{hours: '08:00-25:00', zone: UTC}", 'hours must be a range of the day such as "08:00-18:00", or "22:00-06:00" past midnight'),
        ("{hours: [a], zone: UTC}", "hours must be one value, not a list"),
    ],
)
def test_what_is_no_time_is_refused(faults: Callable[..., list[str]], when: str, sentence: str) -> None:
    found = faults(f"{HEAD}  - {{when: {when}, use: a}}\n  - {{use: a}}")

    assert [fault.partition(": ")[2] for fault in found] == [sentence]


def test_a_time_is_described_as_the_file_spells_it() -> None:
    assert describe_hours(Hours(ZoneInfo("Asia/Tokyo"), frozenset({6, 0}), 1320, 360)) == "hours: 22:00-06:00, days: [mon, sun], zone: Asia/Tokyo"
    assert describe_hours(Hours(UTC, start=60, end=1440)) == "hours: 01:00-24:00, zone: UTC"
    assert describe_hours(Hours(UTC, frozenset({2}))) == "days: [wed], zone: UTC"
