"""The walk over a parsed body that `collect` makes: iterative, so that no nesting can exhaust the stack."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from itertools import islice, pairwise
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from app.policy.published import CONSTANTS, KEYS

if TYPE_CHECKING:
    from collections.abc import Sequence

_PAIR_CHARS = 4096  # a longer value says by itself what it is; joined with its key it would only be scanned twice
MIN_NUMBER_CHARS = 7  # no kind of finding has fewer digits
_SHORT_NUMBER = 10 ** (MIN_NUMBER_CHARS - 1)
_BYTE = 256
_FIRST_TOKEN = ord("!")  # the character of token 0 in OpenAI's vocabularies (tiktoken), which the other printable ones follow
_DIGITS = "0123456789"
_EXPONENT = re.compile(r"(?<![\w.])(?=[\d.]{8})\d{1,40}(?:\.\d{1,40})?[eE]\+?\d{1,2}(?![\w.])")  # as some programs write whole numbers
_MIN_BYTES = 8  # a shorter run of small integers is a list of numbers
_MIN_TOKENS = 4  # a prompt as token numbers; shorter lists of integers are figures
_MAX_NODES = 200_000  # a body of more values says nothing that a person wrote; walking on would cost memory and seconds
_MAX_DEPTH = 3  # JSON in a text of JSON in a text of JSON: each is at most as long as what it stands in
_MAX_FIGURES = 4  # a number that is cut; calls that are given more are given numbers of things, two of which are a card's by chance
_PAYLOAD_CHARS = 256  # inside a media part, a longer run of base64 is the medium itself
_MEDIA = {
    **dict.fromkeys(("image_url", "input_image", "image", "images"), "image"),
    **dict.fromkeys(("input_audio", "audio", "audio_url"), "audio"),
    **dict.fromkeys(("video", "video_url", "input_video"), "video"),
    **dict.fromkeys(("file", "files", "input_file", "document"), "file"),
}
_TEXTUAL = frozenset({None, "text", "refusal", "input_text", "output_text", "thinking", "reasoning", "tool_use", "tool_result"})
ROLES = frozenset({"system", "developer", "user", "assistant"})  # published constants, and so no content themselves
_NUMBERS = frozenset({int, float})
_SPOKEN_KEYS = frozenset({"text", "refusal", "thinking"})
_MEDIUM_KEYS = (".data", ".file_data", ".url", ".image_url", ".b64_json")  # where a medium itself stands
_QUOTED = re.compile(r'"([^"]*)"(\s*:)?')  # in JSON without backslashes: a value, or a key with its colon
_READABLE_MEDIUM = re.compile("svg|xml|text|json|html")  # base64 of these is text
_PAYLOAD = re.compile(r"[A-Za-z0-9+/=_-]*")
_DATA_URL = re.compile(r"data:[\w.+-]{1,40}/[\w.+-]{1,80}(?:;[\w=.-]{1,60}){0,3};base64,")


Span = tuple[int, int | None]  # offsets of code points; None is the end
_WHOLE: Span = (0, None)


class _Number(str):
    """A number of JSON that stands in a string, as it is written there."""

    __slots__ = ()


class Scalar(NamedTuple):
    """One piece of text, and where it stands."""

    position: str
    text: str

    def __repr__(self) -> str:
        return f"Scalar({self.position!r})"


@dataclass(frozen=True, slots=True)
class Opaque:
    """Something that no scanner of text can read.

    An `image`, `audio`, `video`, `file`, `tokens`, a `part` of a type that nobody knows, or a `structure` of more values than are walked.
    """

    kind: str
    position: str


@dataclass(frozen=True, slots=True)
class Join:
    """Scalars (by index) that a reader may put together, and what then stands between them.

    Those that are `near` are read as one text, so that names count. Of those that `meet`, only the end of each and the start of the next stand together, so
    that nothing follows a value that ends where the second does. `spans` are what is read of each part, where that is not the whole of it.
    """

    parts: tuple[int, ...]
    between: str = ""
    near: bool = False
    meet: bool = False
    spans: tuple[Span, ...] = ()


class Walk:
    """The state of one walk over a body."""

    __slots__ = ("argued", "chars", "in_call", "joins", "nodes_left", "opaque", "reads_tokens", "said", "scalars", "schema_chars", "tools_used")

    def __init__(self) -> None:
        self.scalars: list[Scalar] = []
        self.joins: list[Join] = []
        self.opaque: list[Opaque] = []
        self.said: list[tuple[str, int]] = []  # role and index of each text of the conversation, in order
        self.argued: list[tuple[int, Span]] = []  # where each text that a call gives its function stands, in order
        self.in_call = False
        self.chars = 0  # words of the schema included: what a model reads of a tool
        self.schema_chars = 0
        self.tools_used = False
        self.nodes_left = _MAX_NODES
        self.reads_tokens = True  # lists of integers may be prompts; not so in schemas

    def take(self, text: str, position: str) -> int:
        """Take a text down and return its index."""
        self.scalars.append(Scalar(position, text))
        return len(self.scalars) - 1

    def say(self, role: str, text: str, position: str) -> None:
        """Take a text of the conversation down."""
        if text:
            self.said.append((role, self.take(text, position)))

    def key(self, key: str, ordinal: int, parent: str) -> tuple[str, int | None]:
        """Return an entry's position, and the index of its key where the key is not OpenAI's and so is content itself."""
        self.chars += len(key) + 4
        if key in KEYS:
            return (f"{parent}.{key}" if parent else key), None
        position = f"{parent}.{{{ordinal}}}" if parent else f"{{{ordinal}}}"
        return position, self.take(key, position)

    def setting(self, key: str, value: object) -> bool:
        """Take a setting of the request's down that is one value under a published key; False where there is more to walk."""
        kind = type(value)
        if key not in KEYS or (kind not in _NUMBERS and kind is not str and kind is not bool and value is not None):
            return False
        if kind is str:
            self.string(cast("str", value), key, None, in_media=False, depth=0)
        elif kind in _NUMBERS:
            self.number(spelled(value), key, None)
        return True

    def message(self, message: object, position: str) -> None:
        """Walk one message: its content is conversation, the rest is taken as it comes."""
        if not isinstance(message, dict):
            self.add(message, position)
            return
        self.nodes_left -= 1 + len(message)
        content, role = message.get("content"), message.get("role")
        if len(message) == 2 and type(content) is str and type(role) is str and role in ROLES and self.nodes_left >= 0:
            self.say(role, content, position + ".content")  # most messages, without the walk
            return
        if self.nodes_left < 0:
            self.opaque.append(Opaque("structure", position))
            return
        role = role if isinstance(role, str) else ""
        self.tools_used = self.tools_used or role in {"tool", "function"}
        for ordinal, (key, value) in enumerate(message.items()):
            path, owner = self.key(key, ordinal, position)
            if key in {"content", "refusal"}:
                self.content(value, path, role)
            elif key in {"tool_calls", "function_call"} and value:
                self.tools_used = self.in_call = True
                self.add(value, path)
                self.in_call = False
            elif key in _MEDIA and value:
                self.media(_MEDIA[key], value, path)
            else:
                self.add(value, path, owner)

    def content(self, content: object, position: str, role: str) -> None:
        """Walk a message's content: a text, or parts."""
        if isinstance(content, str):
            self.say(role, content, position)
        elif isinstance(content, list):
            before = len(self.said)
            for index, part in enumerate(content):
                self.part(part, f"{position}[{index}]", role)
            if len(self.said) > before + 1:
                self.joins.append(Join(tuple(index for _, index in self.said[before:]), near=True))
        else:
            self.add(content, position)

    def part(self, part: object, position: str, role: str) -> None:
        """Walk one part of a content: text is said, a medium is opaque, and so is a part of a type that nobody knows."""
        if not isinstance(part, dict):
            if isinstance(part, str):
                self.say(role, part, position)
            else:
                self.add(part, position)
            return
        kind = part.get("type")
        medium = _MEDIA.get(kind) if isinstance(kind, str) else None
        if medium is not None:
            self.media(medium, part, position)
            return
        if kind is not None and (not isinstance(kind, str) or kind not in _TEXTUAL):
            self.opaque.append(Opaque("part", position))
        for ordinal, (key, value) in enumerate(part.items()):
            path, owner = self.key(key, ordinal, position)
            if key in _SPOKEN_KEYS and isinstance(value, str):
                self.say(role, value, path)
            else:
                self.add(value, path, owner)

    def media(self, kind: str, value: object, position: str) -> None:
        """Walk something that is no text: the medium itself is opaque, what else is there (a file's name, an address) is scanned."""
        self.opaque.append(Opaque(kind, position))
        self.add(value, position, in_media=True)

    def add(self, root: object, position: str, owner: int | None = None, *, in_media: bool = False, depth: int = 0) -> None:
        """Walk anything. `owner` is the index of the key that it belongs to, where that key is content; `depth` counts the texts of JSON that it stands in."""
        stack: list[tuple[object, str, int | None]] = [(root, position, owner)]
        while stack:
            value, position, owner = stack.pop()
            self.nodes_left -= 1 + (len(value) if isinstance(value, (dict, list, tuple)) else 0)
            if self.nodes_left < 0:
                self.opaque.append(Opaque("structure", position))
                return
            if isinstance(value, str):
                self.string(value, position, owner, in_media=in_media, depth=depth)
            elif isinstance(value, dict):
                kind = value.get("type")
                if not in_media and isinstance(kind, str) and kind in _MEDIA and not depth and position.startswith("messages["):
                    self.opaque.append(Opaque(_MEDIA[kind], position))  # in a tool's result, say
                entries = [(child, *self.key(key, ordinal, position)) for ordinal, (key, child) in enumerate(value.items())]
                if not ("7" in value and self.typed_array(value, position)):
                    stack.extend(reversed(entries))
            elif isinstance(value, (list, tuple)):
                if not self.sequence(value, position):
                    stack.extend((value[index], f"{position}[{index}]", None) for index in range(len(value) - 1, -1, -1))
            elif value is not None and value is not True and value is not False:
                self.number(spelled(value), position, owner)

    def string(self, text: str, position: str, owner: int | None, *, in_media: bool, depth: int) -> None:
        """Take a text down unless it is a word of the schema, look into JSON that stands in it, and mark what is a medium."""
        self.chars += len(text) + 2
        if not text or text in CONSTANTS:
            return
        if in_media and len(text) > _PAYLOAD_CHARS and position.endswith(_MEDIUM_KEYS) and _PAYLOAD.fullmatch(text):
            return
        if text.startswith("data:"):
            self.opaque.append(Opaque(_MEDIA.get(text[5 : text.find("/")], "file"), position))
            head = _DATA_URL.match(text)
            if head is not None and _READABLE_MEDIUM.search(head[0]) is None and _PAYLOAD.fullmatch(text, head.end()):
                return
        index = self.take(text, position)
        if owner is not None and len(text) <= _PAIR_CHARS:
            self.joins.append(Join((owner, index), ": "))
        if position.endswith(".arguments") and len(text) > len("{}"):
            self.said.append(("arguments", index))
        is_escaped = "\\" in text
        if self.in_call and ".arguments" in position:
            is_escaped = self.argue(text, index)
        if depth < _MAX_DEPTH and is_escaped and text.lstrip()[:1] in {"{", "["}:
            self.json(text, position, depth + 1)

    def argue(self, text: str, index: int) -> bool:
        """Note where the texts stand that a function is given. True where they are in JSON, and not as they are.

        Numbers are left out: by chance two figures in a row are a card's number.
        """
        for written in _EXPONENT.finditer(text):
            self.nodes_left -= 1
            if self.nodes_left < 0:
                self.opaque.append(Opaque("structure", self.scalars[index].position))
                return False
            self.number(spelled(float(written[0])), self.scalars[index].position, None)
        if text.lstrip()[:1] not in {"{", "["}:
            if type(text) is str:
                self.argued.append((index, _WHOLE))
            return False
        if "\\" in text or not text.isascii() or "\x7f" in text:  # folding may move what stands in it
            return True
        quoted = _QUOTED.finditer(text)
        spans = [match.span(1) for match in islice(quoted, self.nodes_left) if match[2] is None and match[1]]
        self.nodes_left -= len(spans)
        self.argued.extend((index, span) for span in spans)
        if next(quoted, None) is not None:
            self.opaque.append(Opaque("structure", self.scalars[index].position))
        return False

    def json(self, text: str, position: str, depth: int) -> None:
        """Walk JSON that stands in a string: with a backslash in it, its values do not stand in the text as they are."""
        try:
            value = json.loads(text, parse_int=_Number, parse_float=_Number)
        except (ValueError, RecursionError):
            return
        self.add(value, position, depth=depth)

    def sequence(self, values: list[Any] | tuple[Any, ...], position: str) -> bool:
        """Take a list of nothing but texts or integers down, which may be bytes; False where it is neither."""
        first = values[0] if values else None
        if type(first) in _NUMBERS and _is_integral(values):
            values = [int(value) for value in values]
            first = values[0]
        if isinstance(first, str) and len(values) > 1 and all(isinstance(value, str) for value in values):
            parts = tuple(self.take(text, f"{position}[{index}]") for index, text in enumerate(values) if text)
            self.chars += sum(map(len, values)) + 2 * len(values)
            self.joins.append(Join(parts))
            if self.in_call and ".arguments" in position:
                self.argued.extend((part, _WHOLE) for part in parts if type(self.scalars[part].text) is str)
            return True
        if type(first) is int and all(type(value) is int for value in values):
            if len(values) >= _MIN_BYTES and min(values) >= 0 and max(values) < _BYTE:
                self.bytes(bytes(values), position)
            elif self.reads_tokens and len(values) >= _MIN_TOKENS:
                self.opaque.append(Opaque("tokens", position))
            for index, value in enumerate(values):
                if not -_SHORT_NUMBER < value < _SHORT_NUMBER:
                    self.number(str(value), f"{position}[{index}]", None)
            self.chars += 4 * len(values)
            return True
        return False

    def typed_array(self, entries: dict[str, Any], position: str) -> bool:
        """Take bytes down that stand under their numbers, as JavaScript writes them; False where they are none."""
        values = list(entries.values())
        is_one = all(type(value) is int and 0 <= value < _BYTE for value in values) and list(entries) == [str(index) for index in range(len(values))]
        return is_one and self.sequence(values, position)

    def bytes(self, raw: bytes, position: str) -> None:
        """Take small integers down: as bytes, as digits, and as tokens of one character. Where they could be a prompt and are no text, they are opaque."""
        text = raw.decode("utf-8", "replace")
        self.take(text, position)
        if max(raw) < len(_DIGITS):
            self.take("".join(map(_DIGITS.__getitem__, raw)), position)
        if self.reads_tokens:
            self.take(bytes((token + _FIRST_TOKEN) % _BYTE for token in raw).decode("latin-1"), position)
            if not text.isprintable():
                self.opaque.append(Opaque("tokens", position))

    def number(self, text: str, position: str, owner: int | None) -> None:
        """Take a number down as it was written, where it is long enough to be anything."""
        self.chars += len(text)
        if len(text) >= MIN_NUMBER_CHARS:
            index = self.take(text, position)
            if owner is not None:
                self.joins.append(Join((owner, index), ": "))

    def join_turns(self) -> None:
        """Join the conversation's texts with nothing between: all of them, those of each role, and any two that follow one another in these.

        So are the texts that calls give their functions.
        """
        figures = {entry for entry in self.argued if self.scalars[entry[0]].text[slice(*entry[1])].isdigit()}
        argued = self.argued
        if len(figures) > _MAX_FIGURES:
            self._join_argued([entry for entry in argued if entry in figures], meet=True)  # a number that is cut in two is there still
            argued = [entry for entry in argued if entry not in figures]
        self._join_argued(argued)
        if len(argued) > 2:
            self._join_argued(argued, meet=True)
        self.joins.extend(join_said(self.said))

    def _join_argued(self, argued: Sequence[tuple[int, Span]], *, meet: bool = False) -> None:
        if len(argued) > 1:
            parts, spans = zip(*argued, strict=True)
            self.joins.append(Join(parts, meet=meet, spans=spans))


def join_said(said: Sequence[tuple[str, int]]) -> list[Join]:
    """Return the joins of a conversation's texts, each given by its role and its scalar's index: all, those of each role, and any two that follow."""
    if len(said) < 2:
        return []
    everything = [index for _, index in said]
    roles: dict[str, list[int]] = {}
    for role, index in said:
        roles.setdefault(role, []).append(index)
    chains = [everything]
    if len(roles) > 1:
        chains.extend(parts for parts in roles.values() if len(parts) > 1)
    if "arguments" in roles and len(roles) > 2:  # what was said, without the calls between
        chains.append([index for role, index in said if role != "arguments"])
    pairs = {pair: None for parts in chains for pair in pairwise(parts)} if len(everything) > 2 else {}
    return [*(Join(tuple(parts)) for parts in chains), *(Join(pair, meet=True) for pair in pairs)]


def _is_integral(values: list[Any] | tuple[Any, ...]) -> bool:
    """Say whether some of these numbers are floats, and all of them integers."""
    kinds = set(map(type, values))
    return float in kinds and kinds <= _NUMBERS and all(value == value // 1 for value in values)


def spelled(value: object) -> str:
    """Return a number as a person would write it: 4111111111111111.0 is a card number too."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
