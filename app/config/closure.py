"""Which deployments each label can reach by the configuration's own paths, as if no plan looked at clearances.

The planner drops whatever is not cleared, and egress refuses it; this is the third, independent hold: a configuration in which they would have to is not
started. Two paths are by their definition open to cleared deployments alone, and counted so: a model that the caller names (what is not cleared becomes
what `on_conflict` makes of it), and the move to the pool `long`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.config.faults import alternatives
from app.config.reach import reach
from app.config.rules import describe
from app.domain import Label, OnConflict
from app.domain_routing import LOCAL, LONG

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from app.config.faults import Fault
    from app.config.specs import DeploymentSpec, GatewayFile


@dataclass(frozen=True, slots=True)
class Route:
    """One way for a label to a deployment. `line` is where the file makes it so, `remedy` what to write instead, where that is no rule."""

    label: Label
    deployment: str
    words: str
    line: int
    remedy: str = ""


def closure(file: GatewayFile) -> Mapping[Label, tuple[Route, ...]]:
    """Return every path of every label, in the order in which a request would take them."""
    found: dict[Label, list[Route]] = {label: [] for label in Label}
    for path in (*_by_rules(file), *_by_fallback(file), *_by_name(file), *_by_conflict(file), *_by_length(file), *_by_second_opinion(file)):
        found[path.label].append(path)
    return {label: tuple(paths) for label, paths in found.items()}


def reachable(file: GatewayFile) -> Mapping[Label, frozenset[str]]:
    """Return the deployments that each label can reach."""
    return {label: frozenset(path.deployment for path in paths) for label, paths in closure(file).items()}


def closure_faults(file: GatewayFile) -> list[Fault]:
    """Return a fault for every place of the file that leads a label to deployments that are not cleared for it: the highest such label of each place."""
    worst: dict[tuple[int, str], list[Route]] = {}
    for label, routes in closure(file).items():  # in rising order, so that the highest label stays
        low = [route for route in routes if file.deployments[route.deployment].clearance < label]
        for place in dict.fromkeys((route.line, route.words) for route in low):
            worst[place] = [route for route in low if (route.line, route.words) == place]
    return [file.fault(line, _sentence(file, routes)) for (line, _), routes in worst.items()]


def _sentence(file: GatewayFile, routes: list[Route]) -> str:
    first = routes[0]
    specs = [file.deployments[route.deployment] for route in routes]
    clearances = alternatives([f"{spec.name} (cleared for {spec.clearance})" for spec in specs], quote=False, last="and")
    remedy = first.remedy or _remedy(file, first.label)
    article = "an" if first.label is Label.INTERNAL else "a"
    return f"{article} {first.label} request can reach {clearances} by {first.words}; {remedy}"


def _remedy(file: GatewayFile, label: Label) -> str:
    """Return the rule to write so that requests of `label` go to what is cleared for them."""
    labels = [str(each) for each in Label if each >= label]
    words = labels[0] if len(labels) == 1 else f"[{', '.join(labels)}]"
    target = _cleared_target(file, label)
    if target is not None:
        return f"write `- {{when: {{label: {words}}}, use: {target}}}` before it"
    return (
        f"no pool or deployment is cleared for {label}: add a local one to deployments, such as "
        f'`llama: {{model: ollama_chat/llama3.1, api_base: "${{OLLAMA_BASE_URL}}", clearance: {label}}}`, '
        f"and `- {{when: {{label: {words}}}, use: llama}}` as the first rule"
    )


def _cleared_target(file: GatewayFile, label: Label) -> str | None:
    pools = [LOCAL] if LOCAL in file.pools else []
    for name in (*pools, *file.pools, *file.deployments):
        members = _members(file, name)
        if members and all(spec.clearance >= label for spec in members):
            return name
    return None


def _members(file: GatewayFile, name: str) -> tuple[DeploymentSpec, ...]:
    if name in file.pools:
        return tuple(file.deployments[member.name] for member in file.pools[name].members if member.name in file.deployments)
    return (file.deployments[name],) if name in file.deployments else ()


def _by_rules(file: GatewayFile) -> Iterator[Route]:
    for spec, reached in zip(file.rules, reach([spec.rule for spec in file.rules], file.scan.default)[0], strict=True):
        when, use = describe(spec.rule.when), spec.rule.use
        for label in sorted(reached.labels):
            for member in _members(file, use):
                yield Route(label, member.name, f"the rule {spec.rule.name} ({when}) and {_kind(file, use)}", spec.line)


def _by_fallback(file: GatewayFile) -> Iterator[Route]:
    if file.fallback is None:
        return
    for label in Label:
        for member in _members(file, file.fallback.name):
            remedy = f"let fallback name a pool whose deployments are all cleared for {label}, or leave it out"
            yield Route(label, member.name, f"the fallback to {_kind(file, file.fallback.name)}", file.fallback.line, remedy)


def _by_name(file: GatewayFile) -> Iterator[Route]:
    for label in Label:
        for spec in file.deployments.values():
            if spec.clearance >= label:
                yield Route(label, spec.name, "naming it", spec.line)


def _by_conflict(file: GatewayFile) -> Iterator[Route]:
    """Follow a named model that is not cleared to the pool `local`, which answers in its place; where there is none, the rules do."""
    if file.on_conflict is not OnConflict.REROUTE or LOCAL not in file.pools:
        return
    for label in Label:
        if any(spec.clearance < label for spec in file.deployments.values()):
            remedy = f"leave what is not cleared for {label} out of it, or write `on_conflict: reject`"
            for member in _members(file, LOCAL):
                yield Route(label, member.name, f"naming a model that is not cleared, which {_kind(file, LOCAL)} answers", file.pools[LOCAL].line, remedy)


def _by_length(file: GatewayFile) -> Iterator[Route]:
    for label in Label:
        for member in _members(file, LONG) if LONG in file.pools else ():
            if member.clearance >= label:
                yield Route(label, member.name, f"being too long, which moves it to {_kind(file, LONG)}", file.pools[LONG].line)


def _by_second_opinion(file: GatewayFile) -> Iterator[Route]:
    """Follow what is read a second time. Who reads is cleared for confidential, or refused by the section's own faults."""
    spec = file.scan.second_opinion
    named = None if spec is None or spec.by_url else file.deployments.get(spec.reader.name)
    if spec is not None and named is not None and named.clearance is Label.CONFIDENTIAL:
        for label in sorted(spec.labels):
            yield Route(label, named.name, "the second opinion", spec.reader.line)


def _kind(file: GatewayFile, name: str) -> str:
    return f"the pool {name}" if name in file.pools else f"the deployment {name}"
