"""A name server for tests, on loopback over UDP: it says what its zone says.

    DnsServer({"shop.example": ["10 mail.shop.example."],  # MX records
               "nomail.example": ["0 ."],
               "bare.example": Say.ADDRESS,                # no MX, but an address
               "_dmarc.shop.example": {"TXT": ['"v=DMARC1; p=none"']},
               "sick.example": Say.SERVFAIL})

A name that the zone does not know is NXDOMAIN.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Mapping, Sequence
from enum import Enum, auto
from types import TracebackType

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset

DATAGRAM_BYTES = 4096


class Say(Enum):
    ADDRESS = auto()  # an A record alone
    ADDRESS_6 = auto()  # an AAAA record alone
    NONE = auto()  # the name exists, and has neither MX nor address
    SERVFAIL = auto()
    SILENCE = auto()
    NONSENSE = auto()  # bytes that are no DNS


Records = Sequence[str] | Mapping[str, Sequence[str]] | Say
Zone = Mapping[str, Records]


class DnsServer:
    """``asked`` lists each question as it came: (name, record type)."""

    def __init__(self, zone: Zone) -> None:
        self.zone = dict(zone)
        self.asked: list[tuple[str, str]] = []
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self._socket.settimeout(0.1)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="dns")

    @property
    def address(self) -> str:
        """As DNS_SERVERS takes it."""
        host, port = self._socket.getsockname()
        return f"{host}:{port}"

    def names(self) -> list[str]:
        """Whose MX was asked for, in order."""
        return [name for name, kind in self.asked if kind == "MX"]

    def __enter__(self) -> DnsServer:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        self._thread.join()
        self._socket.close()

    def _serve(self) -> None:
        while not self._over.is_set():
            try:
                data, sender = self._socket.recvfrom(DATAGRAM_BYTES)
            except TimeoutError:
                continue
            said = self._answer(dns.message.from_wire(data))
            if said is not None:
                self._socket.sendto(said, sender)

    def _answer(self, query: dns.message.Message) -> bytes | None:
        (question,) = query.question
        name, kind = question.name, dns.rdatatype.to_text(question.rdtype)
        asked = name.to_text(omit_final_dot=True)
        self.asked.append((asked, kind))
        said = self.zone.get(asked)
        if said is Say.SILENCE:
            return None
        if said is Say.NONSENSE:
            return b"no DNS at all"
        reply = dns.message.make_response(query)
        reply.flags |= dns.flags.RA
        if said is Say.SERVFAIL:
            reply.set_rcode(dns.rcode.SERVFAIL)
        elif said is None:
            reply.set_rcode(dns.rcode.NXDOMAIN)
        elif records := _records(said, kind):
            reply.answer.append(dns.rrset.from_text(name, 60, "IN", kind, *records))
        return reply.to_wire()


def _records(said: Records, kind: str) -> Sequence[str]:
    if isinstance(said, Mapping):
        return said.get(kind, ())
    if not isinstance(said, Say):
        return said if kind == "MX" else ()
    address = {Say.ADDRESS: ("A", "192.0.2.1"), Say.ADDRESS_6: ("AAAA", "2001:db8::1")}.get(said)
    return [address[1]] if address is not None and address[0] == kind else ()
