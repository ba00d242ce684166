"""Every clause of who may be reached for which label."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import REGISTRY

from app.config.sections import LOCAL_NETWORKS
from app.domain import Address, EgressPolicy, Failure, Label
from app.providers.egress import Egress, EgressRefusedError, canonical

if TYPE_CHECKING:
    from collections.abc import Mapping

CLOUD = Address("https", "api.openai.com", 443)
LOCAL = Address("http", "ollama", 11434)


def make_egress(trusted: Mapping[str, IPv4Network | IPv6Network | None] | None = None, **clearances: Label) -> Egress:
    known = {"cloud": CLOUD, "local": LOCAL}
    return Egress(EgressPolicy({known[name]: label for name, label in clearances.items()}, LOCAL_NETWORKS, trusted or {}))


def is_admitted(egress: Egress, label: Label, target: Address, peer: str | None = None) -> bool:
    try:
        if peer is None:
            egress.admit(label, target)
        else:
            egress.admit_peer(label, target, peer)
    except EgressRefusedError:
        return False
    return True


def refusals(label: Label) -> float:
    return REGISTRY.get_sample_value("sluice_egress_refused_total", {"label": str(label)}) or 0.0


@pytest.mark.parametrize("clearance", Label)
@pytest.mark.parametrize("label", Label)
def test_a_label_is_admitted_up_to_the_clearance_of_the_address(label: Label, clearance: Label) -> None:
    egress = make_egress(local=clearance)

    assert is_admitted(egress, label, LOCAL) == (label <= clearance)
    assert is_admitted(egress, label, LOCAL, "10.0.0.1") == (label <= clearance)


@pytest.mark.parametrize("label", Label)
@pytest.mark.parametrize(
    "target",
    [
        Address("http", "api.openai.com", 443),
        Address("https", "api.openai.com", 80),
        Address("https", "api.openai.com", 8443),
        Address("https", "openai.com", 443),
        Address("https", "api.openai.com.evil.example", 443),
        Address("https", "", 443),
        Address("https", "104.18.6.192", 443),
    ],
    ids=str,
)
def test_an_address_that_differs_in_scheme_host_or_port_is_unknown_and_refused_for_every_label(label: Label, target: Address) -> None:
    assert not is_admitted(make_egress(cloud=Label.CONFIDENTIAL), label, target)


@pytest.mark.parametrize("host", ["API.OpenAI.com", "api.openai.com.", "API.OPENAI.COM."])
def test_upper_case_and_a_trailing_dot_name_the_same_host(host: str) -> None:
    assert is_admitted(make_egress(cloud=Label.INTERNAL), Label.INTERNAL, Address("HTTPS", host, 443))
    assert is_admitted(Egress(EgressPolicy({Address("Https", host, 443): Label.INTERNAL}, ())), Label.INTERNAL, CLOUD)


@pytest.mark.parametrize("host", ["0:0:0:0:0:0:0:1", "::1", "[::1]", "[0:0::1]"])
def test_an_ip_literal_is_compared_by_value(host: str) -> None:
    egress = Egress(EgressPolicy({Address("http", "::1", 11434): Label.CONFIDENTIAL}, LOCAL_NETWORKS))

    assert is_admitted(egress, Label.CONFIDENTIAL, Address("http", host, 11434), "::1")


def test_an_address_with_two_clearances_counts_as_the_higher() -> None:
    egress = Egress(
        EgressPolicy(
            {LOCAL: Label.PUBLIC, Address("http", "OLLAMA", 11434): Label.CONFIDENTIAL, Address("http", "ollama.", 11434): Label.INTERNAL},
            LOCAL_NETWORKS,
        )
    )

    assert is_admitted(egress, Label.CONFIDENTIAL, LOCAL)


@pytest.mark.parametrize(
    "peer",
    [
        "127.0.0.1",
        "127.255.255.254",
        "::1",
        "10.0.0.1",
        "10.255.255.255",
        "172.16.0.1",
        "172.31.255.255",
        "192.168.0.1",
        "192.168.255.255",
        "fc00::1",
        "fd12:3456:789a::1",
        "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
        "::ffff:10.0.0.1",
        "::ffff:127.0.0.1",
        "fd00::1%eth0",
    ],
)
def test_confidential_text_may_go_to_loopback_and_private_peers(peer: str) -> None:
    assert is_admitted(make_egress(local=Label.CONFIDENTIAL), Label.CONFIDENTIAL, LOCAL, peer)


@pytest.mark.parametrize(
    "peer",
    [
        "8.8.8.8",
        "2606:4700::6812:7c0",
        "169.254.169.254",
        "169.254.0.1",
        "198.18.0.1",
        "198.19.255.255",
        "0.0.0.0",
        "0.1.2.3",
        "::",
        "100.64.0.1",
        "192.0.2.1",
        "255.255.255.255",
        "224.0.0.1",
        "9.255.255.255",
        "11.0.0.0",
        "172.15.255.255",
        "172.32.0.0",
        "192.167.255.255",
        "192.169.0.0",
        "128.0.0.1",
        "126.255.255.255",
        "fbff::1",
        "fe80::1",
        "fe80::1%eth0",
        "fec0::1",
        "::2",
        "::ffff:8.8.8.8",
        "::ffff:169.254.169.254",
        "::10.0.0.1",
        "64:ff9b::10.0.0.1",
        "2002:a00:1::",
        "fd00:ec2::254",
        "fd00:0ec2:0000::0254",
        "fd00:ec2::254%eth0",
        "fd20:ce::254",
        "fd20:ce::254%1",
        "",
        "localhost",
        "10.0.0",
        "010.0.0.1",
        "10.0.0.1 ",
        "/var/run/ollama.sock",
    ],
)
def test_confidential_text_goes_to_no_other_peer(peer: str) -> None:
    assert not is_admitted(make_egress(local=Label.CONFIDENTIAL), Label.CONFIDENTIAL, LOCAL, peer)


RANGES = {
    4: [("10.0.0.0", "10.255.255.255"), ("127.0.0.0", "127.255.255.255"), ("172.16.0.0", "172.31.255.255"), ("192.168.0.0", "192.168.255.255")],
    6: [("::1", "::1"), ("fc00::", "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff")],
}
METADATA = {int(IPv6Address("fd00:ec2::254")), int(IPv6Address("fd20:ce::254"))}
EDGES = [int(ip_address(edge)) + step for ranges in RANGES.values() for pair in ranges for edge in pair for step in (-1, 0, 1)]
IPV4 = st.one_of(st.ip_addresses(v=4), st.sampled_from([IPv4Address(edge) for edge in EDGES if edge < 2**32]))
IPV6 = st.one_of(
    st.ip_addresses(v=6), st.sampled_from([IPv6Address(edge) for edge in EDGES if edge < 2**128]), st.sampled_from(sorted(METADATA)).map(IPv6Address)
)


def is_in(address: IPv4Address | IPv6Address) -> bool:
    """Compare numbers, without networks: another way to say the same."""
    return any(int(ip_address(low)) <= int(address) <= int(ip_address(high)) for low, high in RANGES[address.version]) and int(address) not in METADATA


@given(IPV4, st.sampled_from(["{}", "::ffff:{}"]))
def test_exactly_the_named_ipv4_networks_are_local(address: IPv4Address, form: str) -> None:
    assert is_admitted(make_egress(local=Label.CONFIDENTIAL), Label.CONFIDENTIAL, LOCAL, form.format(address)) == is_in(address)


def is_native(address: IPv4Address | IPv6Address) -> bool:
    return isinstance(address, IPv6Address) and address.ipv4_mapped is None


@given(IPV6.filter(is_native), st.sampled_from(["", "%1", "%eth0"]))
def test_exactly_the_named_ipv6_networks_are_local(address: IPv6Address, scope: str) -> None:
    assert is_admitted(make_egress(local=Label.CONFIDENTIAL), Label.CONFIDENTIAL, LOCAL, f"{address}{scope}") == is_in(address)


@pytest.mark.parametrize("label", [Label.PUBLIC, Label.INTERNAL])
def test_other_labels_may_go_to_any_peer_of_a_cleared_address(label: Label) -> None:
    assert is_admitted(make_egress(cloud=Label.INTERNAL), label, CLOUD, "104.18.6.192")


def test_a_private_peer_does_not_clear_an_address() -> None:
    egress = make_egress(cloud=Label.INTERNAL)

    assert not is_admitted(egress, Label.CONFIDENTIAL, CLOUD, "10.0.0.1")
    assert not is_admitted(egress, Label.PUBLIC, LOCAL, "127.0.0.1")


def test_a_trusted_host_may_be_served_from_the_network_named_with_it_and_from_no_other() -> None:
    egress = make_egress({"OLLAMA.": IPv4Network("203.0.113.0/24")}, local=Label.CONFIDENTIAL)

    assert is_admitted(egress, Label.CONFIDENTIAL, LOCAL, "203.0.113.7")
    assert is_admitted(egress, Label.CONFIDENTIAL, LOCAL, "::ffff:203.0.113.7")
    assert is_admitted(egress, Label.CONFIDENTIAL, LOCAL, "10.0.0.1")
    assert not is_admitted(egress, Label.CONFIDENTIAL, LOCAL, "203.0.114.7")
    assert not is_admitted(egress, Label.CONFIDENTIAL, LOCAL, "2001:db8::1")


def test_a_trusted_host_without_a_network_is_admitted_over_tls_only() -> None:
    secure = Address("https", "llm.corp.example", 443)
    plain = Address("http", "llm.corp.example", 80)
    clearances = {secure: Label.CONFIDENTIAL, plain: Label.CONFIDENTIAL}
    egress = Egress(EgressPolicy(clearances, LOCAL_NETWORKS, {"llm.corp.example": None}))

    assert is_admitted(egress, Label.CONFIDENTIAL, secure, "203.0.113.7")
    assert not is_admitted(egress, Label.CONFIDENTIAL, plain, "203.0.113.7")


def test_trust_in_one_host_says_nothing_of_another() -> None:
    egress = make_egress({"other": None, "llama": IPv4Network("0.0.0.0/0")}, local=Label.CONFIDENTIAL, cloud=Label.CONFIDENTIAL)

    assert not is_admitted(egress, Label.CONFIDENTIAL, LOCAL, "203.0.113.7")
    assert not is_admitted(egress, Label.CONFIDENTIAL, CLOUD, "203.0.113.7")


@pytest.mark.parametrize("peer", ["fd00:ec2::254", "fd20:ce::254"])
def test_metadata_services_are_refused_even_inside_a_trusted_network(peer: str) -> None:
    egress = make_egress({"ollama": IPv6Network("fc00::/7")}, local=Label.CONFIDENTIAL)

    assert not is_admitted(egress, Label.CONFIDENTIAL, LOCAL, peer)


def test_without_local_networks_no_peer_is_local() -> None:
    egress = Egress(EgressPolicy({LOCAL: Label.CONFIDENTIAL}, ()))

    assert not is_admitted(egress, Label.CONFIDENTIAL, LOCAL, "127.0.0.1")


def test_a_refusal_is_an_upstream_failure_of_which_nothing_was_sent() -> None:
    with pytest.raises(EgressRefusedError) as caught:
        make_egress().admit(Label.CONFIDENTIAL, LOCAL)

    assert caught.value.failure is Failure.NOT_CLEARED
    assert caught.value.sent is False
    assert caught.value.remedy == "Egress refused http://ollama:11434 for a request labelled confidential."


def test_each_refusal_is_counted_once_under_its_label() -> None:
    before = refusals(Label.CONFIDENTIAL)
    egress = make_egress(local=Label.CONFIDENTIAL)

    is_admitted(egress, Label.CONFIDENTIAL, CLOUD)
    is_admitted(egress, Label.CONFIDENTIAL, CLOUD, "8.8.8.8")
    is_admitted(egress, Label.CONFIDENTIAL, LOCAL, "8.8.8.8")
    is_admitted(egress, Label.CONFIDENTIAL, LOCAL, "10.0.0.1")

    assert refusals(Label.CONFIDENTIAL) - before == 3


@pytest.mark.parametrize(
    ("host", "expected"),
    [("API.Example.COM.", "api.example.com"), ("[2001:DB8:0::1]", "2001:db8::1"), ("127.0.0.1", "127.0.0.1"), ("FE80::1%Eth0", "fe80::1%Eth0")],
)
def test_the_canonical_spelling_of_a_host(host: str, expected: str) -> None:
    assert canonical(Address("HTTPS", host, 1)) == Address("https", expected, 1)
