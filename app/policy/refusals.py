"""What a caller is told where no deployment may serve a request: what stands in the way, and what to do about it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from app.domain import Capability, Label, LaneName
from app.errors import ContextExceededError, GatewayError, InvalidRequestError, ModelNotFoundError, RejectedError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from app.domain import Deployment, Facts
    from app.domain_routing import RoutingTable, Rule

_PARAM = {Capability.IMAGES: "messages", Capability.AUDIO: "messages", Capability.FILES: "messages"}
_PARAM |= {Capability.JSON_OBJECT: "response_format", Capability.JSON_SCHEMA: "response_format"}

_UNSUPPORTED = "unsupported_parameter"

_DEMO_ALONE = " Only the built-in demo model is active: set OPENAI_API_KEY, ANTHROPIC_API_KEY or OLLAMA_BASE_URL in .env and restart."

# An estimate of tokens leans upwards: half of it is a bound from below. Exact counts need none.
_ESTIMATE_OVER = 2


def is_too_long(deployment: Deployment, facts: Facts) -> bool:
    """Say whether the prompt and the answer that the caller asked for surely do not fit the deployment's window. What is counted is counted last."""
    if deployment.context_window is None:
        return False
    room = deployment.context_window - (facts.max_output_tokens or 0)
    if facts.tokens_at_most <= room:
        return False
    tokens, exact = facts.tokens_for(deployment)
    return tokens > room if exact else tokens > _ESTIMATE_OVER * room


def tell_length(deployment: Deployment, facts: Facts) -> str:
    """Return why a request does not fit a deployment."""
    tokens, exact = facts.tokens_for(deployment)
    answer = f" and {facts.max_output_tokens} of answer" if facts.max_output_tokens else ""
    return f"{'' if exact else 'about '}{tokens} tokens{answer} do not fit its window of {deployment.context_window}"


def refuse_rule(rule: Rule) -> RejectedError:
    """Return what a rule that rejects answers: the operator's own sentence."""
    return RejectedError(str(rule.reject), rule=rule.name)


def refuse_lacking(named: Sequence[Deployment], facts: Facts, model: str) -> InvalidRequestError | None:
    """Return the refusal of what a named model cannot do, which no fallback should hide, or None where it can."""
    cleared = [deployment for deployment in named if deployment.clearance >= facts.label]
    if cleared and all(facts.needs - deployment.capabilities for deployment in cleared):
        return _lacking(min(facts.needs - cleared[0].capabilities), f"The model '{model}' has no support for")
    return None


def not_found(table: RoutingTable, facts: Facts, model: str) -> ModelNotFoundError:
    """Return the error for a name that nothing has. It is not repeated where the request is confidential: it may be why."""
    why = table.inactive.get(model)
    if why is not None:
        return ModelNotFoundError(f"The model '{model}' is configured but inactive: {why}. Ask for `auto`, or set it and restart.", param="model")
    bare = model.rpartition("/")[2]  # LiteLLM and OpenRouter write the provider before it
    near = bare if bare in table.deployments or bare in table.pools else "auto"
    return ModelNotFoundError(f"The model {_asked(facts, model)} does not exist: ask for `{near}`, or a name that GET /v1/models lists.", param="model")


def nothing_left(table: RoutingTable, facts: Facts, model: str, tried: Iterable[Deployment], require: frozenset[Capability]) -> GatewayError:
    """Return the error that says what stands in the way: nothing cleared is active, nothing has the capability, or the prompt fits nowhere."""
    cleared = [deployment for deployment in tried if deployment.clearance >= facts.label]
    able = [deployment for deployment in cleared if facts.needs | require <= deployment.capabilities]
    if able:
        return _context_exceeded(max(able, key=lambda deployment: deployment.context_window or 0), facts)
    if cleared:
        lacking = facts.needs - cleared[0].capabilities
        if not lacking:
            words = ", ".join(sorted(require))
            message = f"No active deployment that may serve this {facts.label} request has what its rule requires ({words})."
            return UnavailableError(message, code="no_deployment", headers={"x-should-retry": "false"})
        named = f" (model '{model}')" if facts.label < Label.CONFIDENTIAL else ""
        why = _DEMO_ALONE if cleared[0].lane is LaneName.DEMO else _why(facts)
        return _lacking(min(lacking), f"No deployment that may serve this {facts.label} request{named} supports", why)
    missing = "; ".join(f"{name}: {why}" for name, why in table.inactive.items() if table.inactive_clearances.get(name, facts.label) >= facts.label)
    because = facts.label_reason + (f": {', '.join(facts.kinds)}" if facts.findings else "")
    subject = f"No active deployment is cleared for a {facts.label} request ({because})"
    subject = subject if facts.label > Label.PUBLIC else "No deployment is active for this request"
    hint = f" Inactive: {missing}." if missing else ""
    return UnavailableError(f"{subject}.{hint}{_why(facts)}", code="no_deployment", headers={"x-should-retry": "false"})


def blame_modalities(error: InvalidRequestError, body: Mapping[str, Any]) -> None:
    """Name the field that asks for a spoken answer, where a refusal of audio names the messages: a plan knows the need alone."""
    if error.code == _UNSUPPORTED and error.param == "messages" and f"'{Capability.AUDIO}'" in error.message and "audio" in (body.get("modalities") or ()):
        error.param = "modalities"


def _asked(facts: Facts, model: str) -> str:
    return f"'{model}'" if facts.label < Label.CONFIDENTIAL else "that was asked for"


def _context_exceeded(deployment: Deployment, facts: Facts) -> ContextExceededError:
    """Return OpenAI's own sentence, for the largest window that the request could have."""
    tokens, exact = facts.tokens_for(deployment)
    about = "" if exact else "about "
    limit = f"This model's maximum context length is {deployment.context_window} tokens."
    if facts.max_output_tokens:
        wanted = tokens + facts.max_output_tokens
        asked = f"However, you requested {about}{wanted} tokens ({tokens} in the messages, {facts.max_output_tokens} in the completion)."
        message = f"{limit} {asked} Please reduce the length of the messages or completion."
    else:
        message = f"{limit} However, your messages resulted in {about}{tokens} tokens. Please reduce the length of the messages."
    return ContextExceededError(message, param="messages")


def _lacking(need: Capability, subject: str, why: str = "") -> InvalidRequestError:
    message = f"{subject} '{need}': leave it out, or ask for another model.{why}"
    return InvalidRequestError(message, param=_PARAM.get(need, str(need)), code=_UNSUPPORTED)


def _why(facts: Facts) -> str:
    """Return a sentence for a caller who does not expect the label that the request has."""
    if facts.label_reason != "unscannable":
        return ""
    return " Media and files cannot be scanned, so they make a request confidential, unless the operator's `scan: {allow: [...]}` names their kind."
