from __future__ import annotations

import pytest
from pydantic import SecretStr

from app.access import Access, check_loopback
from app.config.api_keys import ApiKey
from app.domain import Label, Tenant
from app.errors import AuthenticationError, NotAllowedError

KEYS = Access([ApiKey("team", Label.INTERNAL, SecretStr("key-one")), ApiKey("boss", Label.CONFIDENTIAL, SecretStr("key-two"))])


def test_a_known_key_is_its_owner() -> None:
    assert KEYS.tenant("Bearer key-one", "10.0.0.1") == Tenant("team", "key:team", Label.INTERNAL)
    assert KEYS.tenant("bearer  key-two ", "10.0.0.1").name == "boss"


@pytest.mark.parametrize("authorization", [None, "", "Bearer", "Bearer ", "Bearer key-on", "Bearer key-one2", "Basic key-one", "key-one", "Bearer \xff"])
def test_anything_else_is_refused_without_an_echo(authorization: str | None) -> None:
    with pytest.raises(AuthenticationError) as caught:
        KEYS.tenant(authorization, "10.0.0.1")

    assert caught.value.status == 401
    assert caught.value.headers == {"www-authenticate": "Bearer"}
    assert "key-on" not in caught.value.message


def test_without_keys_a_tenant_is_an_address() -> None:
    access = Access([])

    assert access.open
    assert access.tenant("Bearer anything", "10.0.0.1") == Tenant("anonymous", "address:10.0.0.1")
    assert access.tenant(None, "10.0.0.2").key_id == "address:10.0.0.2"


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8000", "localhost.", "127.0.0.1", "127.1.2.3:80", "[::1]:8000", "[::1]"])
def test_this_machines_names_pass(host: str) -> None:
    check_loopback(host, None, ())


@pytest.mark.parametrize(
    "host", [None, "", "example.com", "127.0.0.1.example.com", "10.0.0.1", "[::2]", "0.0.0.0", "localhost@evil.com", "2130706433", "[", "[::1"]
)
def test_any_other_host_is_refused(host: str | None) -> None:
    with pytest.raises(NotAllowedError) as caught:
        check_loopback(host, None, ())

    assert caught.value.code == "host_not_allowed"


@pytest.mark.parametrize("origin", ["https://example.com", "null", "", "file://", "http://localhost.example.com", "http://["])
def test_a_foreign_origin_is_refused(origin: str) -> None:
    with pytest.raises(NotAllowedError) as caught:
        check_loopback("localhost", origin, ())

    assert caught.value.code == "origin_not_allowed"


def test_a_listed_origin_passes() -> None:
    check_loopback("localhost", "https://example.com", ["https://example.com"])
