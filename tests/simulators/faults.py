"""Faults on demand, written as a suffix of the model's name, so that they survive every dialect's URLs.

`gpt-4o-mini.status-500`, `claude--cut-3` or plain `hang`: a name is split at dots and double hyphens, and its last parts that parse as faults hold
together (`m.slow-stream-50.cut-3`). Anything else is a healthy model. N counts chunks of a stream, after the head; times are milliseconds.

ok                    none, said aloud
status-N              the dialect's own error body; `status-429-retry-7` adds `retry-after: 7`, `status-429-retryms-70` `retry-after-ms: 70`
echo-N                likewise, the message quotes the last user text
html-N text-N         a proxy's error page, bare text
detail-N empty-N      FastAPI's `{"detail": ...}`, an empty body
redirect-N            a redirect to `Simulator.redirect_to`
context               the dialect's own refusal of a prompt that is too long
refuse                the connection is reset (as `Simulator.fault`: before a byte is read)
hang                  no answer, ever
stall-N               the head and N chunks, then silence
slow-first-MS         nothing at all for so long, then the whole answer at once
slow-token-MS         the head at once, the first chunk so long after it
slow-stream-MS        so long between chunks
slow-body-MS          a whole answer in eight pieces, so long between them
cut-N reset-N         the TCP connection ends (FIN, RST) after N chunks; a whole answer: half-way through its body
endclean-N            HTTP ends as it should after N chunks, the dialect does not; a whole answer: half a JSON text
malformed-N           chunk N is no JSON; a whole answer: its body is no JSON
error-N               the dialect's own error inside a 200 stream after N chunks; a whole answer: a 200 with an error for a body
badcrc-N              chunk N fails its checksum (Bedrock)
nodone                finish reasons, but not the dialect's last word (`[DONE]`, `message_stop`)
nofinish nofinishkey  the last word, but finish reasons null, or their key missing (OpenAI)
usagechoices          the usage chunk repeats the choices (OpenAI)
commentfirst          a comment before the first event
crlf nospace          lines end with CR LF; no space after `data:`
splitutf8             characters of several bytes, U+2028 and U+0085 in the answer; writes end inside characters and field names
bigchunk bigchunk-KB  one piece of the answer is so large (1024)
words-N               the answer has N more words
gzip                  compressed, asked for or not
connclose             no length: the body ends with the connection
times-N               the faults beside it hold for the first N requests to this model, which is healthy afterwards
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_STATUS = range(100, 600)
_ANY = range(1_000_000)
_NUMBERED: dict[str, range] = {
    **dict.fromkeys(("status", "echo", "html", "text", "detail", "empty", "redirect"), _STATUS),
    **dict.fromkeys(
        ("stall", "slow-first", "slow-token", "slow-stream", "slow-body", "cut", "reset", "endclean", "malformed", "error", "badcrc", "words"), _ANY
    ),
    "times": _ANY,
}
_PLAIN = frozenset({"ok", "context", "refuse", "hang", "nodone", "nofinish", "nofinishkey", "usagechoices", "commentfirst", "crlf", "nospace"}) | {
    "splitutf8",
    "bigchunk",
    "gzip",
    "connclose",
}
_SEGMENT = re.compile(r"(?P<name>[a-z][a-z0-9]*(?:-[a-z]+)*?)(?:-(?P<number>\d+))?(?:-(?P<retry>retry|retryms)-(?P<wait>\d+))?")


@dataclass(frozen=True, slots=True)
class Faults:
    """What goes wrong, by name, each with its number (0 where it takes none)."""

    by_name: Mapping[str, int] = field(default_factory=dict)

    def __contains__(self, name: str) -> bool:
        return name in self.by_name

    def __getitem__(self, name: str) -> int:
        return self.by_name[name]

    def get(self, name: str) -> int | None:
        return self.by_name.get(name)

    @property
    def retry_headers(self) -> tuple[tuple[str, str], ...]:
        names = (("retry", "retry-after"), ("retryms", "retry-after-ms"))
        return tuple((header, str(self.by_name[name])) for name, header in names if name in self.by_name)


def _segment(text: str) -> dict[str, int] | None:
    match = _SEGMENT.fullmatch(text)
    if match is None:
        return None
    name, number = match["name"], match["number"]
    if name == "bigchunk":
        found = {name: int(number or 1024)}
    elif name in _PLAIN and number is None:
        found = {name: 0}
    elif name in _NUMBERED and number is not None and int(number) in _NUMBERED[name]:
        found = {name: int(number)}
    else:
        return None
    if match["retry"]:
        if name != "status":
            return None
        found[match["retry"]] = int(match["wait"])
    return found


def parse(model: str) -> Faults:
    """Return the faults that a model's name asks for; none for a name that ends in none."""
    found: dict[str, int] = {}
    for text in reversed(re.split(r"\.|--", model)):
        segment = _segment(text)
        if segment is None:
            break
        found = segment | found
    return Faults(found)


HEALTHY = Faults()
