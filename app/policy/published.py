"""Words that OpenAI publishes: property names and constants of its chat completion request, with JSON Schema's keywords.

Source: `CreateChatCompletionRequest` of https://github.com/openai/openai-openapi, and https://json-schema.org/draft/2020-12. A key or a value that is
one of these words cannot hold a caller's data, so it needs no scan, and a key among them may be named in a position.
"""

from __future__ import annotations

_REQUEST = """
allowed_tools approximate arguments audio city content country custom data definition description detail file file_data file_id filename format
frequency_penalty function function_call functions grammar id image_url include_obfuscation include_usage input input_audio json_schema logit_bias
logprobs max_completion_tokens max_tokens messages metadata modalities mode model moderation n name output parallel_tool_calls parameters policy
prediction presence_penalty prompt_cache_breakpoint prompt_cache_key prompt_cache_options prompt_cache_retention reasoning_effort refusal region
response_format role safety_identifier schema search_context_size seed service_tier stop store stream stream_options strict syntax temperature text
timezone tool_call_id tool_calls tool_choice tools top_logprobs top_p ttl type url user user_location verbosity voice web_search_options index
"""

_JSON_SCHEMA = """
$anchor $comment $defs $dynamicAnchor $dynamicRef $id $ref $schema $vocabulary additionalItems additionalProperties allOf anyOf const contains
contentEncoding contentMediaType contentSchema default definitions dependencies dependentRequired dependentSchemas deprecated else enum examples
exclusiveMaximum exclusiveMinimum if items maxContains maxItems maxLength maxProperties maximum minContains minItems minLength minProperties minimum
multipleOf not oneOf pattern patternProperties prefixItems properties propertyNames readOnly required then title unevaluatedItems
unevaluatedProperties uniqueItems writeOnly nullable discriminator
"""

_CONSTANTS = """
system developer user assistant tool function text image_url input_audio file refusal json_object json_schema auto none required low medium high
minimal xhigh wav mp3 flac opus pcm16 aac object array string number integer boolean null date time date-time email uri uuid stop length content
default flex priority scale custom grammar lark regex in_memory 24h audio
"""

KEYS = frozenset((_REQUEST + _JSON_SCHEMA).split())
CONSTANTS = frozenset(_CONSTANTS.split())
