"""An explanation for a person's terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_RED, _GREEN, _DIM, _BOLD, _PLAIN = "\x1b[31m", "\x1b[32m", "\x1b[2m", "\x1b[1m", "\x1b[0m"


def to_text(explained: Mapping[str, Any], *, colour: bool) -> str:
    """Return what `explain.to_wire` said, readable; ANSI colours where `colour`."""
    text = "\n".join(_lines(explained)) + "\n"
    if not colour:
        for code in (_RED, _GREEN, _DIM, _BOLD, _PLAIN):
            text = text.replace(code, "")
    return text


def _lines(explained: Mapping[str, Any]) -> Iterator[str]:
    complexity, unread = explained["complexity"], explained["not_read"]
    yield f"label        {_BOLD}{explained['label']}{_PLAIN} ({explained['label_reason']})"
    for found in explained["findings"]:
        yield f"  {found['kind']:18} {found['tier']:7} {found['position']} [{found['start']}:{found['end']}]"
    if "second_opinion" in explained:
        yield f"second opinion  {explained['second_opinion']}"
    cuts = complexity["cuts"]
    told = f"{complexity['score']:.3f}; medium from {cuts['medium']:.3f}, complex from {cuts['complex']:.3f}"
    yield f"complexity   {_BOLD}{complexity['tier']}{_PLAIN} ({told}){_unread('complexity', unread)}"
    for name, value in sorted(complexity["contributions"].items(), key=lambda item: -abs(item[1])):
        if value:
            yield f"  {name:18} {value:+.3f}"
    most = explained["max_output_tokens"]
    answer = f"and at most {most} of answer" if most else "with no limit to the answer"
    yield f"tokens       about {explained['prompt_tokens']}, {answer}{_unread('prompt_tokens', unread)}"
    yield f"needs        {', '.join(explained['needs']) or 'nothing special'}"
    if explained["rules"]:
        yield "rules"
    for rule in explained["rules"]:
        sign = f"{_GREEN}matches{_PLAIN}" if rule["matched"] else f"{_DIM}no: {rule['why_not']}{_PLAIN}"
        yield f"  {rule['rule']:18} -> {rule['use'] or 'reject':12} {sign}"
    yield from _plan(explained)


def _unread(name: str, unread: list[str]) -> str:
    return f"{_DIM}  read by no rule{_PLAIN}" if name in unread else ""


def _plan(explained: Mapping[str, Any]) -> Iterator[str]:
    plan, error = explained["plan"], explained["error"]
    if error is not None:
        yield f"{_RED}refused{_PLAIN}      {error['code']}: {error['message']}"
        return
    yield f"plan         rule {_BOLD}{plan['rule']}{_PLAIN}" + (f", pool {_BOLD}{plan['pool']}{_PLAIN}" if plan["pool"] else "")
    if plan["choice"]:
        drawn = f", drawn {plan['drawn']:.4f}" if plan["drawn"] is not None else ""
        yield f"  chosen by {plan['choice']}{drawn}" + (f", arm {_BOLD}{plan['arm']}{_PLAIN}" if plan["arm"] else "")
    for place, attempt in enumerate(plan["attempts"], 1):
        yield f"  {place}. {attempt['deployment']:15} {attempt['lane']:10} {_cost(attempt):12} {attempt['reason']}"
    planned = {attempt["deployment"] for attempt in plan["attempts"]}
    for attempt in plan["if_context_exceeded"]:
        if attempt["deployment"] in planned:
            continue
        yield f"  {_DIM}if the prompt is too long: {attempt['deployment']}{_PLAIN}"
    for entry in plan["excluded"]:
        yield f"  {_DIM}not {entry['deployment']}: {entry['reason']}{_PLAIN}"


def _cost(attempt: Mapping[str, Any]) -> str:
    cost = attempt["estimated_cost_usd"]
    return "price ?" if cost is None else f"${cost:.6f}"
