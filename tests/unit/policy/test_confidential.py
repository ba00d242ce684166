from __future__ import annotations

from typing import Any

import pytest

from app.errors import InvalidRequestError
from app.policy.confidential import PUBLISHED, SAMPLING, check_fields, check_urls

PLACE = "https://example.com/a.png"


def parts(*given: dict[str, Any]) -> dict[str, Any]:
    return {"model": "auto", "messages": [{"role": "user", "content": list(given)}]}


def test_openais_fields_and_sampling_fields_pass() -> None:
    check_fields(dict.fromkeys(PUBLISHED | SAMPLING), frozenset())


@pytest.mark.parametrize("name", ["kv_transfer_params", "chat_template", "future", "Model"])
def test_another_field_is_refused_by_name(name: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        check_fields({"model": "m", name: 1}, frozenset())

    assert (caught.value.status, caught.value.code, caught.value.param) == (400, "field_not_cleared", name)
    assert f"the field '{name}': leave it out" in str(caught.value)


def test_a_field_that_the_deployment_allows_passes() -> None:
    check_fields({"future": 1}, frozenset({"future"}))


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (parts({"type": "image_url", "image_url": {"url": PLACE}}), "messages[0].content[0].image_url.url"),
        (parts({"type": "image_url", "image_url": PLACE}), "messages[0].content[0].image_url"),
        (parts({"type": "image_url", "image_url": {"url": " HTTP://10.0.0.1/x"}}), "messages[0].content[0].image_url.url"),
        (parts({"type": "image_url", "image_url": {"url": "//example.com/x"}}), "messages[0].content[0].image_url.url"),
        (parts({"type": "image_url", "image_url": {"url": "file:///etc/passwd"}}), "messages[0].content[0].image_url.url"),
        (parts({"type": "image_url", "image_url": {"url": "/etc/passwd"}}), "messages[0].content[0].image_url.url"),
        (parts({"type": "video_url", "video_url": {"url": PLACE}}), "messages[0].content[0].video_url.url"),
        (parts({"type": "file", "file": {"file_url": PLACE}}), "messages[0].content[0].file.file_url"),
        (parts({"type": "video", "video": [PLACE]}), "messages[0].content[0].video[0]"),
        (parts({"type": "image_url", "image_url": [PLACE]}), "messages[0].content[0].image_url[0]"),
        ({"images": [PLACE]}, "images[0]"),
        ({"tools": [{"type": "mcp", "server_url": PLACE}]}, "tools[0].server_url"),
        ({"future": {"deep": [{"url": PLACE}]}}, "future.deep[0].url"),
        (parts({"type": "VIDEO_URL", "VIDEO_URL": {"URL": PLACE}}), "messages[0].content[0].VIDEO_URL.URL"),
        (parts({"type": "video_url", "video_url": {"ur\u017f": 1, "urls\u200b": PLACE}}), "messages[0].content[0].video_url.{1}"),
        (parts({"type": "image_url", "image_url": {"link": PLACE}}), "messages[0].content[0].image_url.link"),
        (parts({"type": "input_audio", "input_audio": {"data": PLACE, "format": "mp3"}}), "messages[0].content[0].input_audio.data"),
        (parts({"type": "file", "file": {"file_id": PLACE}}), "messages[0].content[0].file.file_id"),
        (parts({"type": "file", "file": {"file_data": "ftp://x/y"}}), "messages[0].content[0].file.file_data"),
        (parts({"4111 1111 1111 1111": {"url": PLACE}}), "messages[0].content[0].{0}.url"),
        ({"tools": [{"function": {"parameters": {"properties": {"a": {"$ref": PLACE}}}}}]}, "tools[0].function.parameters.properties.a.{0}"),
        (parts({"type": "image", "href": PLACE}), "messages[0].content[0].href"),
        (parts({"type": "media", "fileData": {"fileUri": PLACE}}), "messages[0].content[0].fileData.fileUri"),
        (parts({"type": "media", "file_uri": "gs:bucket/a.png"}), "messages[0].content[0].file_uri"),
        (parts({"type": "image_url", "imageUrl": "./a.png"}), "messages[0].content[0].imageUrl"),
        ({"messages": [{"role": "user", "content": "a", "attachment": {"src": PLACE}}]}, "messages[0].attachment.src"),
        ({"tools": [{"type": "mcp", "connector_url": PLACE}]}, "tools[0].connector_url"),
        ({"tools": [{"type": "openapi", "openapi": {"endpoint": PLACE}}]}, "tools[0].openapi.endpoint"),
        ({"guided_json": {"properties": {"a": {"$ref": PLACE}}}}, "guided_json.properties.a.{0}"),
        ({"response_format": {"json_schema": {"schema": {"anyOf": [{"$dynamicRef": PLACE}]}}}}, "response_format.json_schema.schema.anyOf[0].{0}"),
    ],
)
def test_an_address_that_a_server_could_fetch_is_refused(body: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        check_urls(body)

    assert (caught.value.code, caught.value.param) == ("remote_url_not_allowed", param)


@pytest.mark.parametrize(
    "address",
    [
        *("http:/\n/example.com/a", "ht\ttp://example.com/a", "http:example.com/a", "http:/example.com/a", "http:\\\\example.com\\a", "HTTPS:\\/example.com"),
        *("\x01http://example.com/", " \r\n http:/\r/example.com/", "\\\\example.com\\a", "file:a", "wss:example.com"),
        *("s3:bucket/key", "../../etc/passwd", "~/a.png", "C:\\a.png", "dat a:x,http://example.com/"),
        *(" " * 3000 + "http://example.com/", "h" + "\t" * 3000 + "ttp://example.com/", " " * 2048 + "/etc/passwd"),
        *("\u00a0http://example.com/", "\u2003/etc/passwd", "\ufeffhttp:example.com"),
    ],
)
def test_an_address_is_refused_however_it_is_spelled(address: str) -> None:
    with pytest.raises(InvalidRequestError):
        check_urls(parts({"type": "image_url", "image_url": {"url": address}}))


@pytest.mark.parametrize(
    "address", ["http:/\n/example.com/a", "\x01ht\ntp://example.com/", "http:\\\\example.com", "https:example.com", "gopher:\\/example.com"]
)
def test_an_address_in_the_place_of_a_medium_is_refused_however_it_is_spelled(address: str) -> None:
    with pytest.raises(InvalidRequestError):
        check_urls(parts({"type": "file", "file": {"file_data": address}}))


@pytest.mark.parametrize(
    "body",
    [
        {"messages": [{"role": "tool", "tool_call_id": "c", "content": PLACE}, {"role": "user", "name": PLACE, "content": [{"type": "text", "text": PLACE}]}]},
        {"tools": [{"type": "function", "function": {"name": "f", "description": PLACE}}], "user": PLACE, "stop": [PLACE]},
        parts({"type": "image", "image": "a note: look at it"}),
        parts({"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}),
        parts({"type": "text", "text": f"See {PLACE}"}),
        {"tools": [{"type": "function", "function": {"name": "f", "parameters": {"properties": {"url": {"default": PLACE}}}}}]},
        {"response_format": {"json_schema": {"schema": {"url": PLACE}}}},
        {"messages": [{"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": f'{{"url": "{PLACE}"}}'}}]}]},
        parts({"type": "note", "image": "a caption"}),
        parts({"type": "input_audio", "input_audio": {"data": "//uQxAAAAAAA", "format": "mp3"}}, {"type": "file", "file": {"file_data": "/9j/4AAQSkZJRg"}}),
        {"response_format": {"json_schema": {"schema": {"$schema": PLACE, "$ref": "#/$defs/place"}}}},
    ],
)
def test_texts_schemas_and_data_urls_pass(body: dict[str, Any]) -> None:
    check_urls(body)


def test_a_key_that_may_hold_a_value_is_told_by_its_place() -> None:
    with pytest.raises(InvalidRequestError) as caught:
        check_fields({"model": "m", "4111 1111 1111 1111": 1}, frozenset())

    assert caught.value.param == "{1}"
