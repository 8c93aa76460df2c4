"""The recording mail server that the kill and fault tests stand on."""

from __future__ import annotations

import base64
import hashlib
import smtplib
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from tests.parts import system_program
from tests.servers.smtp_recorder import SmtpRecorder

HEAD = "Message-ID: <m1@example.com>\r\nSubject: Grüße 🎉\r\n\r\n".encode()
MAIL = HEAD + b"..two dots\r\n.\r\nend\r\n"
ENVELOPE = b"MAIL FROM:<shop@example.com>\r\nRCPT TO:<ada@example.com>\r\nDATA\r\n"


def client(recorder: SmtpRecorder) -> smtplib.SMTP:
    return smtplib.SMTP("127.0.0.1", recorder.port, timeout=10)


def send(recorder: SmtpRecorder, *to: str, content: bytes = MAIL) -> dict[str, Any]:
    with client(recorder) as smtp:
        return smtp.sendmail("shop@example.com", to or ["ada@example.com"], content)


@contextmanager
def raw(recorder: SmtpRecorder) -> Iterator[tuple[socket.socket, BinaryIO]]:
    """A connection after EHLO, for saying exactly these bytes."""
    with (
        socket.create_connection(("127.0.0.1", recorder.port), timeout=10) as connection,
        connection.makefile("rb") as answers,
    ):
        connection.sendall(b"EHLO tests\r\n")
        while not answers.readline().startswith(b"250 "):
            pass
        yield connection, answers


def codes(answers: BinaryIO, count: int) -> list[int]:
    return [int(answers.readline()[:3]) for _ in range(count)]


def test_what_it_accepts_is_recorded(tmp_path: Path) -> None:
    with SmtpRecorder(tmp_path, keep_content=True) as recorder:
        before = time.time()
        send(recorder, "ada@example.com", "bob@example.com")
        [message] = recorder.messages()
    assert message["rcpt"] == ["ada@example.com", "bob@example.com"]
    assert message["mail_from"] == "shop@example.com"
    assert message["message_id"] == "<m1@example.com>"
    assert message["sha256"] == hashlib.sha256(MAIL).hexdigest()
    assert message["size_bytes"] == len(MAIL)
    assert base64.b64decode(message["content"]) == MAIL
    assert before <= message["time"] <= time.time()


def test_it_offers_what_bulk_senders_use(tmp_path: Path) -> None:
    with SmtpRecorder(tmp_path) as recorder, client(recorder) as smtp:
        smtp.ehlo()
        for extension in ("pipelining", "8bitmime", "smtputf8", "size"):
            assert smtp.has_extn(extension)
        assert not smtp.has_extn("auth")
        assert not smtp.has_extn("starttls")
        smtp.sendmail("shop@example.com", "алиса@пример.example", MAIL, ["SMTPUTF8"])
        assert recorder.messages()[0]["rcpt"] == ["алиса@пример.example"]


def test_content_and_the_next_envelope_may_travel_together(tmp_path: Path) -> None:
    with SmtpRecorder(tmp_path) as recorder, raw(recorder) as (connection, answers):
        connection.sendall(ENVELOPE)
        assert codes(answers, 3) == [250, 250, 354]
        for number in range(50):
            content = b"Message-ID: <%d@x>\r\n\r\n" % number
            connection.sendall(content + b".\r\n" + ENVELOPE)
            assert codes(answers, 4) == [250, 250, 250, 354]
        connection.sendall(b".\r\nQUIT\r\n")  # an empty mail
        assert codes(answers, 2) == [250, 221]
        ids = [message["message_id"] for message in recorder.messages()]
    assert ids == [f"<{number}@x>" for number in range(50)] + [None]


def test_a_message_in_small_pieces_is_whole(tmp_path: Path) -> None:
    wire = ENVELOPE + b"Subject: x\r\n\r\n..\r\n.\r\nNOOP\r\n"
    with SmtpRecorder(tmp_path) as recorder, raw(recorder) as (connection, answers):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in wire:
            connection.sendall(bytes([byte]))
        assert codes(answers, 5) == [250, 250, 354, 250, 250]
        [message] = recorder.messages()
    assert message["sha256"] == hashlib.sha256(b"Subject: x\r\n\r\n.\r\n").hexdigest()


