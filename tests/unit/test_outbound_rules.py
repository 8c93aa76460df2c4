"""Which targets may be asked: every trick that hides a private address is seen through."""

from __future__ import annotations

import ipaddress
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from horizon.errors import ForbiddenTargetError
from horizon.outbound.rules import AllowList, is_public, read_target

PUBLIC = [
    "1.1.1.1", "8.8.8.8", "93.184.216.34", "168.63.129.15", "223.255.255.255",
    "2606:4700::1111", "2a00:1450:4001:80b::200e", "64:ff9b::808:808", "::ffff:8.8.8.8",
]  # fmt: skip
NOT_PUBLIC = [
    "0.0.0.0", "0.1.2.3", "10.0.0.1", "100.64.0.1", "100.100.100.200", "127.0.0.1", "127.255.255.255",
    "169.254.169.254", "169.254.170.2", "172.16.0.1", "172.31.255.255", "192.0.0.192", "192.0.2.1",
    "192.88.99.1", "192.168.1.1", "198.18.0.1", "198.51.100.1", "203.0.113.9", "224.0.0.1",
    "239.255.255.250", "240.0.0.1", "255.255.255.255", "168.63.129.16",
    "::", "::1", "::127.0.0.1", "::ffff:127.0.0.1", "::ffff:169.254.169.254", "::ffff:0:127.0.0.1",
    "64:ff9b::127.0.0.1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::808:808", "2002:7f00:1::", "2002:808:808::",
    "2001:0:53aa:64c:0:fbff:f7f7:f7f7", "2001:db8::1", "3fff::1", "fc00::1", "fd00:ec2::254",
    "fe80::1", "fe80::1%eth0", "fec0::1", "ff02::1", "ff0e::1", "100::1", "5f00::1", "4000::1",
]  # fmt: skip


@pytest.mark.parametrize("text", PUBLIC)
def test_what_is_public(text: str) -> None:
    assert is_public(ip_address(text))


@pytest.mark.parametrize("text", NOT_PUBLIC)
def test_what_is_not(text: str) -> None:
    assert not is_public(ip_address(text))


def _edges(networks: list[str]) -> st.SearchStrategy[int]:
    """The addresses just inside and just outside of each network's two ends."""
    found = []
    for text in networks:
        network = ip_network(text)
        first, last = int(network[0]), int(network[-1])
        most = 2**network.max_prefixlen - 1
        found += [one for one in (first - 1, first, last, last + 1) if 0 <= one <= most]
    return st.sampled_from(found)


V4 = [str(n) for n in ipaddress._IPv4Constants._private_networks]  # type: ignore[attr-defined]
V6 = [str(n) for n in ipaddress._IPv6Constants._private_networks]  # type: ignore[attr-defined]
V4 += ["224.0.0.0/4", "100.64.0.0/10", "192.88.99.0/24"]
V6 += ["2000::/3", "2002::/16", "64:ff9b::/96", "ff00::/8", "fe80::/10"]


