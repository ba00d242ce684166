"""Joins gateway.yaml and the catalog into the routing table and the egress policy, and refuses what would break a promise."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from app.config.assembled import Assembled
from app.config.closure import closure_faults
from app.config.faults import ConfigError, Fault, alternatives
from app.config.gateway_file import read_gateway_file
from app.config.second_opinion import NAME as OPINION
from app.config.second_opinion import endpoint_of
from app.domain import Capability, Deployment, EgressPolicy, Label, LaneName
from app.domain_routing import Member, Pool, RoutingTable
from app.providers.build import Built, build

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from app.config.specs import GatewayFile, PoolSpec
    from app.domain import Address
    from app.providers.catalog import Catalog

__all__ = ["Assembled", "assemble", "load_configuration"]

DEMO: Final = Deployment(
    name="demo",
    provider="demo",
    model="demo",
    lane=LaneName.DEMO,
    clearance=Label.CONFIDENTIAL,
    capabilities=frozenset({Capability.STREAM, Capability.N, Capability.JSON_OBJECT}),
)


@dataclass(frozen=True, slots=True)
class _Chosen:
    """The deployments of a file by what they are for."""

    chat: Mapping[str, Deployment]
    embedder: Deployment | None


def load_configuration(path: Path, env: Mapping[str, str], catalog: Catalog) -> tuple[GatewayFile, Assembled]:
    """Read, check and assemble in one go, so that the faults of every step are told together. Raises ConfigError."""
    file, faults = read_gateway_file(path, env)
    if file is None:
        raise ConfigError(faults)
    assembled, more = _assemble(file, catalog)
    if faults or more:
        raise ConfigError([*faults, *more])
    return file, assembled


def assemble(file: GatewayFile, catalog: Catalog) -> Assembled:
    """Return what the gateway runs on. Raises ConfigError with everything that is wrong."""
    assembled, faults = _assemble(file, catalog)
    if faults:
        raise ConfigError(faults)
    return assembled


def _assemble(file: GatewayFile, catalog: Catalog) -> tuple[Assembled, list[Fault]]:
    built = [build(spec, file, catalog) for spec in file.deployments.values()]
    faults = [fault for each in built for fault in each.faults]
    faults += closure_faults(file) if file.is_whole else []
    faults += _embedding_faults(file, built)
    chosen = _choose(file, built)
    inactive = {each.spec.name: each.inactive for each in built if each.inactive}
    opinion, unable = endpoint_of(file, chosen.chat, inactive, {each.spec.name for each in built if each.embeds})
    faults += unable
    reached = [*chosen.chat.values(), *([chosen.embedder] if chosen.embedder else [])]
    clearances, doubled = _clearances(file, [*reached, *([opinion] if opinion else [])])
    authorities, differing = _authorities(file, reached)
    faults += differing
    warnings = [*file.warnings, *(warning for each in built for warning in each.warnings), *doubled, *_blind(file, chosen.chat.values())]
    bound = chosen.embedder.clearance if chosen.embedder else _embedder_clearance(file)
    assembled = Assembled(
        table=_table(file, chosen.chat, inactive),
        egress=EgressPolicy(clearances, file.local_networks, file.trusted_hosts, authorities),
        warnings=tuple(dict.fromkeys(warnings)),
        needs_litellm=any(deployment.lane is LaneName.TRANSLATE for deployment in chosen.chat.values()),
        embedder=chosen.embedder,
        search_clearance=bound if file.search.clearance is None else file.search.clearance,
        second_opinion=opinion,
    )
    return assembled, faults


def _choose(file: GatewayFile, built: Iterable[Built]) -> _Chosen:
    embedder = file.search.embedder.name if file.search.embedder else None
    pooled = {member.name for pool in file.pools.values() for member in pool.members}
    active = [each for each in built if each.deployment is not None and not each.inactive]
    chat = {each.spec.name: each.deployment for each in active if each.deployment and not each.embeds and (each.spec.name != embedder or embedder in pooled)}
    return _Chosen(chat, next((each.deployment for each in active if each.spec.name == embedder), None))


def _table(file: GatewayFile, active: Mapping[str, Deployment], inactive: Mapping[str, str]) -> RoutingTable:
    rules = tuple(spec.rule for spec in file.rules)
    fallback = file.fallback.name if file.fallback else None
    if active:
        pools = {name: _pool(spec, active) for name, spec in file.pools.items()}
        clearances = {name: file.deployments[name].clearance for name in inactive}
        return RoutingTable(active, inactive, pools, rules, fallback, file.on_conflict, file.attempts, clearances)
    rules = tuple(rule if rule.use in file.pools or rule.reject is not None else replace(rule, use=DEMO.name) for rule in rules)
    return RoutingTable(
        {DEMO.name: DEMO}, inactive, {name: Pool(name, (Member(DEMO),)) for name in file.pools}, rules, fallback, file.on_conflict, file.attempts
    )


def _pool(spec: PoolSpec, active: Mapping[str, Deployment]) -> Pool:
    members = [member for member in spec.members if member.name in active]
    return Pool(
        spec.name,
        tuple(Member(active[member.name], 1.0 if member.weight is None else member.weight, member.share, member.arm) for member in members),
        spec.choose,
        spec.sticky,
        spec.experiment,
        spec.hedge,
    )


def _clearances(file: GatewayFile, deployments: Iterable[Deployment]) -> tuple[dict[Address, Label], list[str]]:
    """Return each address with the highest clearance of its deployments, and a warning for each that has several."""
    by_address: dict[Address, dict[Label, str]] = {}
    for deployment in deployments:
        if deployment.address is not None:
            by_address.setdefault(deployment.address, {}).setdefault(deployment.clearance, deployment.name)
    warnings = []
    for address, labels in by_address.items():
        if len(labels) > 1:
            named = alternatives([f"{name} ({label})" for label, name in sorted(labels.items())], quote=False, last="and")
            opinion = file.scan.second_opinion
            line = opinion.reader.line if opinion is not None and labels[max(labels)] == OPINION else file.deployments[labels[max(labels)]].line
            warnings.append(f"{file.path}:{line}: {named} share {address}, which counts as cleared for {max(labels)}")
    return {address: max(labels) for address, labels in by_address.items()}, warnings


def _authorities(file: GatewayFile, deployments: Iterable[Deployment]) -> tuple[dict[Address, str], list[Fault]]:
    """Return the file of authorities of each address that has its own, and a fault for each deployment that has another than one before it at its address."""
    first: dict[Address, Deployment] = {}
    faults = []
    for deployment in deployments:
        if deployment.address is not None and first.setdefault(deployment.address, deployment).ca_file != deployment.ca_file:
            sentence = f"{first[deployment.address].name} has the same address and another ca_file, or none; write the same for both"
            faults.append(file.fault(file.deployments[deployment.name].line_of("ca_file"), f"{deployment.name}: {sentence}"))
    return {address: deployment.ca_file for address, deployment in first.items() if deployment.ca_file is not None}, faults


def _embedder_clearance(file: GatewayFile) -> Label:
    """Return what bounds the collection while the embedder is not active: its clearance in the file, or none for the built-in one."""
    named = file.search.embedder
    return file.deployments[named.name].clearance if named is not None and named.name in file.deployments else Label.CONFIDENTIAL


def _embedding_faults(file: GatewayFile, built: Sequence[Built]) -> Iterable[Fault]:
    embeds = {each.spec.name for each in built if each.embeds}
    for pool in file.pools.values():
        for member in pool.members:
            if member.name in embeds:
                yield file.fault(member.line, f"{member.name} is an embedding model and cannot answer chats; leave it out of the pool {pool.name}")
    for spec in file.rules:
        if spec.rule.use in embeds:
            yield file.fault(spec.use_line, f"{spec.rule.use} is an embedding model and cannot answer chats; name another in use")
    embedder = file.search.embedder
    if embedder is not None and any(each.spec.name == embedder.name and each.lane is LaneName.TRANSLATE for each in built):
        yield file.fault(embedder.line, "an embedder must speak OpenAI's dialect; write it as openai/MODEL with its api_base (Ollama's ends in /v1)")
    bound = _embedder_clearance(file)
    if file.search.clearance is not None and file.search.clearance > bound:
        yield file.fault(file.search.line, f"the embedder is cleared for {bound} alone; write `clearance: {bound}`, or another embedder")


def _blind(file: GatewayFile, active: Iterable[Deployment]) -> list[str]:
    """Warn where nothing is cleared for confidential, or where images, which nobody can scan, are confidential and no cleared deployment can see them."""
    active = list(active)
    cleared = [deployment for deployment in active if deployment.clearance is Label.CONFIDENTIAL]
    if active and not cleared:
        return ["no active deployment is cleared for confidential: requests that hold personal data, credentials or images are refused with 503"]
    if not cleared or "image" in file.scan.allow or any(Capability.IMAGES in deployment.capabilities for deployment in cleared):
        return []
    return ["no active deployment that is cleared for confidential can see images: requests with images are refused (`scan: {allow: [image]}` lets them out)"]
