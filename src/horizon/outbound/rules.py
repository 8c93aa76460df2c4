"""Which targets may be asked: addresses as typed, and addresses as resolved. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from urllib.parse import SplitResult, urlsplit

from horizon.errors import ForbiddenTargetError

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

LONGEST_URL = 2048
DEFAULT_PORTS = {"https": 443, "http": 80}

# IANA's registries of special-purpose addresses. Written out, since what `ipaddress` calls global
# differs between releases of Python and counts multicast, NAT64 and 6to4 as global.
_SPECIAL = tuple(
    ip_network(text)
    for text in (
        "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16",
        "172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16",
        "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
        "168.63.129.16/32",  # Azure's host, which answers for the machine
        "2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20",
    )
)  # fmt: skip
_UNICAST = IPv6Network("2000::/3")  # all that IANA has given out
_NAT64 = IPv6Network("64:ff9b::/96")  # RFC 6052: the last 32 bits are the address asked

# What a private network legitimately consists of: the only special addresses that a name on the
# allow-list may have. Anything else, such as a cloud's metadata, has to be allowed as an address.
_PRIVATE = tuple(
    ip_network(text)
    for text in (
        "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "127.0.0.0/8",
        "::1/128", "fc00::/7",
    )
)  # fmt: skip
_METADATA = frozenset(map(ip_address, ("100.100.100.200", "fd00:ec2::254", "fd20:ce::254")))

_URL = re.compile(r"[!-\[\]-~]+")  # visible ASCII but the backslash, which some read as a slash
_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")
_LIKE_A_NUMBER = re.compile(r"\d+|0x[0-9a-f]*")


@dataclass(frozen=True, slots=True)
class Target:
    """A URL in its parts: ``host`` in lower case, without brackets and without a dot at its end."""

    scheme: str
    host: str
    port: int
    path: str

    @property
    def place(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    @property
    def host_header(self) -> str:
        default = f":{DEFAULT_PORTS[self.scheme]}"
        return self.place.removesuffix(default)


def read_target(url: str) -> Target:
    """Raises ForbiddenTargetError, which does not repeat the URL: a part of it may be secret."""
    if len(url) > LONGEST_URL or not _URL.fullmatch(url):
        raise ForbiddenTargetError(
            f"The target is no URL of at most {LONGEST_URL} visible ASCII characters: write a name "
            "in another script as xn--..., and percent-encode the rest."
        )
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError as exc:
        raise ForbiddenTargetError("The target is no URL: write https://HOST/PATH.") from exc
    if parts.scheme not in DEFAULT_PORTS or port == 0:
        raise ForbiddenTargetError("The target is no web address: write https://HOST/PATH.")
    if "@" in parts.netloc:
        raise ForbiddenTargetError("The target holds a user name: leave away what is before the @.")
    chosen = port or DEFAULT_PORTS[parts.scheme]
    return Target(parts.scheme, _host(host, parts.netloc), chosen, _path(parts))


def _path(parts: SplitResult) -> str:
    return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


def _host(host: str, netloc: str) -> str:
    """The host, where it has one spelling only. ``2130706433`` and ``0x7f.1`` are other spellings
    of 127.0.0.1 to a resolver, and names to whoever compares them with a list."""
    host = host.removesuffix(".")
    try:
        if netloc.startswith("["):
            return str(IPv6Address(host)) if "%" not in host else _refuse_host()
        labels = host.split(".")
        if _LIKE_A_NUMBER.fullmatch(labels[-1]):
            return str(IPv4Address(host))
    except ValueError:
        _refuse_host()
    if len(host) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        _refuse_host()
    return host


def _refuse_host() -> str:
    raise ForbiddenTargetError(
        "The target's host is neither a name nor an IP address in its usual form."
    )


def is_public(address: Address) -> bool:
    """Whether anybody on the internet may be at this address, and nobody of ours."""
    if isinstance(address, IPv6Address):
        inner = _inner(address)
        if inner is not None:
            return is_public(inner)
        if address not in _UNICAST:
            return False
    return not any(address in network for network in _SPECIAL)


def _inner(address: IPv6Address) -> IPv4Address | None:
    """The IPv4 address that this one stands for; 6to4 and Teredo, out of use, are refused whole."""
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped


@dataclass(frozen=True, slots=True)
class AllowList:
    """OUTBOUND_ALLOW: what may be private, and asked without TLS. Items are ``host:port``, an
    address, or a network like ``10.1.0.0/16``."""

    places: frozenset[tuple[str, int]] = frozenset()
    networks: tuple[Network, ...] = ()

    @classmethod
    def read(cls, items: Sequence[str]) -> AllowList:
        """From items that the settings have checked."""
        networks: list[Network] = []
        places: set[tuple[str, int]] = set()
        for item in items:
            try:
                networks.append(ip_network(item))
            except ValueError:
                host, _, port = item.rpartition(":")
                places.add((_one_spelling(host.strip("[]")), int(port)))
        return cls(frozenset(places), tuple(networks))

    def check(self, target: Target, addresses: Sequence[Address]) -> None:
        """Raises ForbiddenTargetError unless every address may be asked: a name with one public
        and one private address would otherwise be a way in by chance."""
        for address in addresses:
            allowed = self._allows(target, address)
            if not allowed and not is_public(address):
                raise ForbiddenTargetError(
                    f"{target.host} is at an address that is not public: put "
                    f"{target.place} into OUTBOUND_ALLOW if it is yours to ask."
                )
            if not allowed and target.scheme != "https":
                raise ForbiddenTargetError(
                    f"{target.host} would be asked without TLS: write https://, or put "
                    f"{target.place} into OUTBOUND_ALLOW."
                )

    def _allows(self, target: Target, address: Address) -> bool:
        if any(address in network for network in self.networks):
            return True
        if (target.host, target.port) not in self.places:
            return False
        if target.host == str(address):
            return True
        # ::ffff:169.254.169.254 is the address it stands for
        bare = _inner(address) if isinstance(address, IPv6Address) else None
        meant = bare or address
        return is_public(meant) or (
            meant not in _METADATA and any(meant in network for network in _PRIVATE)
        )


def _one_spelling(host: str) -> str:
    try:
        return str(ip_address(host))
    except ValueError:
        return host.lower().removesuffix(".")