def test_it_is_fast_enough(tmp_path: Path) -> None:
    count, content = 2000, HEAD + b"some words in a line\r\n" * 100
    with SmtpRecorder(tmp_path) as recorder, raw(recorder) as (connection, answers):
        connection.sendall(ENVELOPE)
        codes(answers, 3)
        begun = time.monotonic()
        for _ in range(count):
            connection.sendall(content + b".\r\n" + ENVELOPE)
            assert codes(answers, 4) == [250, 250, 250, 354]
        rate = count / (time.monotonic() - begun)
        assert len(recorder.messages()) == count
    assert rate > 500  # it reaches thousands; a busy machine must not make this fail


@pytest.mark.parametrize(
    ("at", "code"), [("mail", 450), ("rcpt", 451), ("data", 452), ("content", 554)]
)
def test_a_scripted_answer_is_given_and_nothing_recorded(
    tmp_path: Path, at: str, code: int
) -> None:
    rule = {"at": at, "answer": f"{code} 4.3.2 try later", "times": 1}
    with SmtpRecorder(tmp_path, [rule]) as recorder:
        with pytest.raises(smtplib.SMTPException) as refused:
            send(recorder)
        assert str(code) in str(refused.value)
        assert recorder.messages() == []
        send(recorder)  # once only
        assert len(recorder.messages()) == 1


def test_a_rule_is_for_some_recipients(tmp_path: Path) -> None:
    script = [
        {"match": "busy", "at": "rcpt", "answer": "451 4.3.2 try later"},
        {"match": "gone", "at": "rcpt", "answer": "550 5.1.1 no such user"},
    ]
    with SmtpRecorder(tmp_path, script) as recorder:
        refused = send(recorder, "busy@example.com", "ada@example.com", "gone@example.com")
        assert {address: answer[0] for address, answer in refused.items()} == {
            "busy@example.com": 451,
            "gone@example.com": 550,
        }
        assert recorder.messages()[0]["rcpt"] == ["ada@example.com"]


def test_a_rule_is_for_the_nth_message(tmp_path: Path) -> None:
    script = [{"at": "content", "nth": 2, "answer": "451 4.3.0 not this one"}]
    with SmtpRecorder(tmp_path, script) as recorder:
        send(recorder)
        with pytest.raises(smtplib.SMTPDataError):
            send(recorder)
        send(recorder)
        assert len(recorder.messages()) == 2


def test_421_at_connect(tmp_path: Path) -> None:
    script = [{"at": "connect", "answer": "421 4.3.2 too many connections", "times": 1}]
    with SmtpRecorder(tmp_path, script) as recorder:
        with pytest.raises(smtplib.SMTPConnectError) as refused:
            client(recorder)
        assert refused.value.smtp_code == 421
        send(recorder)


@pytest.mark.parametrize(("taken", "kept"), [(False, 0), (True, 1)])
def test_a_lost_answer(tmp_path: Path, taken: bool, kept: int) -> None:
    script = [{"at": "content", "action": "close", "record": taken}]
    with SmtpRecorder(tmp_path, script) as recorder:
        with pytest.raises(smtplib.SMTPServerDisconnected):
            send(recorder)
        assert len(recorder.messages()) == kept


@pytest.mark.parametrize("at", ["connect", "mail", "rcpt", "data", "content-half"])
def test_a_connection_dropped_anywhere(tmp_path: Path, at: str) -> None:
    with SmtpRecorder(tmp_path, [{"at": at, "action": "close", "times": 1}]) as recorder:
        with pytest.raises((smtplib.SMTPServerDisconnected, OSError)):
            send(recorder, content=MAIL + b"x\r\n" * 100)
        assert recorder.messages() == []
        send(recorder)


@pytest.mark.parametrize("at", ["connect", "rcpt", "content", "content-half"])
def test_a_server_that_says_nothing_more(tmp_path: Path, at: str) -> None:
    with SmtpRecorder(tmp_path, [{"at": at, "action": "hang"}]) as recorder:
        with (
            pytest.raises((TimeoutError, smtplib.SMTPServerDisconnected)),
            smtplib.SMTP("127.0.0.1", recorder.port, timeout=0.3) as smtp,
        ):
            smtp.sendmail("shop@example.com", ["ada@example.com"], MAIL + b"x\r\n" * 50)
        assert recorder.messages() == []


