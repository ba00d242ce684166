"""The grammar of gateway.yaml beside rules: which keys each section has, and how each is read."""

from __future__ import annotations

import re
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import TYPE_CHECKING, Any, Final

from app.config.attempts import read_limits
from app.config.reading import Reader, echo, missing_variables
from app.config.specs import DeploymentSpec, Named, SearchSpec
from app.config.yaml_tree import Scalar, Table
from app.domain import Capability, Label, Price

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from app.config.yaml_tree import Node

RESERVED: Final = {"auto": "callers write it to let the rules choose", "demo": "the built-in model has it"}

# Loopback and private networks, named one by one: `ipaddress.is_private` also takes 169.254/16 (cloud metadata), 198.18/15 and 0.0.0.0.
LOCAL_NETWORKS: Final[tuple[IPv4Network | IPv6Network, ...]] = tuple(
    ip_network(network) for network in ("127.0.0.0/8", "::1/128", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7")
)

# What a provider may need beside a key; the values of the second group are secrets.
_OPEN_PARAMS: Final = ("api_version", "aws_region_name")
_SECRET_PARAMS: Final = ("aws_access_key_id", "aws_secret_access_key", "aws_session_token")
_PARAMS: Final = _OPEN_PARAMS + _SECRET_PARAMS
_FOREIGN_VARIABLE: Final = re.compile(r"(?:\$|env:|os\.environ/)[A-Za-z_]\w*|%[A-Za-z_]\w*%")  # of shells, Windows, other tools and LiteLLM's proxy
_PER_MILLION: Final = 1_000_000
_DEFAULT_CLEARANCE: Final = Label.INTERNAL  # never confidential unless the file says so


def _price(reader: Reader, node: Node, what: str) -> Price | None:
    entries = reader.table(node, what, ("input", "output", "cached_input"))
    usd = {key: reader.number(value, f"{what}'s {key}") for key, (_, value) in entries.items()}
    for key in ("input", "output"):
        if key not in usd:
            reader.fault(node.line, f"{what} needs `{key}`, in US dollars per million tokens")
    if usd.get("input") is None or usd.get("output") is None:
        return None
    cached = usd.get("cached_input")
    return Price((usd["input"] or 0) / _PER_MILLION, (usd["output"] or 0) / _PER_MILLION, None if cached is None else cached / _PER_MILLION)


def _capabilities(reader: Reader, node: Node, what: str) -> frozenset[Any]:
    """Read what the model can; an empty list is a model that only writes text."""
    return frozenset(choice for choice in (reader.choice(item, what, Capability) for item in reader.sequence(node, what)) if choice is not None)


def _words(reader: Reader, node: Node, what: str) -> frozenset[Any]:
    return frozenset(reader.one_or_more(node, what, reader.name))


def _optional_text(reader: Reader, node: Node, what: str) -> str | None:
    """Read a text that may be written as empty, such as the key of a server that wants none."""
    return None if isinstance(node, Scalar) and not node.missing and not node.text.strip() else reader.text(node, what)


_DEPLOYMENT: Final[Mapping[str, Callable[[Reader, Node, str], Any]]] = {
    "model": Reader.text,
    "api_base": Reader.text,
    "api_key": _optional_text,
    "clearance": Reader.label,
    "num_ctx": Reader.integer,
    "context_window": Reader.integer,
    "max_output_tokens": Reader.integer,
    "price": _price,
    "capabilities": _capabilities,
    "allow_fields": _words,
    "slots": Reader.integer,
    "limits": read_limits,
    "first_token_s": Reader.number,
    "ca_file": Reader.text,
    **dict.fromkeys(_PARAMS, Reader.text),
}


def read_deployments(reader: Reader, node: Node | None, line: int) -> dict[str, DeploymentSpec]:
    """Return the deployments by name."""
    if node is None:
        reader.fault(line, "deployments is missing; write at least one, such as `gpt-4o-mini: {model: openai/gpt-4o-mini}`")
        return {}
    entries = reader.table(node, "deployments")
    if not entries:
        reader.fault(node.line, "deployments is empty; write at least one, such as `gpt-4o-mini: {model: openai/gpt-4o-mini}`")
    specs = {}
    for name, (at, value) in entries.items():
        if reader.is_name(name, at, "a deployment's name"):
            refuse_reserved(reader, name, at)
            spec = _read_deployment(reader.allowing_unset(), name, at, value)
            if spec is not None:
                specs[name] = spec
    return specs


def _read_deployment(reader: Reader, name: str, line: int, node: Node) -> DeploymentSpec | None:
    entries = reader.table(node, f"the deployment {name}", _DEPLOYMENT)
    if "model" not in entries:
        reader.fault(line, f"the deployment {name} needs `model`, as provider/model, such as openai/gpt-4o-mini")
        return None
    values = {key: _DEPLOYMENT[key](reader, value, key) for key, (_, value) in entries.items()}
    missing = missing_variables(node)
    provider, slash, model = (values.pop("model") or "").partition("/")
    if not (provider and slash and model) and "model" not in _keys_missing(entries):
        reader.fault(entries["model"][0], "model must be provider/model, such as openai/gpt-4o-mini")
        return None
    params = {key: values.pop(key) for key in _PARAMS if key in values}
    clearance = values.pop("clearance", None)
    return DeploymentSpec(
        name=name,
        line=line,
        provider=provider.lower(),
        model=model,
        clearance=_DEFAULT_CLEARANCE if clearance is None else clearance,
        params={key: value for key, value in params.items() if value is not None},
        allow_fields=values.pop("allow_fields", frozenset()),
        missing=missing,
        literal_secrets=_literal_secrets(reader, entries),
        variables={key: value.named for key, (_, value) in entries.items() if isinstance(value, Scalar) and value.named},
        lines={key: at for key, (at, _) in entries.items()},
        **values,
    )


def _keys_missing(entries: Mapping[str, tuple[int, Node]]) -> set[str]:
    return {key for key, (_, value) in entries.items() if missing_variables(value)}


def _literal_secrets(reader: Reader, entries: Mapping[str, tuple[int, Node]]) -> tuple[str, ...]:
    """Return the keys whose secret stands in the file itself. A variable in another tool's notation is refused, or it would go to the provider as a key."""
    literal = []
    for key in ("api_key", *_SECRET_PARAMS):
        at, node = entries.get(key, (0, None))
        if isinstance(node, Scalar) and node.text.strip() and not node.named:
            literal.append(key)
            if _FOREIGN_VARIABLE.fullmatch(node.text.strip()):
                reader.fault(at, f'{key} would be sent as it stands, for variables are named otherwise here; write "${{NAME}}", in quotes')
    return tuple(literal)


def refuse_reserved(reader: Reader, name: str, line: int) -> None:
    """Refuse a name that means something of its own."""
    if name in RESERVED:
        reader.fault(line, f'"{name}" cannot be a name, because {RESERVED[name]}; write another')


def read_networks(reader: Reader, node: Node | None, warnings: list[str]) -> tuple[IPv4Network | IPv6Network, ...]:
    """Return `local_networks`. An entry whose variable is unset is left out, with a warning: less counts as local."""
    if node is None:
        return LOCAL_NETWORKS
    networks = []
    for item in reader.sequence(node, "local_networks"):
        if not _left_out(reader, item, "local_networks", warnings):
            network = _network(reader, item, "an entry of local_networks")
            if network is not None:
                networks.append(network)
                if network.is_global or network.prefixlen == 0:
                    warnings.append(f"{reader.file}:{item.line}: local_networks holds {network}, public addresses: confidential requests may go there")
    return tuple(networks)


def _network(reader: Reader, node: Node, what: str) -> IPv4Network | IPv6Network | None:
    text = reader.text(node, what)
    if text is None:
        return None
    try:
        return ip_network(text)
    except ValueError as exc:
        hint = "; the bits after its prefix must be 0" if "host bits" in str(exc) else ""
        reader.fault(node.line, f"{what} must be a network such as 10.0.0.0/8{hint}")
        return None


def read_trusted(reader: Reader, node: Node | None, warnings: list[str]) -> dict[str, IPv4Network | IPv6Network | None]:
    """Return `trusted_hosts`: hosts that hold confidential requests, with the network that each must be in, or None for verified TLS."""
    trusted: dict[str, IPv4Network | IPv6Network | None] = {}
    for item in reader.sequence(node, "trusted_hosts") if node is not None else ():
        if _left_out(reader, item, "trusted_hosts", warnings):
            continue
        network = None
        host_node = item
        if isinstance(item, Table):
            entries = reader.table(item, "an entry of trusted_hosts", ("host", "network"))
            if "host" not in entries:
                reader.fault(item.line, "an entry of trusted_hosts needs `host`")
                continue
            host_node = entries["host"][1]
            network = _network(reader, entries["network"][1], "network") if "network" in entries else None
            if "network" in entries and network is None:
                continue
        host = reader.text(host_node, "an entry of trusted_hosts")
        if host is not None and ("/" in host or " " in host):
            reader.fault(item.line, f"an entry of trusted_hosts must be a host name without scheme or path{echo(host)}")
        elif host is not None:
            trusted[host.lower().strip("[]").removesuffix(".")] = network
    return trusted


def _left_out(reader: Reader, node: Node, what: str, warnings: list[str]) -> bool:
    missing = missing_variables(node)
    if missing:
        warnings.append(f"{reader.file}:{node.line}: {', '.join(missing)} is not set, so that this entry of {what} is left out")
    return bool(missing)


def read_search(reader: Reader, node: Node | None) -> SearchSpec:
    """Return the `search` section."""
    if node is None:
        return SearchSpec()
    entries = reader.table(node, "search", ("embedder", "clearance"))
    embedder = reader.name(entries["embedder"][1], "embedder") if "embedder" in entries else None
    clearance = reader.label(entries["clearance"][1], "clearance") if "clearance" in entries else None
    named = Named(embedder, entries["embedder"][0]) if embedder not in (None, "builtin") else None
    return SearchSpec(named, clearance, entries["clearance"][0] if "clearance" in entries else node.line)
