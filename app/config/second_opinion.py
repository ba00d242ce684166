"""The grammar of `scan: {second_opinion: ...}`: who reads once more what the scanner found nothing confidential in, and what its findings mean."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from app.config.addresses import confidential_fault, parse_base_url
from app.config.faults import suggestion
from app.config.reading import Reader, echo
from app.config.specs import Named, OpinionSpec
from app.domain import Deployment, Label, LaneName, Tier

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping

    from app.config.faults import Fault
    from app.config.specs import GatewayFile, ScanSpec
    from app.config.yaml_tree import Node

NAME: Final = "second_opinion"
"""What the endpoint is called where a deployment's name would stand."""

_KEYS: Final = ("deployment", "url", "labels", "kinds", "timeout_s", "max_chars", "concurrency")
_KEYS_OF_URL: Final = ("min_score", "language")
_ENTITY: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,39}")
_LANGUAGE: Final = re.compile(r"[a-z]{2,3}(?:-[A-Za-z0-9]{2,8})?")
_IGNORE: Final = "ignore"

# Presidio's entities (its page "Supported entities"). Dates and addresses of pages stand in most texts; places, groups and companies in very many.
ENTITIES: Final[Mapping[str, Tier | None]] = {
    "DATE_TIME": None,
    "URL": None,
    "LOCATION": Tier.WEAK,
    "NRP": Tier.WEAK,
    "ORGANIZATION": Tier.WEAK,
    **dict.fromkeys(("PERSON", "EMAIL_ADDRESS", "PHONE_NUMBER", "CREDIT_CARD", "IBAN_CODE", "IP_ADDRESS", "CRYPTO", "MEDICAL_LICENSE"), Tier.LIKELY),
    **dict.fromkeys(("US_SSN", "US_PASSPORT", "US_DRIVER_LICENSE", "US_BANK_NUMBER", "US_ITIN", "UK_NHS"), Tier.LIKELY),
}
# What a chat model is asked for; each name is all that it is told of the kind.
ASKED_FOR: Final[Mapping[str, Tier | None]] = dict.fromkeys(
    ("PERSON", "POSTAL_ADDRESS", "CONTACT", "IDENTITY_NUMBER", "BIRTH_DATE", "ACCOUNT", "HEALTH", "CREDENTIAL"), Tier.LIKELY
)


def read_second_opinion(reader: Reader, node: Node) -> OpinionSpec | None:
    """Return the section; None where it cannot be read, which the faults then say."""
    entries = reader.table(node, NAME, (*_KEYS, *_KEYS_OF_URL))
    before = len(reader.faults)
    if ("deployment" in entries) == ("url" in entries):
        sentence = "needs either `deployment`, a chat model cleared for confidential, or `url`, such as http://127.0.0.1:5002/analyze"
        reader.fault(node.line, f"{NAME} {sentence}")
        return None
    by_url = "url" in entries
    who = "url" if by_url else "deployment"
    for key in () if by_url else _KEYS_OF_URL:
        if key in entries:
            reader.fault(entries[key][0], f"{key} is for `url`: a chat model gives no scores and reads every language alike; leave it out")
    values = {key: _READERS[key](reader, value, key) for key, (_, value) in entries.items()}
    spec = OpinionSpec(
        reader=Named(values[who] or "", entries[who][0]),
        by_url=by_url,
        kinds=ENTITIES if by_url else ASKED_FOR,
        timeout_s=5.0 if by_url else 30.0,
        max_chars=100_000 if by_url else 16_000,
    )
    if by_url:
        values["kinds"] = {**ENTITIES, **(values.get("kinds") or {})}
    given = {key: values[key] for key in (*_KEYS[2:], *_KEYS_OF_URL) if values.get(key) is not None}
    if len(reader.faults) > before:
        return None
    spec = replace(spec, **given)
    if not any(spec.kinds.values()):
        reader.fault(entries["kinds"][0], "kinds leaves nothing to be found; give at least one a tier: hard, likely or weak")
    return spec


def opinion_faults(file: GatewayFile) -> Iterator[Fault]:
    """Say what is wrong with the section by the file alone: a name that is not there, one that is not cleared, an address that cannot be."""
    spec = file.scan.second_opinion
    if spec is None:
        return
    name, line = spec.reader.name, spec.reader.line
    if spec.by_url:
        fault = _address_fault(name, file)
        if fault is not None:
            yield file.fault(line, f"{NAME}: url {fault}")
    elif name not in file.deployments:
        yield file.fault(line, f'{NAME} names an unknown deployment "{name}"{suggestion(name, file.deployments)}')
    elif (clearance := file.deployments[name].clearance) < Label.CONFIDENTIAL:
        sentence = f"{name} is cleared for {clearance} alone, and whatever it is to read may be confidential"
        yield file.fault(line, f"{NAME}: {sentence}; name a deployment with `clearance: confidential`")


