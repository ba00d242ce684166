from __future__ import annotations

from ipaddress import ip_network

import pytest

from app.config.addresses import confidential_fault, is_local, parse_base_url
from app.config.sections import LOCAL_NETWORKS
from app.domain import Address


@pytest.mark.parametrize(
    ("written", "text", "address"),
    [
        ("https://API.OpenAI.com/v1/", "https://api.openai.com/v1", Address("https", "api.openai.com", 443)),
        ("https://api.openai.com:443/v1", "https://api.openai.com/v1", Address("https", "api.openai.com", 443)),
        ("HTTP://ollama:80", "http://ollama", Address("http", "ollama", 80)),
        ("http://127.0.0.1:11434", "http://127.0.0.1:11434", Address("http", "127.0.0.1", 11434)),
        ("http://[0:0::1]:8000/v1", "http://[::1]:8000/v1", Address("http", "::1", 8000)),
        ("http://host.docker.internal.:1/", "http://host.docker.internal:1", Address("http", "host.docker.internal", 1)),
        ("https://xn--bcher-kva.example/a-b/v1", "https://xn--bcher-kva.example/a-b/v1", Address("https", "xn--bcher-kva.example", 443)),
        ("http://my_host:8080/v1", "http://my_host:8080/v1", Address("http", "my_host", 8080)),
    ],
)
def test_an_address_has_one_spelling(written: str, text: str, address: Address) -> None:
    base = parse_base_url(written)

    assert (base.text, base.address) == (text, address)
    assert parse_base_url(base.text) == base


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("localhost:11434", "must start with http"),
        ("ftp://host", "must start with http"),
        ("https:/host", "must start with http"),
        ("https://", "no valid host"),
        ("https://:8080/v1", "no valid host"),
        ("https://a..b/v1", "no valid host"),
        ("https://-a.example", "no valid host"),
        ("http://127.1/v1", "no valid host"),
        ("http://2130706433", "no valid host"),
        ("http://0x7f.1", "no valid host"),
        ("http://127.0.0.256", "no valid host"),
        ("http://evil.example%2f@10.0.0.1", "user name or password"),
        ("https://hush:hush@host/v1", "user name or password"),
        ("https://host/v1?key=hush", "query or fragment"),
        ("https://host/v1?", "query or fragment"),
        ("https://host/v1#hush", "query or fragment"),
        ("https://host/v1/../hush", "path that is not plain"),
        ("https://host//v1", "path that is not plain"),
        ("https://host/v1/chat/completions", "leave that out"),
        ("https://host:0/v1", "port 0"),
        ("https://host:99999/v1", "is not a URL"),
        ("https://host:port/v1", "is not a URL"),
        ("https://[::1", "is not a URL"),
        ("http://[fe80::1%25eth0]/v1", "zone|not a URL|no valid host"),
        ("https://host /v1", "space"),
        ("https://bücher.example", "xn--"),
        ("https://host\\hush/v1", "no valid host|not plain"),
        ("https://host/v1\r\nx: hush", "space"),
    ],
)
def test_what_is_no_base_url_is_refused_without_repeating_it(written: str, said: str) -> None:
    with pytest.raises(ValueError, match=said) as caught:
        parse_base_url(written)

    assert "hush" not in str(caught.value)


def _fault(url: str, **trusted: str | None) -> str | None:
    hosts = {host.replace("_", "."): ip_network(network) if network else None for host, network in trusted.items()}
    return confidential_fault(parse_base_url(url).address, LOCAL_NETWORKS, hosts)


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:11434",
        "http://10.1.2.3",
        "http://172.31.0.1",
        "http://192.168.1.1",
        "http://[::1]:1",
        "http://[fd12::1]",
        "http://[::ffff:10.0.0.1]",
        "http://localhost",
        "http://ollama:11434",
        "http://host.docker.internal",
        "http://gpu.lan",
        "http://llm.team.svc.cluster.local",
    ],
)
def test_addresses_of_ones_own_can_be_cleared_for_confidential(url: str) -> None:
    assert _fault(url) is None


@pytest.mark.parametrize(
    "url",
    [
        "http://8.8.8.8",
        "http://169.254.169.254",
        "http://198.18.0.1",
        "http://0.0.0.0",
        "http://172.32.0.1",
        "http://[fe80::1]",
        "http://[2001:4860:4860::8888]",
        "http://[::ffff:8.8.8.8]",
    ],
)
def test_literal_addresses_outside_the_local_networks_cannot(url: str) -> None:
    assert "in none of local_networks" in str(_fault(url))


@pytest.mark.parametrize("url", ["https://api.openai.com/v1", "https://local.example.com", "https://internal.com", "https://notlan.xlan"])
def test_public_names_cannot(url: str) -> None:
    assert "is a public name; add it to trusted_hosts" in str(_fault(url))


def test_a_trusted_host_needs_tls_or_a_network() -> None:
    assert _fault("https://gpu.example", gpu_example=None) is None
    assert _fault("http://gpu.example", gpu_example="203.0.113.0/24") is None
    assert "http has none" in str(_fault("http://gpu.example", gpu_example=None))


def test_a_trusted_address_must_be_in_its_network() -> None:
    assert _fault("http://203.0.113.5", **{"203_0_113_5": "203.0.113.0/24"}) is None
    assert "outside the network" in str(_fault("http://203.0.113.5", **{"203_0_113_5": "198.51.100.0/24"}))


def test_what_is_local_is_an_address_of_a_local_network_or_a_private_name() -> None:
    local = {url: is_local(parse_base_url(url).address, LOCAL_NETWORKS) for url in ("http://10.0.0.1", "http://ollama", "http://8.8.8.8", "http://a.example")}

    assert list(local.values()) == [True, True, False, False]


@pytest.mark.parametrize("host", ["fd00:ec2::254", "FD00:EC2:0::254", "fd20:ce::254"])
def test_a_metadata_service_is_no_place_for_confidential_text_whatever_is_trusted(host: str) -> None:
    address = parse_base_url(f"https://[{host}]/v1").address
    trusting = (*LOCAL_NETWORKS, ip_network("fd00::/8"))

    assert "metadata service" in str(confidential_fault(address, trusting, {address.host: ip_network("fd00::/8")}))
    assert "metadata service" in str(confidential_fault(address, trusting, {address.host: None}))
    assert not is_local(address, trusting)
