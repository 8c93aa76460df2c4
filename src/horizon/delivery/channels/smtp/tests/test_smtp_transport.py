"""A group over one pipelined connection: each message has its own answer, in order, and no other's."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from horizon.delivery.channels.smtp.transport import SmtpTransport
from horizon.delivery.ports import Parcel
from horizon.errors import TransportError
from horizon.settings import Settings
from tests.servers.smtp_recorder import SmtpRecorder

REFUSALS = {
    "nobody": {"at": "rcpt", "answer": "550 5.1.1 no such user"},
    "greyed": {"at": "rcpt", "answer": "451 4.7.1 later"},
    "halted": {"at": "data", "answer": "451 4.3.0 later"},
    "lonely": {"at": "data", "answer": "354 go on though nobody is there"},
    "spammy": {"at": "content", "answer": "550 5.7.1 spam"},
    "delayd": {"at": "content", "answer": "452 4.2.2 full"},
}
BREAKS = {
    "cutoff": {"at": "data", "action": "close"},
    "vanish": {"at": "content", "action": "close"},
    "halved": {"at": "content-half", "action": "close"},
    "leaves": {"at": "content", "answer": "421 4.3.2 going down"},
}
RULES: list[dict[str, Any]] = [
    {"match": "lonely", "at": "rcpt", "answer": "550 5.1.1 no such user"},
    *({"match": name, **rule} for name, rule in {**REFUSALS, **BREAKS}.items()),
]


@pytest.fixture(scope="module", params=[True, False], ids=["pipelined", "one-by-one"])
def recorder(request: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmtpRecorder]:
    folder = tmp_path_factory.mktemp("smtp")
    with SmtpRecorder(folder, RULES, pipelining=request.param) as running:
        yield running


def _transport(port: int, timeout_s: float = 5) -> SmtpTransport:
    values = {"SMTP_HOST": "127.0.0.1", "SMTP_PORT": port, "SMTP_TIMEOUT_S": timeout_s}
    transport = SmtpTransport(Settings().changed(**values), "shop@shop.example")
    transport.connect()
    return transport


def _parcel(name: str) -> Parcel:
    content = f"Message-ID: <{uuid4()}>\r\n\r\n.{name}\r\n..\r\n.".encode()
    return Parcel(uuid4(), f"{name}-{uuid4().hex}@example.com", content, "d")


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(names=st.lists(st.sampled_from(["fine", "fine", "fine", *REFUSALS, *BREAKS]), max_size=9))
def test_each_answer_belongs_to_its_message_and_what_has_none_did_not_leave(
    recorder: SmtpRecorder, names: list[str]
) -> None:
    parcels = [_parcel(name) for name in names]
    transport = _transport(recorder.port)
    outcomes = list(transport.send(iter(parcels)))
    transport.close()
    answered = next((place for place, name in enumerate(names) if name in BREAKS), len(names) - 1)
    assert len(outcomes) == answered + 1
    for name, outcome in zip(names, outcomes, strict=False):
        if name == "fine":
            assert str(outcome).startswith("250 ")
            continue
        assert isinstance(outcome, TransportError)
        assert outcome.content_begun == (name in ("vanish", "halved"))
        assert outcome.broken == (name in ("cutoff", "vanish", "halved"))
        assert outcome.permanent == (name in ("nobody", "lonely", "spammy"))
        assert outcome.address_invalid == (name in ("nobody", "lonely"))
    taken = {message["rcpt"][0] for message in recorder.messages()}
    for place, parcel in enumerate(parcels):
        assert (parcel.to_addr in taken) == (place <= answered and names[place] == "fine")


def test_what_is_sent_arrives_byte_for_byte(tmp_path: Path) -> None:
    import base64

    bodies = [b".\r\n", b"..\r\n", b"a\r\n.\r\nb\r\n", b"\r\n", b"no end", b"x\r\n" * 20_000]
    with SmtpRecorder(tmp_path, keep_content=True) as recorder:
        transport = _transport(recorder.port)
        parcels = [Parcel(uuid4(), "a@example.com", b"X: y\r\n\r\n" + body, "d") for body in bodies]
        assert all(isinstance(answer, str) for answer in transport.send(iter(parcels)))
        transport.close()
        received = [base64.b64decode(one["content"]) for one in recorder.messages()]
    wanted = [parcel.content for parcel in parcels]
    assert [content.rstrip(b"\r\n") for content in received] == [
        content.rstrip(b"\r\n") for content in wanted
    ]


class _Odd:
    """A server that says what it is told to, byte by byte."""

    def __init__(
        self, said: list[bytes], byte_s: float = 0.0, offers: Sequence[str] = ("PIPELINING",)
    ) -> None:
        self._said, self._byte_s, self._offers = said, byte_s, offers
        self.heard = b""
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        connection, _ = self._socket.accept()
        with connection:
            connection.sendall(b"220 odd\r\n")
            connection.recv(1000)
            lines = ["odd", *self._offers]
            said = [f"250{' ' if line == lines[-1] else '-'}{line}\r\n" for line in lines]
            connection.sendall("".join(said).encode())
            for text in self._said:
                self.heard += connection.recv(100_000)
                for place in range(0, len(text), 1 if self._byte_s else len(text)):
                    try:
                        connection.sendall(text[place : place + (1 if self._byte_s else len(text))])
                    except OSError:
                        return
                    time.sleep(self._byte_s)
            while connection.recv(100_000):
                pass

    def __enter__(self) -> _Odd:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()
        self._thread.join(5)


@pytest.mark.parametrize(
    "said",
    [b"hello\r\n", b"999 no\r\n", b"25\r\n", b"250 ok\r\n250 ok\r\n250 not 354\r\n", b"250-x\r\n" * 20_000, b"2" * 70_000],
)  # fmt: skip
def test_what_is_no_smtp_breaks_the_connection_and_nothing_has_left(said: bytes) -> None:
    with _Odd([said]) as server:
        transport = _transport(server.port, 2)
        (outcome,) = transport.send(iter([_parcel("a"), _parcel("b")]))
        assert isinstance(outcome, TransportError)
        assert outcome.broken
        assert not outcome.content_begun
        assert not transport.connected
        transport.close()


def test_a_reply_of_a_byte_a_second_has_no_more_time_than_another() -> None:
    with _Odd([b"250 ok\r\n250 ok\r\n354 go\r\n"], byte_s=0.3) as server:
        transport = _transport(server.port, 1)
        started = time.monotonic()
        (outcome,) = transport.send(iter([_parcel("a")]))
        assert isinstance(outcome, TransportError)
        assert outcome.broken
        assert time.monotonic() - started < 4
        transport.close()


@pytest.mark.parametrize(
    ("address", "wire"),
    [("ann@bücher.example", "ann@xn--bcher-kva.example"), ("zoë@example.com", "zoë@example.com")],
)
def test_an_international_address_is_written_as_its_server_takes_it(
    tmp_path: Path, address: str, wire: str
) -> None:
    with SmtpRecorder(tmp_path) as recorder:
        transport = _transport(recorder.port)
        (outcome,) = transport.send(iter([Parcel(uuid4(), address, b"X: y\r\n\r\nz\r\n", "d")]))
        assert isinstance(outcome, str)
        transport.close()
        assert recorder.messages()[0]["rcpt"] == [wire]


EIGHT_BIT, UTF8 = "8BITMIME", "SMTPUTF8"


@pytest.mark.parametrize(
    ("offers", "to", "header", "options"),
    [
        ([EIGHT_BIT, UTF8], "ann@example.com", "To: ann", ""),
        ([EIGHT_BIT, UTF8], "zoë@example.com", "To: zoë", " SMTPUTF8 BODY=8BITMIME"),
        ([EIGHT_BIT], "ann@example.com", "X: zoë", " BODY=8BITMIME"),
        ([UTF8], "ann@example.com", "X: zoë", ""),
    ],
)
def test_eight_bits_are_announced_where_they_are_offered_and_needed(
    offers: list[str], to: str, header: str, options: str
) -> None:
    said = [b"250 ok\r\n250 ok\r\n354 go\r\n", b"250 taken\r\n"]
    with _Odd(said, offers=["PIPELINING", *offers]) as server:
        transport = _transport(server.port, timeout_s=0.5)
        content = f"{header}\r\n\r\nz=C3=AB\r\n".encode()
        assert list(transport.send(iter([Parcel(uuid4(), to, content, "d")]))) == ["250 taken"]
        transport.close()
        (mail,) = [line for line in server.heard.split(b"\r\n") if line.startswith(b"MAIL")]
    assert mail.decode() == f"MAIL FROM:<shop@shop.example>{options}"


def test_without_smtputf8_one_address_is_refused_and_the_rest_goes_out() -> None:
    envelope, taken = b"250 ok\r\n250 ok\r\n354 go\r\n", b"250 taken\r\n"
    with _Odd([envelope, taken, envelope, taken]) as server:
        transport = _transport(server.port, timeout_s=0.5)  # it has no answer to QUIT
        parcels = [_parcel("a"), _parcel("zoë"), _parcel("c")]
        first, second, third = transport.send(iter(parcels))
        assert (first, third) == ("250 taken", "250 taken")
        assert isinstance(second, TransportError)
        assert second.permanent
        transport.close()


def test_who_refuses_and_then_leaves_has_refused() -> None:
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.sendall(b"220 odd\r\n")
            connection.recv(1000)
            connection.sendall(b"250-odd\r\n250 PIPELINING\r\n")
            connection.recv(100_000)
            connection.sendall(b"250 ok\r\n550 5.1.1 nobody\r\n503 no\r\n")

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    transport = _transport(listener.getsockname()[1])
    (outcome,) = transport.send(iter([_parcel("a"), _parcel("b")]))
    thread.join(5)
    listener.close()
    assert isinstance(outcome, TransportError)
    assert (outcome.permanent, outcome.address_invalid, outcome.broken) == (True, True, False)
    assert not transport.connected
    transport.close()
