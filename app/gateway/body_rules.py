"""What OpenAI's published description of `POST /v1/chat/completions` asks of each field; a field that is not named here passes unread.

Messages and codes follow those of OpenAI's own server, because people and tools match on them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from app.errors import InvalidRequestError as Invalid

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Check = Callable[[Any, str], None]

ROLES = frozenset({"system", "developer", "user", "assistant", "tool", "function"})

# Names by which a caller of LiteLLM or of another gateway would choose the address, the key or the answer.
STEERING = frozenset(
    """api_base base_url api_key api_version api_type organization extra_body extra_headers extra_query default_headers custom_llm_provider
    fallbacks context_window_fallbacks content_policy_fallbacks model_list user_config mock_response mock_tool_calls mock_timeout mock_testing_fallbacks
    litellm_params litellm_call_id litellm_metadata proxy_server_request deployment_id azure_ad_token azure_ad_token_provider vertex_project
    vertex_location vertex_credentials aws_access_key_id aws_secret_access_key aws_session_token aws_region_name aws_session_name aws_profile_name
    aws_role_name aws_web_identity_token aws_sts_endpoint aws_bedrock_runtime_endpoint num_retries max_retries force_timeout use_litellm_proxy
    callbacks success_callback failure_callback guardrails configurable_clientside_auth_params default_litellm_params litellm_credential_name
    litellm_disabled_callbacks litellm_logging_obj litellm_request_debug litellm_session_id litellm_system_prompt litellm_trace_id
    litellm_trusted_callback_vars model_alias_map model_config custom_prompt_dict context_window_fallback_dict max_fallbacks silent_model
    specific_deployment routing_strategy retry_policy retry_strategy mock_delay headers provider_specific_header shared_session ssl_verify logger_fn
    secret_fields region_name azure_username azure_password azure_scope client_id client_secret tenant_id aws_external_id aws_session_tags
    s3_endpoint_url s3_bucket_name s3_access_key_id s3_secret_access_key langfuse_host langfuse_public_key langfuse_secret langfuse_secret_key
    langsmith_api_key langsmith_base_url langsmith_project langsmith_tenant_id arize_api_key arize_space_id arize_space_key dd_agent_host dd_agent_port
    dd_api_key dd_site gcs_bucket_name gcs_path_service_account humanloop_api_key lunary_public_key newrelic_api_key newrelic_region posthog_api_key
    posthog_api_url signoz_ingestion_endpoint signoz_ingestion_key wandb_api_key weave_project_id""".split(),  # noqa: SIM905 -- a paragraph reads better
)


def _named(value: Any) -> str:
    names = {dict: "an object", list: "an array", str: "a string", bool: "a boolean", int: "an integer", float: "a decimal", type(None): "null"}
    return names[type(value)]


def _wrong_type(param: str, expected: str, value: Any) -> Invalid:
    return Invalid(f"Invalid type for '{param}': expected {expected}, but got {_named(value)} instead.", param=param, code="invalid_type")


def _of(kind: type, expected: str) -> Check:
    def check(value: Any, param: str) -> None:
        if type(value) is not kind:
            raise _wrong_type(param, expected, value)

    return check


def _missing(param: str) -> Invalid:
    return Invalid(f"Missing required parameter: '{param}'.", param=param, code="missing_required_parameter")


def _needed(holder: Mapping[str, Any], name: str, check: Check, place: str) -> None:
    """Check a field that must be there; one that is not there is not spoken of as null."""
    if name not in holder:
        raise _missing(f"{place}.{name}")
    check(holder[name], f"{place}.{name}")


def _number(low: float | None, high: float | None, *, whole: bool) -> Check:
    word = "integer" if whole else "decimal"

    def check(value: Any, param: str) -> None:
        if type(value) is not int and (whole or type(value) is not float):
            raise _wrong_type(param, f"{'an' if whole else 'a'} {word}", value)
        if low is not None and value < low:
            message = f"Invalid '{param}': {word} below minimum value. Expected a value >= {low}."
            raise Invalid(message, param=param, code=f"{word}_below_min_value")
        if high is not None and value > high:
            message = f"Invalid '{param}': {word} above maximum value. Expected a value <= {high}."
            raise Invalid(message, param=param, code=f"{word}_above_max_value")

    return check


def _one_of(*allowed: str) -> Check:
    def check(value: Any, param: str) -> None:
        _string(value, param)
        if value not in allowed:
            listed = ", ".join(f"'{name}'" for name in allowed)
            raise Invalid(f"Invalid value for '{param}'. Supported values are: {listed}.", param=param, code="invalid_value")

    return check


_string = _of(str, "a string")
_boolean = _of(bool, "a boolean")
_object = _of(dict, "an object")
_array = _of(list, "an array of objects")


def _objects(value: Any, param: str) -> None:
    _array(value, param)
    for index, item in enumerate(value):
        _object(item, f"{param}[{index}]")


def _model(value: Any, param: str) -> None:
    _string(value, param)
    if not value.strip():
        raise Invalid("you must provide a model parameter: `auto`, or a name that GET /v1/models lists.", param=param, code="missing_required_parameter")


def _stop(value: Any, param: str) -> None:
    texts = value if type(value) is list else [value]
    if not all(type(text) is str for text in texts):
        raise _wrong_type(param, "a string or an array of strings", value)
    if len(texts) > 4:
        raise Invalid(f"Invalid '{param}': array too long. Expected at most 4 items, but got {len(texts)} instead.", param=param, code="array_above_max_length")


def _tools(value: Any, param: str) -> None:
    _objects(value, param)
    if not value:
        raise Invalid(f"Invalid '{param}': empty array. Expected at least 1 item, or leave the field out.", param=param, code="empty_array")
    for index, tool in enumerate(value):
        place = f"{param}[{index}]"
        if type(tool.get("type")) is not str:
            raise _missing(f"{place}.type")
        if tool["type"] == "function":
            _needed(tool, "function", _function, place)


def _function(value: Any, param: str) -> None:
    _object(value, param)
    if type(value.get("name")) is not str or not value["name"]:
        raise _missing(f"{param}.name")
    if value.get("parameters") is not None:
        _object(value["parameters"], f"{param}.parameters")


def _tool_choice(value: Any, param: str) -> None:
    if type(value) is str:
        _one_of("none", "auto", "required")(value, param)
    elif type(value) is not dict:
        raise _wrong_type(param, "a string or an object", value)


def _response_format(value: Any, param: str) -> None:
    _object(value, param)
    _needed(value, "type", _one_of("text", "json_object", "json_schema"), param)
    if value["type"] == "json_schema":
        _needed(value, "json_schema", _object, param)
        _needed(value["json_schema"], "name", _string, f"{param}.json_schema")
        if value["json_schema"].get("schema") is not None:
            _object(value["json_schema"]["schema"], f"{param}.json_schema.schema")


def _stream_options(value: Any, param: str) -> None:
    _object(value, param)
    if value.get("include_usage") is not None:
        _boolean(value["include_usage"], f"{param}.include_usage")


def _metadata(value: Any, param: str) -> None:
    _object(value, param)
    for name, item in value.items():
        if type(item) is not str:
            raise _wrong_type(f"{param}.sensitivity" if name == "sensitivity" else param, "string values", item)


def _logit_bias(value: Any, param: str) -> None:
    _object(value, param)
    for item in value.values():
        _number(-100, 100, whole=False)(item, param)


FIELDS: Mapping[str, Check] = {
    "model": _model,
    "messages": _array,
    "audio": _object,
    "frequency_penalty": _number(-2, 2, whole=False),
    "function_call": _tool_choice,
    "functions": _objects,
    "logit_bias": _logit_bias,
    "logprobs": _boolean,
    "max_completion_tokens": _number(1, None, whole=True),
    "max_tokens": _number(1, None, whole=True),
    "metadata": _metadata,
    "modalities": _of(list, "an array of strings"),
    "n": _number(1, 128, whole=True),
    "parallel_tool_calls": _boolean,
    "prediction": _object,
    "presence_penalty": _number(-2, 2, whole=False),
    "reasoning_effort": _string,
    "response_format": _response_format,
    "safety_identifier": _string,
    "seed": _number(None, None, whole=True),
    "service_tier": _string,
    "stop": _stop,
    "store": _boolean,
    "stream": _boolean,
    "stream_options": _stream_options,
    "temperature": _number(0, 2, whole=False),
    "tool_choice": _tool_choice,
    "tools": _tools,
    "top_logprobs": _number(0, 20, whole=True),
    "top_p": _number(0, 1, whole=False),
    "user": _string,
    "verbosity": _string,
    "web_search_options": _object,
}


def _shape(keys: str, **nested: str) -> Mapping[str, str]:
    return {**dict.fromkeys(keys.split(), ""), **nested}


# The objects inside a body whose keys are OpenAI's: shape -> key -> the shape of what stands under it ("" where nothing below is compared).
NESTED: Mapping[str, Mapping[str, str]] = {
    "messages": _shape("role name refusal tool_call_id audio", content="content", tool_calls="tool_calls", function_call="function_call"),
    "content": _shape("type text refusal", image_url="image_url", input_audio="input_audio", file="file"),
    "image_url": _shape("url detail"),
    "input_audio": _shape("data format"),
    "file": _shape("file_data file_id filename"),
    "tool_calls": _shape("id type index", function="function_call"),
    "function_call": _shape("name arguments"),
    "tools": _shape("type", function="functions"),
    "functions": _shape("name description parameters strict"),
    "response_format": _shape("type", json_schema="json_schema"),
    "json_schema": _shape("name description schema strict"),
    "stream_options": _shape("include_usage include_obfuscation"),
    "metadata": _shape("sensitivity"),
}


def check_messages(messages: list[Any]) -> None:
    """Check roles and contents. Raises InvalidRequestError with the path of the first fault."""
    if not messages:
        raise Invalid("Invalid 'messages': empty array. Expected an array with minimum length 1.", param="messages", code="empty_array")
    for index, message in enumerate(messages):
        place = f"messages[{index}]"
        if type(message) is not dict:
            raise _wrong_type(place, "an object", message)
        role = message.get("role")
        if role is None:
            raise _missing(f"{place}.role")
        if type(role) is not str or role not in ROLES:
            listed = ", ".join(f"'{name}'" for name in sorted(ROLES))
            raise Invalid(f"Invalid value for '{place}.role'. Supported values are: {listed}.", param=f"{place}.role", code="invalid_value")
        _check_content(message, role, place)
        if message.get("tool_calls") is not None:
            _check_tool_calls(message["tool_calls"], f"{place}.tool_calls")
        if role == "tool" and type(message.get("tool_call_id")) is not str:
            raise _missing(f"{place}.tool_call_id")


def _check_content(message: Mapping[str, Any], role: str, place: str) -> None:
    content = message.get("content")
    if type(content) is str:
        return
    param = f"{place}.content"
    if content is None:
        if role in {"assistant", "function"}:
            return
        raise Invalid(f"Invalid value for '{param}': expected a string, got null.", param=param, code="invalid_type")
    if type(content) is not list:
        raise _wrong_type(param, "a string or an array of objects", content)
    if not content:
        raise Invalid(f"Invalid '{param}': empty array. Expected an array with minimum length 1.", param=param, code="empty_array")
    for index, part in enumerate(content):
        _check_part(part, f"{param}[{index}]")


def _check_part(part: Any, place: str) -> None:
    if type(part) is not dict:
        raise _wrong_type(place, "an object", part)
    kind = part.get("type")
    if type(kind) is not str:
        raise _missing(f"{place}.type")
    if kind == "text":
        _needed(part, "text", _string, place)
    elif kind == "image_url":
        _needed(part, "image_url", _object, place)
        _needed(part["image_url"], "url", _string, f"{place}.image_url")
    elif kind in {"input_audio", "file"}:
        _needed(part, kind, _object, place)


def _check_tool_calls(calls: Any, place: str) -> None:
    _array(calls, place)
    for index, call in enumerate(calls):
        at = f"{place}[{index}]"
        _object(call, at)
        if type(call.get("id")) is not str:
            raise _missing(f"{at}.id")
        if call.get("type", "function") == "function":
            _needed(call, "function", _object, at)
            for name in ("name", "arguments"):
                _needed(call["function"], name, _string, f"{at}.function")
