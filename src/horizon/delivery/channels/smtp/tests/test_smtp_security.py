"""Sign-in and TLS against a real server: verified, or not at all."""

from __future__ import annotations

import socket
import ssl
import subprocess
import threading
from pathlib import Path
from uuid import uuid4

import pytest

from horizon.delivery.channels.smtp import transport
from horizon.delivery.channels.smtp.transport import SmtpTransport
from horizon.delivery.ports import Parcel
from horizon.errors import TransportError
from horizon.settings import Settings
from tests.parts import system_program
from tests.servers.smtp_recorder import SmtpRecorder

SENDER, READER = "shop@shop.example", "ann@example.com"
MAIL = b"Subject: x\r\n\r\n.a line that begins with a dot\r\n..and one with two\r\n"


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    openssl = system_program(["openssl"], "openssl")
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    subprocess.run(
        [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-keyout", key,
         "-out", cert, "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"],
        check=True, capture_output=True,
    )  # fmt: skip
    return cert, key


def _transport(recorder: SmtpRecorder | _Injecting, **more: object) -> SmtpTransport:
    values = {"SMTP_HOST": "127.0.0.1", "SMTP_PORT": recorder.port, "SMTP_TIMEOUT_S": 5, **more}
    return SmtpTransport(Settings().changed(**values), SENDER)


def _send(channel: SmtpTransport, to_addr: str = READER) -> str:
    try:
        channel.connect()
        (outcome,) = channel.send(iter([Parcel(uuid4(), to_addr, MAIL, "digest")]))
    finally:
        channel.close()
    if isinstance(outcome, TransportError):
        raise outcome
    return outcome


def test_signed_in_it_sends(tmp_path: Path) -> None:
    with SmtpRecorder(tmp_path, auth="shop:secret") as recorder:
        assert _send(_transport(recorder, SMTP_USER="shop", SMTP_PASSWORD="secret")).startswith(
            "250 "
        )
        assert len(recorder.messages()) == 1


@pytest.mark.parametrize("who", [{}, {"SMTP_USER": "shop", "SMTP_PASSWORD": "guess-7"}])
def test_not_signed_in_nothing_leaves_and_no_message_is_blamed(
    tmp_path: Path, who: dict[str, str]
) -> None:
    with SmtpRecorder(tmp_path, auth="shop:secret") as recorder:
        with pytest.raises(TransportError, match="SMTP_USER") as refused:
            _send(_transport(recorder, **who))
        assert refused.value.away
        assert "guess-7" not in str(refused.value)
        assert recorder.messages() == []


def test_a_certificate_nobody_vouches_for_is_refused(
    tmp_path: Path, certificate: tuple[Path, Path]
) -> None:
    with SmtpRecorder(tmp_path, starttls=certificate) as recorder:
        with pytest.raises(TransportError, match=r"certificate|CERTIFICATE"):
            _send(_transport(recorder))
        assert recorder.messages() == []


def test_a_certificate_that_is_trusted_carries_the_password(
    tmp_path: Path, certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    monkeypatch.setattr(transport, "LOOPBACK", set())  # as if the server were far away
    with SmtpRecorder(tmp_path, auth="shop:secret", starttls=certificate) as recorder:
        assert _send(_transport(recorder, SMTP_USER="shop", SMTP_PASSWORD="secret")).startswith(
            "250 "
        )


def test_off_this_machine_no_password_travels_without_tls(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "LOOPBACK", set())
    with SmtpRecorder(tmp_path, auth="shop:secret") as recorder:
        with pytest.raises(TransportError, match="no TLS"):
            _send(_transport(recorder, SMTP_USER="shop", SMTP_PASSWORD="secret"))
        assert recorder.messages() == []


def test_an_address_outside_ascii_goes_where_it_is_taken(tmp_path: Path) -> None:
    with SmtpRecorder(tmp_path) as recorder:
        assert _send(_transport(recorder), "zoë@example.com").startswith("250 ")
        assert recorder.messages()[0]["rcpt"] == ["zoë@example.com"]


class _Injecting:
    """Offers STARTTLS, and after its 220 a reply in the clear, as who sits between may add it."""

    def __init__(self, certificate: tuple[Path, Path]) -> None:
        self._context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._context.load_cert_chain(*certificate)
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self.encrypted: list[bytes] = []
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> _Injecting:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()
        self._thread.join(10)

    def _serve(self) -> None:
        connection, _ = self._socket.accept()
        with connection:
            connection.sendall(b"220 here\r\n")
            connection.recv(1000)
            connection.sendall(b"250-here\r\n250 STARTTLS\r\n")
            connection.recv(1000)
            connection.sendall(b"220 go ahead\r\n250-here\r\n250 INJECTED\r\n")
            try:
                with self._context.wrap_socket(connection, server_side=True) as secure:
                    self._talk(secure)
            except OSError:
                pass

    def _talk(self, secure: ssl.SSLSocket) -> None:
        for answer in (
            b"250 here\r\n",
            b"250 ok\r\n",
            b"250 ok\r\n",
            b"354 go\r\n",
            b"250 taken\r\n",
        ):
            self.encrypted.append(secure.recv(100_000))
            secure.sendall(answer)
        secure.recv(1000)


def test_what_was_said_before_tls_is_forgotten(
    certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    with _Injecting(certificate) as server:
        transport = _transport(server)
        # Either the handshake fails of the added bytes, or nobody has read them.
        assert _send(transport) == "250 taken"
    assert server.encrypted[0].lower().startswith(b"ehlo ")
    assert server.encrypted[1].startswith(b"MAIL FROM:<shop@shop.example>\r\n")