def endpoint_of(
    file: GatewayFile, chat: Mapping[str, Deployment], inactive: Mapping[str, str], embeds: Collection[str]
) -> tuple[Deployment | None, list[Fault]]:
    """Return what is asked: a deployment of `chat`, or one that stands for the server at `url`; or why there is none."""
    spec = file.scan.second_opinion
    if spec is None or any(opinion_faults(file)):
        return None, []
    if spec.by_url:
        base = parse_base_url(spec.reader.name)
        return Deployment(NAME, "presidio", "analyze", LaneName.RELAY, Label.CONFIDENTIAL, base.text, base.address), []
    name = spec.reader.name
    if name in chat:
        return chat[name], []
    if name in embeds:
        why = "is an embedding model and answers no chats; name another"
    elif name in inactive:
        why = f"is inactive: {inactive[name]}; a second opinion that nobody can give makes every request confidential, so leave the section out, or set it"
    else:
        return None, []  # a fault of the deployment says what is wrong
    return None, [file.fault(spec.reader.line, f"{NAME}: {name} {why}")]


def opinion_rows(scan: ScanSpec, endpoint: Deployment | None) -> list[tuple[str, str]]:
    """Return what `check` says of the section."""
    spec = scan.second_opinion
    if spec is None or endpoint is None:
        return []
    who = endpoint.base_url if spec.by_url else f"{endpoint.name} at {endpoint.address}"
    labels = " and ".join(str(label) for label in sorted(spec.labels))
    bounds = f"{spec.max_chars:,} characters, {spec.timeout_s:g} s, {spec.concurrency} at a time"
    kinds = ", ".join(f"{kind.lower()}: {tier or _IGNORE}" for kind, tier in spec.kinds.items())
    return [("second opinion", f"{who} reads what is {labels}; {bounds}; confidential where it cannot"), ("  kinds", kinds)]


def reader_of(scan: ScanSpec, label: Label) -> list[str]:
    """Return the server at `url` as something that requests of this label reach; a deployment that reads is in the closure under its name."""
    spec = scan.second_opinion
    return [f"{NAME} ({spec.reader.name})"] if spec is not None and spec.by_url and label in spec.labels else []


def _address_fault(url: str, file: GatewayFile) -> str | None:
    try:
        base = parse_base_url(url)
    except ValueError as exc:
        return str(exc)
    fault = confidential_fault(base.address, file.local_networks, file.trusted_hosts)
    return None if fault is None else fault.replace("or lower the clearance", "or leave the section out")


def _kinds(reader: Reader, node: Node, what: str) -> dict[str, Tier | None]:
    found: dict[str, Tier | None] = {}
    for key, (line, value) in reader.table(node, what).items():
        text = reader.text(value, f"the tier of {key}") if _ENTITY.fullmatch(key) else None
        if not _ENTITY.fullmatch(key):
            reader.fault(line, f"a key of kinds must be an entity such as PERSON: A-Z, a-z, 0-9 and _, 40 at most, a letter first{echo(key)}")
        elif text is not None and text.lower() == _IGNORE:
            found[key.upper()] = None
        elif text is not None:
            tier = reader.choice(value, f"the tier of {key} (or {_IGNORE})", Tier)
            if tier is not None:
                found[key.upper()] = tier
    return found


def _labels(reader: Reader, node: Node, what: str) -> frozenset[Label]:
    labels = frozenset(reader.one_or_more(node, what, reader.label))
    if Label.CONFIDENTIAL in labels:
        reader.fault(node.line, f"{what} names confidential, above which there is nothing; write public, internal or both")
    return labels


def _positive(reader: Reader, node: Node, what: str) -> float | None:
    value = reader.number(node, what)
    if value == 0:
        reader.fault(node.line, f"{what} must be more than 0")
    return value


def _share(reader: Reader, node: Node, what: str) -> float | None:
    value = reader.number(node, what)
    if value is not None and value > 1:
        reader.fault(node.line, f"{what} must be between 0 and 1")
    return value


def _language(reader: Reader, node: Node, what: str) -> str | None:
    text = reader.text(node, what)
    if text is not None and not _LANGUAGE.fullmatch(text):
        reader.fault(node.line, f"{what} must be a language as the server names it, such as en")
    return text


_READERS: Final[Mapping[str, Callable[[Reader, Node, str], Any]]] = {
    "deployment": Reader.name,
    "url": Reader.text,
    "labels": _labels,
    "kinds": _kinds,
    "timeout_s": _positive,
    "max_chars": Reader.integer,
    "concurrency": Reader.integer,
    "min_score": _share,
    "language": _language,
}
