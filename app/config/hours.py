"""The grammar of a rule's time: `hours: "08:00-18:00"`, `days: [mon, fri]`, and the `zone` that they are read in."""

from __future__ import annotations

import re
from contextlib import suppress
from datetime import UTC, tzinfo
from typing import TYPE_CHECKING, Final
from zoneinfo import ZoneInfo

from app.config.reading import echo
from app.domain_routing import DAY_MINUTES, Hours

if TYPE_CHECKING:
    from collections.abc import Mapping

    from app.config.reading import Reader
    from app.config.yaml_tree import Node

HOUR_KEYS: Final = ("hours", "days", "zone")
DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")

_LONG: Final = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_RANGE: Final = re.compile(r"(\d{1,2}):(\d\d)\s*-\s*(\d{1,2}):(\d\d)")


def read_hours(reader: Reader, entries: Mapping[str, tuple[int, Node]], line: int) -> Hours | None:
    """Return the time that a condition names, or None, with a fault where it names one that cannot be read."""
    given = [key for key in HOUR_KEYS if key in entries]
    if not given:
        return None
    if "zone" not in entries:
        reader.fault(line, f"{given[0]} needs `zone`: the time zone that it is read in, such as `zone: Europe/Berlin`, or `zone: UTC`")
        return None
    if given == ["zone"]:
        reader.fault(line, "zone has no effect without `hours` or `days`; write one, or leave it out")
        return None
    zone = _zone(reader, entries["zone"][1])
    span = _span(reader, entries["hours"][1]) if "hours" in entries else (0, DAY_MINUTES)
    days = frozenset(reader.one_or_more(entries["days"][1], "days", lambda item, what: _day(reader, item, what))) if "days" in entries else frozenset(range(7))
    return None if zone is None or span is None or not days else Hours(zone, days, *span)


def _zone(reader: Reader, node: Node) -> tzinfo | None:
    name = reader.text(node, "zone")
    if name is None:
        return None
    if name.upper() == "UTC":
        return UTC  # known also where the machine has no time zones
    with suppress(KeyError, OSError, ValueError):  # no such zone; a folder of zones; a path that leaves it
        return ZoneInfo(name)
    reader.fault(node.line, f"zone is no time zone of this machine{echo(name)}; write a name such as Europe/Berlin, or UTC")
    return None


def _span(reader: Reader, node: Node) -> tuple[int, int] | None:
    text = reader.text(node, "hours")
    if text is None:
        return None
    found = _RANGE.fullmatch(text)
    numbers = [int(part) for part in found.groups()] if found else [99] * 4
    start, end = numbers[0] * 60 + numbers[1], numbers[2] * 60 + numbers[3]
    if max(numbers[1], numbers[3]) >= 60 or start >= DAY_MINUTES or end > DAY_MINUTES or start == end:
        reader.fault(node.line, 'hours must be a range of the day such as "08:00-18:00", or "22:00-06:00" past midnight')
        return None
    return start, end


def _day(reader: Reader, node: Node, what: str) -> int | None:
    text = reader.text(node, what)
    if text is None:
        return None
    word = text.lower()[:3] if text.lower() in {*DAYS, *_LONG} else ""
    if word:
        return DAYS.index(word)
    reader.unknown(node, what, text, DAYS)
    return None


def describe_hours(hours: Hours) -> str:
    """Return a time as the file spells it."""
    parts = []
    if (hours.start, hours.end) != (0, DAY_MINUTES):
        parts.append(f"hours: {_clock(hours.start)}-{_clock(hours.end)}")
    if len(hours.days) < len(DAYS):
        parts.append(f"days: [{', '.join(DAYS[day] for day in sorted(hours.days))}]")
    return ", ".join([*parts, f"zone: {hours.zone}"])


def _clock(minute: int) -> str:
    return f"{minute // 60:02}:{minute % 60:02}"
