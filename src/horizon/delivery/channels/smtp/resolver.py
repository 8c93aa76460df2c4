"""Whether a domain takes mail, as its DNS says it (RFC 5321, 5.1; RFC 7505)."""

from __future__ import annotations

import ipaddress
import re
import time
from collections.abc import Sequence
from enum import StrEnum
from typing import Protocol

import dns.asyncresolver
import dns.exception
import dns.name
import dns.nameserver
import dns.resolver

from horizon.delivery.channels.smtp.mime import wire_domain
from horizon.errors import SettingsError
from horizon.settings import Settings

LONGEST_S = 3.0  # for one domain
DNS_PORT = 53
_SERVER = re.compile(r"(?:\[([^\]]+)\]|([^:\]]+))(?::(\d{1,5}))?")


class Answer(StrEnum):
    """``NOWHERE``: neither MX nor address; ``UNANSWERED``: nobody knew just now."""

    TAKES_MAIL = "takes_mail"
    NULL_MX = "null_mx"
    NOWHERE = "nowhere"
    UNANSWERED = "unanswered"


class Resolver(Protocol):
    async def ask(self, domain: str) -> Answer:
        """Within LONGEST_S. Raises nothing: who gets no answer sends."""


class NullResolver:
    """Asks nobody."""

    async def ask(self, domain: str) -> Answer:  # noqa: ARG002
        return Answer.UNANSWERED


class DnsResolver:
    """See Resolver. ``servers`` empty: the system's."""

    def __init__(self, servers: Sequence[tuple[str, int]]) -> None:
        """Raises dns.resolver.NoResolverConfiguration where the system names no server."""
        self._resolver = dns.asyncresolver.Resolver(configure=not servers)
        if servers:
            self._resolver.nameservers = [
                dns.nameserver.Do53Nameserver(address, port) for address, port in servers
            ]

    async def ask(self, domain: str) -> Answer:
        deadline = time.monotonic() + LONGEST_S
        try:
            name = dns.name.from_text(wire_domain(domain))
            mx = await self._records(name, "MX", deadline)
            if mx:
                return Answer.NULL_MX if is_null_mx(mx) else Answer.TAKES_MAIL
            for kind in ("A", "AAAA"):  # without an MX the domain itself is the server
                if await self._records(name, kind, deadline):
                    return Answer.TAKES_MAIL
        except (dns.resolver.NXDOMAIN, dns.name.LabelTooLong, dns.name.NameTooLong,
                dns.name.EmptyLabel):  # fmt: skip
            return Answer.NOWHERE
        except (dns.exception.DNSException, OSError, UnicodeError):
            return Answer.UNANSWERED
        return Answer.NOWHERE

    async def _records(self, name: dns.name.Name, kind: str, deadline: float) -> list[str]:
        answer = await self._resolver.resolve(
            name, kind, search=False, raise_on_no_answer=False,
            lifetime=max(0.1, deadline - time.monotonic()),
        )  # fmt: skip
        return [record.to_text() for record in answer.rrset or ()]


def is_null_mx(records: Sequence[str]) -> bool:
    """RFC 7505, 3: one record, of preference 0, whose host is the root."""
    return list(records) == ["0 ."]


def parse_servers(text: str) -> list[tuple[str, int]]:
    """``192.0.2.53, 192.0.2.54:5353, [2001:db8::53]:53``; raises SettingsError."""
    return [_parse(part) for part in filter(None, (part.strip() for part in text.split(",")))]


def _parse(part: str) -> tuple[str, int]:
    found = _SERVER.fullmatch(part)
    host, port = (found[1] or found[2], int(found[3] or DNS_PORT)) if found else (part, DNS_PORT)
    try:
        address = str(ipaddress.ip_address(host))
    except ValueError:
        address = ""
    if not address or not 0 < port < 65536:
        raise SettingsError(
            f"DNS_SERVERS has {part!r}: it should look like 192.0.2.53, 192.0.2.54:5353 or "
            "[2001:db8::53]:53."
        )
    return address, port


def open_resolver(settings: Settings) -> Resolver:
    """Raises SettingsError. A machine without a name server sends all the same."""
    try:
        return DnsResolver(parse_servers(settings.DNS_SERVERS))
    except dns.resolver.NoResolverConfiguration:
        return NullResolver()