def test_a_slow_server(tmp_path: Path) -> None:
    with SmtpRecorder(tmp_path, [{"at": "data", "action": "slow", "seconds": 0.3}]) as recorder:
        begun = time.monotonic()
        send(recorder)
        assert time.monotonic() - begun >= 0.3
        assert len(recorder.messages()) == 1


def test_354_without_a_recipient_wants_a_lone_dot(tmp_path: Path) -> None:
    script = [
        {"at": "rcpt", "answer": "550 5.1.1 no such user"},
        {"at": "data", "answer": "354 go on all the same"},
    ]
    with SmtpRecorder(tmp_path, script) as recorder, raw(recorder) as (connection, answers):
        connection.sendall(ENVELOPE)
        assert codes(answers, 3) == [250, 550, 354]
        connection.sendall(b".\r\nNOOP\r\n")
        assert codes(answers, 2) == [554, 250]
        assert recorder.messages() == []


def test_a_kill_keeps_the_record_and_the_port(tmp_path: Path) -> None:
    with SmtpRecorder(tmp_path) as recorder:
        port = recorder.port
        send(recorder)
        with client(recorder) as smtp:
            recorder.kill()
            with pytest.raises((smtplib.SMTPServerDisconnected, OSError)):
                smtp.sendmail("shop@example.com", ["ada@example.com"], MAIL)
        with pytest.raises(ConnectionRefusedError):
            client(recorder)
        recorder.restart()
        assert recorder.port == port
        send(recorder)
        assert len(recorder.wait_for(2)) == 2
        with pytest.raises(TimeoutError):
            recorder.wait_for(3, timeout_s=0.05)


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
def test_auth(tmp_path: Path, mechanism: str) -> None:
    with SmtpRecorder(tmp_path, auth="shop:s3cret:") as recorder, client(recorder) as smtp:
        smtp.ehlo()
        assert smtp.esmtp_features["auth"].split() == ["PLAIN", "LOGIN"]
        assert smtp.mail("shop@example.com")[0] == 530
        smtp.user, smtp.password = "shop", "wrong"
        attempt = smtp.auth_plain if mechanism == "PLAIN" else smtp.auth_login
        with pytest.raises(smtplib.SMTPAuthenticationError):
            smtp.auth(mechanism, attempt)
        smtp.password = "s3cret:"
        assert smtp.auth(mechanism, attempt)[0] == 235
        smtp.sendmail("shop@example.com", ["ada@example.com"], MAIL)
        assert recorder.messages()[0]["user"] == "shop"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("tls")
    cert, key = folder / "cert.pem", folder / "key.pem"
    command = [str(system_program(("openssl",), package="openssl")), "req", "-x509", "-nodes"]
    command += ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-days", "2"]
    command += ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    command += ["-out", str(cert), "-keyout", str(key)]
    subprocess.run(command, check=True, capture_output=True)
    return cert, key


def test_starttls_hides_auth_until_it_is_done(
    tmp_path: Path, certificate: tuple[Path, Path]
) -> None:
    trust = ssl.create_default_context(cafile=certificate[0])
    with (
        SmtpRecorder(tmp_path, auth="shop:s3cret", starttls=certificate) as recorder,
        smtplib.SMTP("localhost", recorder.port, timeout=10) as smtp,
    ):
        smtp.ehlo()
        assert not smtp.has_extn("auth")
        smtp.starttls(context=trust)
        smtp.ehlo()
        assert not smtp.has_extn("starttls")
        smtp.login("shop", "s3cret")
        smtp.sendmail("shop@example.com", ["ada@example.com"], MAIL)
        [message] = recorder.messages()
    assert (message["tls"], message["user"]) == (True, "shop")


def test_a_rule_with_a_typing_error_does_not_start(tmp_path: Path) -> None:
    for rule in ({"at": "rpct"}, {"at": "rcpt", "action": "sulk"}, {"at": "rcpt", "tmies": 1}):
        with pytest.raises((TypeError, ValueError)), SmtpRecorder(tmp_path, [rule]):
            pass
