"""The plan: which deployments may be tried for a request, in which order, and why. A pure function of the routing table, the facts and the model asked for."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from app.domain import Attempt, Capability, Deployment, Excluded, Label, LaneName, OnConflict, Plan
from app.errors import ContextExceededError, InvalidRequestError, LabelNotClearedError, ModelNotFoundError, UnavailableError
from app.policy.confidential import check_fields, check_urls
from app.policy.rules import first_match

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from app.domain import Asked, Facts, RoutingTable, Snapshot

AUTO = "auto"
LOCAL = "local"
LONG = "long"

# The estimate of tokens is made to be high: only a prompt of twice the window is known not to fit. Providers refuse the rest, and that moves on to `long`.
_CERTAINLY_OVER = 2

_PARAM = {Capability.IMAGES: "messages", Capability.AUDIO: "messages", Capability.FILES: "messages"}
_PARAM |= {Capability.JSON_OBJECT: "response_format", Capability.JSON_SCHEMA: "response_format"}


def make_plan(table: RoutingTable, facts: Facts, asked: Asked, snapshot: Snapshot) -> Plan:
    """Return the ordered attempts for a request that asks for a model: `auto`, a pool or a deployment.

    Raises ModelNotFoundError, LabelNotClearedError, InvalidRequestError (a capability that nothing has), ContextExceededError, or UnavailableError when
    nothing that may serve the request is active.
    """
    del snapshot
    model = asked.model
    rule, pool, members = _select(table, facts, model)
    candidates = [Attempt(member, f"pool {pool}" if pool else "named by the caller") for member in members]
    if table.fallback is not None:
        candidates += [Attempt(member, f"fallback {table.fallback}") for member in table.pools[table.fallback]]
    attempts, excluded = _admit(candidates, facts)
    longer, _ = _admit([Attempt(member, f"pool {LONG}") for member in table.pools.get(LONG, ())], facts)
    overlong = any(_too_long(table.deployments[entry.deployment], facts) for entry in excluded)
    if not attempts and not (overlong and longer):
        raise _nothing_left(table, facts, model, excluded)
    return Plan(rule=rule, pool=pool, attempts=attempts or longer, excluded=excluded, if_context_exceeded=longer)


def decide(table: RoutingTable, facts: Facts, body: Mapping[str, Any], asked: Asked, snapshot: Snapshot) -> Plan:
    """Return the plan for a request. Raises what `make_plan` raises, and InvalidRequestError for what a confidential request may not carry."""
    plan = make_plan(table, facts, asked, snapshot)
    if facts.label >= Label.CONFIDENTIAL:
        check_urls(body)
        for attempt in plan.attempts + plan.if_context_exceeded:
            if attempt.deployment.lane is LaneName.RELAY:
                check_fields(body, attempt.deployment.allow_fields)
    return plan


def _select(table: RoutingTable, facts: Facts, model: str) -> tuple[str, str, tuple[Deployment, ...]]:
    if model == AUTO:
        return _by_rule(table, facts, model)
    if model in table.pools:
        named, pool = table.pools[model], model
    elif model in table.deployments:
        named, pool = (table.deployments[model],), ""
    else:
        return _by_alias(table, facts, model)
    if any(member.clearance >= facts.label for member in named) or not named:
        _refuse_lacking(named, facts, model)
        return "model", pool, named
    if table.on_conflict is OnConflict.REJECT:
        raise LabelNotClearedError(f"The model '{model}' is not cleared for a {facts.label} request: ask for `auto`.", param="model")
    if LOCAL in table.pools:
        return "not_cleared", LOCAL, table.pools[LOCAL]
    return _by_rule(table, facts, AUTO)


def _by_alias(table: RoutingTable, facts: Facts, model: str) -> tuple[str, str, tuple[Deployment, ...]]:
    """Return what a rule with a matching `model:` glob gives a name that is neither pool nor deployment."""
    named = [rule for rule in table.rules if rule.when.model is not None]
    if model in table.inactive or first_match(named, facts, model) is None:
        raise _not_found(table, model)
    return _by_rule(replace(table, rules=tuple(named)), facts, model)


def _by_rule(table: RoutingTable, facts: Facts, model: str) -> tuple[str, str, tuple[Deployment, ...]]:
    rule = first_match(table.rules, facts, model)
    if rule is None:
        raise UnavailableError("No rule of the configuration matches this request: its last rule should have no `when`.", code="no_rule")
    if rule.use in table.pools:
        return rule.name, rule.use, table.pools[rule.use]
    deployment = table.deployments.get(rule.use)
    return rule.name, "", (deployment,) if deployment is not None else ()


def _admit(candidates: Iterable[Attempt], facts: Facts) -> tuple[tuple[Attempt, ...], tuple[Excluded, ...]]:
    attempts: dict[str, Attempt] = {}
    excluded: dict[str, Excluded] = {}
    for attempt in candidates:
        name = attempt.deployment.name
        if name in attempts or name in excluded:
            continue
        reason = _unfit(attempt.deployment, facts)
        if reason is None:
            attempts[name] = attempt
        else:
            excluded[name] = Excluded(name, reason)
    return tuple(attempts.values()), tuple(excluded.values())


def _unfit(deployment: Deployment, facts: Facts) -> str | None:
    if deployment.clearance < facts.label:
        return f"cleared for {deployment.clearance}, the request is {facts.label}"
    lacking = facts.needs - deployment.capabilities
    if lacking:
        return f"has no {', '.join(sorted(lacking))}"
    if _too_long(deployment, facts):
        return f"about {facts.prompt_tokens} tokens do not fit its window of {deployment.context_window}"
    return None


def _too_long(deployment: Deployment, facts: Facts) -> bool:
    return deployment.context_window is not None and facts.prompt_tokens > _CERTAINLY_OVER * deployment.context_window


def _refuse_lacking(named: tuple[Deployment, ...], facts: Facts, model: str) -> None:
    """Refuse what a named model cannot do, rather than let a fallback answer in its place."""
    cleared = [member for member in named if member.clearance >= facts.label]
    if cleared and all(facts.needs - member.capabilities for member in cleared):
        raise _lacking(min(facts.needs - cleared[0].capabilities), f"The model '{model}' has no support for")


def _lacking(need: Capability, subject: str, why: str = "") -> InvalidRequestError:
    message = f"{subject} '{need}': leave it out, or ask for another model.{why}"
    return InvalidRequestError(message, param=_PARAM.get(need, str(need)), code="unsupported_parameter")


def _why(facts: Facts) -> str:
    """Return a sentence for a caller who does not expect the label that the request has."""
    if facts.label_reason != "unscannable":
        return ""
    return " Media and files cannot be scanned, so they make a request confidential, unless the operator's `scan: {allow: [...]}` names their kind."


def _not_found(table: RoutingTable, model: str) -> ModelNotFoundError:
    why = table.inactive.get(model)
    if why is not None:
        return ModelNotFoundError(f"The model '{model}' is configured but inactive: {why}. Ask for `auto`, or set it and restart.", param="model")
    return ModelNotFoundError(f"The model '{model}' does not exist: ask for `auto`, or a name that GET /v1/models lists.", param="model")


def _nothing_left(table: RoutingTable, facts: Facts, model: str, excluded: tuple[Excluded, ...]) -> InvalidRequestError | UnavailableError:
    """Say what stands in the way: nothing cleared is active, nothing has the capability, or the prompt fits nowhere."""
    names = [entry.deployment for entry in excluded]
    cleared = [table.deployments[name] for name in names if table.deployments[name].clearance >= facts.label]
    able = [deployment for deployment in cleared if facts.needs <= deployment.capabilities]
    if able:
        window = max(deployment.context_window or 0 for deployment in able)
        message = f"This model's maximum context length is {window} tokens. However, your messages resulted in about {facts.prompt_tokens} tokens."
        return ContextExceededError(f"{message} Please reduce the length of the messages.", param="messages")
    if cleared:
        need = min(facts.needs - cleared[0].capabilities)
        return _lacking(need, f"No deployment that may serve this {facts.label} request (model '{model}') supports", _why(facts))
    missing = "; ".join(f"{name}: {why}" for name, why in table.inactive.items())
    subject = f"No active deployment is cleared for a {facts.label} request" if facts.label > Label.PUBLIC else "No deployment is active for this request"
    hint = f" Inactive: {missing}." if missing else ""
    return UnavailableError(f"{subject}.{hint}{_why(facts)}", code="no_deployment", headers={"x-should-retry": "false"})