def _forbidden_by_the_library(address: IPv4Address | IPv6Address) -> bool:
    if isinstance(address, IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if inner is not None:
            return _forbidden_by_the_library(inner)
        if address.teredo is not None or address.is_site_local:
            return True
    return (
        not address.is_global
        or address.is_private
        or address.is_multicast
        or address.is_loopback
        or address.is_link_local
        or address.is_unspecified
    )


@given(st.integers(0, 2**32 - 1) | _edges(V4))
def test_ipv4_is_public_where_the_library_says_so(number: int) -> None:
    address = IPv4Address(number)
    # Anycast protocol addresses and 6to4's relays are global to the library, and nobody's webhook.
    stricter = ("192.0.0.0/24", "192.88.99.0/24", "168.63.129.16/32", "240.0.0.0/4")
    if any(address in ip_network(text) for text in stricter):
        assert not is_public(address)
    else:
        assert is_public(address) == (not _forbidden_by_the_library(address))


@given(st.integers(0, 2**128 - 1) | st.integers(2**125, 2**126 - 1) | _edges(V6))
@example(int(IPv6Address("2001:1::1")))
def test_ipv6_is_never_public_where_the_library_says_it_is_not(number: int) -> None:
    address = IPv6Address(number)
    if is_public(address):
        assert not _forbidden_by_the_library(address)


@given(st.integers(0, 2**32 - 1) | _edges(V4))
def test_a_wrapped_ipv4_is_as_public_as_itself_or_not_at_all(number: int) -> None:
    bare = is_public(IPv4Address(number))
    assert is_public(IPv6Address((0xFFFF << 32) | number)) == bare
    assert is_public(IPv6Address((0x64FF9B << 96) | number)) == bare
    for wrapped in (
        number,
        (0x2002 << 112) | (number << 80),
        (0x5EFE << 32) | (0xFE80 << 112) | number,
    ):
        assert not is_public(IPv6Address(wrapped))


SPELLINGS = [
    "https://2130706433/", "https://0x7f000001/", "https://0x7f.0.0.1/", "https://0177.0.0.1/",
    "https://127.1/", "https://127.0.0.01/", "https://1.2.3.4.5/", "https://017700000001/",
    "https://127.0.0.1.0x/", "https://256.1.1.1/", "https://[::1%25eth0]/", "https://[fe80::1%eth0]/",
    "https://[v1.x]/", "https://[127.0.0.1]/", "https://[::1/", "https://::1/",
    "https://user@example.com/", "https://user:pass@example.com/", "https://@example.com/",
    "https://example.com@169.254.169.254/", "https://169.254.169.254\\@example.com/",
    "https://example.com\\.evil.example/", "https://exa mple.com/", "https://example.com/a b",
    "https://example.com/\r\nHost: x", "https://exam\tple.com/", "\nhttps://example.com/",
    "https://bücher.example/", "https://ⓛocalhost/", "https://１２７.0.0.1/", "https://127。0。0。1/",
    "https://ex%61mple.com/", "https://example.com:0/", "https://example.com:99999/",
    "https://example.com:x/", "https:///path", "https://./", "https://../", "https://-a.example/",
    "https://a..b/", "https://" + "a" * 64 + ".example/", "ftp://example.com/", "file:///etc/passwd",
    "gopher://example.com/", "//example.com/", "example.com", "", "javascript:alert(1)",
    "https://example.com/" + "a" * 2100,
]  # fmt: skip


@pytest.mark.parametrize("url", SPELLINGS)
def test_a_host_has_one_spelling_or_is_refused(url: str) -> None:
    with pytest.raises(ForbiddenTargetError) as refused:
        read_target(url)
    assert "pass@" not in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("url", "host", "port", "path", "header"),
    [
        ("https://Example.COM", "example.com", 443, "/", "example.com"),
        ("https://example.com./x?y=1#z", "example.com", 443, "/x?y=1", "example.com"),
        ("http://localhost:8080/a", "localhost", 8080, "/a", "localhost:8080"),
        ("https://[2606:4700:0::1111]:8443/", "2606:4700::1111", 8443, "/", "[2606:4700::1111]:8443"),
        ("https://xn--bcher-kva.example/", "xn--bcher-kva.example", 443, "/", "xn--bcher-kva.example"),
        ("https://1.1.1.1:443/", "1.1.1.1", 443, "/", "1.1.1.1"),
        ("http://example.com:443/", "example.com", 443, "/", "example.com:443"),
        ("https://a_b.example/", "a_b.example", 443, "/", "a_b.example"),
    ],
)  # fmt: skip
def test_a_target_in_its_parts(url: str, host: str, port: int, path: str, header: str) -> None:
    target = read_target(url)
    assert (target.host, target.port, target.path, target.host_header) == (host, port, path, header)


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    for url in (text, f"https://{text}/"):
        try:
            target = read_target(url)
        except ForbiddenTargetError:
            continue
        assert target.host.isascii()
        assert "@" not in target.host_header
        assert target.path.isprintable() and " " not in target.path


def _may(allow: str, url: str, *addresses: str) -> bool:
    try:
        AllowList.read(allow.split()).check(read_target(url), [ip_address(a) for a in addresses])
    except ForbiddenTargetError:
        return False
    return True


@pytest.mark.parametrize(
    ("allow", "url", "addresses", "may"),
    [
        ("", "https://a.example/", ["1.1.1.1", "2606:4700::1"], True),
        ("", "https://a.example/", ["1.1.1.1", "10.0.0.1"], False),  # all are checked, not the first
        ("", "https://a.example/", ["10.0.0.1", "1.1.1.1"], False),
        ("", "http://a.example/", ["1.1.1.1"], False),
        ("a.example:80", "http://a.example/", ["1.1.1.1"], True),
        ("a.example:80", "https://a.example/", ["10.0.0.1"], False),  # another port
        ("A.example.:443", "https://a.example/", ["10.0.0.1"], True),
        ("a.example:443", "https://b.a.example/", ["10.0.0.1"], False),
        ("127.0.0.1:9000", "http://127.0.0.1:9000/", ["127.0.0.1"], True),
        ("127.0.0.1:9000", "http://127.0.0.1:9001/", ["127.0.0.1"], False),
        ("[::1]:9000", "http://[0::1]:9000/", ["::1"], True),
        ("10.1.0.0/16", "http://a.example/", ["10.1.2.3"], True),
        ("10.1.0.0/16", "http://a.example/", ["10.2.2.3"], False),
        ("10.1.0.0/16", "http://a.example/", ["10.1.2.3", "10.2.2.3"], False),
        ("fd12::/48", "https://a.example/", ["fd12::1"], True),
        # A name is no way to a cloud's metadata; only the address itself is, named on purpose.
        ("a.example:80", "http://a.example/", ["169.254.169.254"], False),
        ("a.example:80", "http://a.example/", ["::ffff:169.254.169.254"], False),
        ("a.example:80", "http://a.example/", ["fd00:ec2::254"], False),
        ("a.example:80", "http://a.example/", ["100.100.100.200"], False),
        ("a.example:80", "http://a.example/", ["224.0.0.1"], False),
        ("a.example:80", "http://a.example/", ["0.0.0.0"], False),
        ("a.example:80", "http://a.example/", ["::ffff:10.0.0.1"], True),
        ("169.254.169.254:80", "http://169.254.169.254/", ["169.254.169.254"], True),
    ],
)  # fmt: skip
def test_what_the_operator_allowed(allow: str, url: str, addresses: list[str], may: bool) -> None:
    assert _may(allow, url, *addresses) == may
