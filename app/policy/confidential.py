"""What a confidential request may not carry: a server that is cleared could fetch, forward or call for it.

vLLM, for one, has request fields that name another host; llama.cpp, vLLM and others fetch an image that is given by URL.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from app.errors import InvalidRequestError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

# The top level of `CreateChatCompletionRequest` in OpenAI's published API description.
PUBLISHED = frozenset(
    """audio frequency_penalty function_call functions logit_bias logprobs max_completion_tokens max_tokens messages metadata modalities model moderation n
    parallel_tool_calls prediction presence_penalty prompt_cache_key prompt_cache_options prompt_cache_retention reasoning_effort response_format
    safety_identifier seed service_tier stop store stream stream_options temperature tool_choice tools top_logprobs top_p user verbosity
    web_search_options""".split(),  # noqa: SIM905 -- forty names read better as a paragraph
)

# Fields beside OpenAI's by which vLLM, llama.cpp, SGLang and TGI choose the next token; docs/privacy.md lists them.
SAMPLING = frozenset(
    """top_k min_p top_a typical_p tfs_z repetition_penalty repeat_penalty repeat_last_n length_penalty no_repeat_ngram_size min_tokens
    ignore_eos stop_token_ids skip_special_tokens spaces_between_special_tokens include_stop_str_in_output mirostat mirostat_tau mirostat_eta
    dry_multiplier dry_base dry_allowed_length dry_penalty_last_n xtc_probability xtc_threshold dynatemp_range dynatemp_exponent
    do_sample use_beam_search best_of grammar guided_json guided_regex guided_choice guided_grammar enable_thinking think""".split(),  # noqa: SIM905 -- likewise
)

# Where OpenAI's dialect and its relatives put the address of something that the server should fetch or call. A server in Go reads `URL` as `url`.
_URL_KEYS = frozenset({"image", "images", "video", "videos", "audios"})
_URL_ENDINGS = ("url", "urls", "uri", "uris")  # `image_url`, `fileUri`, `server_url`
_MEDIUM_KEYS = frozenset({"data", "file_data", "file_id"})  # a medium itself, which LiteLLM's proxy and LocalAI fetch where it is an address
_TEXT_KEYS = frozenset("text content refusal name description title thinking reasoning reasoning_content summary input output query".split())  # noqa: SIM905 -- likewise
_REFERENCES = frozenset({"$ref", "$dynamicRef"})  # of a JSON schema: some validators fetch what they name
_SCHEMAS = ("tools", "functions", "response_format", "guided_json")
_UNREAD = frozenset({"parameters", "arguments", "functions", "response_format", "metadata"})  # schemas and texts: nothing there is an address to fetch
_ADDRESSED = frozenset({"messages", "tools"})  # where a server may look for addresses under names of its own


_PLAIN_NAME = re.compile("[a-zA-Z_]{1,40}")  # another key may hold a value, and is told by its place
_URL = re.compile(r"(?:[a-z][a-z0-9+.-]{0,20}:[/\\]{2}|(?:file|https?|wss?|ftps?):)", re.IGNORECASE)
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]{0,20}:(?=\S)", re.IGNORECASE)
# Before a URL the WHATWG's standard drops controls and spaces, a server that strips a text the blanks of Unicode,
_BEFORE = "".join(sign for sign in map(chr, range(0x3001)) if sign <= " " or sign.isspace()) + "\ufeff"
_WITHIN = "\t\r\n"  # and inside of one the standard drops these; so do the parsers of Python and of yarl
_BEGINNING_CHARS = 2048


def check_fields(body: Mapping[str, Any], allow_fields: frozenset[str]) -> None:
    """Refuse every top-level field that is not OpenAI's, a sampling field, or allowed by name. Raises InvalidRequestError (`field_not_cleared`)."""
    for ordinal, name in enumerate(body):
        if name not in PUBLISHED and name not in SAMPLING and name not in allow_fields:
            told = _told(name, ordinal)
            message = (
                f"A confidential request may not carry the field '{told}': leave it out."
                " (Only OpenAI's own fields, sampling fields, and those in the deployment's allow_fields may go.)"
            )
            raise InvalidRequestError(message, param=told, code="field_not_cleared")


def check_urls(body: Mapping[str, Any]) -> None:
    """Refuse a URL, other than `data:`, in any media, file or tool-server field. Raises InvalidRequestError (`remote_url_not_allowed`)."""
    for path in (*_addresses(body), *_references(body)):
        message = (
            "A confidential request may not name a URL to fetch: send the content itself as a data: URL."
            " (Media cannot be scanned, so they make a request confidential, unless the operator's `scan: {allow: [...]}` names their kind.)"
        )
        raise InvalidRequestError(message, param=path, code="remote_url_not_allowed")


def _bare(value: str) -> str:
    """Return the beginning of a text as those read it who take it for a URL."""
    text = value.lstrip(_BEFORE)
    for sign in _WITHIN:
        text = text.replace(sign, "")
    return text[:_BEGINNING_CHARS]


def _leads_away(value: str) -> bool:
    """Say whether a text under a key for addresses names a host, or a file of the server."""
    start = _bare(value)
    return start[:5].lower() != "data:" and ("://" in start or start.startswith(("/", "\\\\", ".", "~")) or _SCHEME.match(start) is not None)


def _addresses(body: Mapping[str, Any]) -> Iterator[str]:
    """Yield the place of every address that a server could fetch, in messages, tools and fields that are not published; texts and schemas are left alone."""
    rest: list[tuple[str, Any, bool, bool]] = [("", body, False, False)]  # whether the key is one for addresses, and whether it, or what holds it, may be
    while rest:
        path, value, is_address, may_be = rest.pop()
        if isinstance(value, str):
            if (is_address and _leads_away(value)) or (may_be and _URL.match(_bare(value))):  # base64 too can begin with a stroke
                yield path
        elif isinstance(value, list):
            rest.extend((f"{path}[{index}]", item, is_address, may_be) for index, item in enumerate(value))
        elif isinstance(value, dict):
            for place, name, item in _entries(path, value):
                folded = name.casefold()
                if name not in _UNREAD:
                    for_addresses = folded in _URL_KEYS or folded.endswith(_URL_ENDINGS)
                    may_be_one = may_be or folded in _MEDIUM_KEYS or (path == "" and name in _ADDRESSED)
                    is_text = not for_addresses and folded in _TEXT_KEYS and isinstance(item, str)
                    rest.append((place, item, for_addresses, for_addresses or (may_be_one and not is_text)))


def _references(body: Mapping[str, Any]) -> Iterator[str]:
    """Yield the place of every reference to a schema elsewhere."""
    rest: list[tuple[str, Any]] = [(name, body[name]) for name in _SCHEMAS if name in body]
    while rest:
        path, value = rest.pop()
        if isinstance(value, list):
            rest.extend((f"{path}[{index}]", item) for index, item in enumerate(value))
        elif isinstance(value, dict):
            for place, name, item in _entries(path, value):
                if name in _REFERENCES and isinstance(item, str) and _URL.match(_bare(item)):
                    yield place
                rest.append((place, item))


def _entries(path: str, value: Mapping[str, Any]) -> Iterator[tuple[str, str, Any]]:
    """Yield each entry's place, key and value."""
    for ordinal, (name, item) in enumerate(value.items()):
        told = _told(name, ordinal)
        yield (f"{path}.{told}" if path else told), name, item


def _told(name: str, ordinal: int) -> str:
    return name if _PLAIN_NAME.fullmatch(name) else f"{{{ordinal}}}"
