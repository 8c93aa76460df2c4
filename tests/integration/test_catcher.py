"""The local mail catcher: what is answered 250 is kept, byte for byte."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import smtplib
import socket
import stat
import threading
import time
from collections.abc import Callable, Iterator
from email.message import EmailMessage
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from horizon.catcher import MailStore
from horizon.catcher.message import split_envelope
from horizon.catcher.store import NoSuchMailError
from horizon.errors import HorizonError
from tests.servers.catcher import Catcher, launch

LINES = st.lists(
    st.one_of(
        st.binary(max_size=80).map(lambda line: line.replace(b"\r", b"").replace(b"\n", b"")),
        st.sampled_from([b"", b".", b"..", b". ", b"X-Horizon-Rcpt: eve@example.com"]),
    ),
    min_size=1,
    max_size=12,
)


@pytest.fixture(scope="module")
def catcher(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Catcher]:
    with Catcher(tmp_path_factory.mktemp("mail")) as running:
        yield running


@pytest.fixture
def store(tmp_path: Path) -> MailStore:
    return MailStore(tmp_path / "mail")


def content_of(raw: bytes) -> bytes:
    return split_envelope(raw)[1]


def newest(catcher: Catcher) -> bytes:
    return catcher.get(f"/api/mails/{catcher.mails()[0]['id']}/raw")[2]


@settings(max_examples=40, deadline=None)
@given(lines=LINES)
def test_a_mail_is_kept_byte_for_byte(catcher: Catcher, lines: list[bytes]) -> None:
    content = b"\r\n".join(lines) + b"\r\n"
    catcher.send(content)
    assert content_of(newest(catcher)) == content


def test_the_envelope_stands_in_front_and_cannot_be_forged(catcher: Catcher) -> None:
    content = (
        b"Subject: hello\r\nX-Horizon-Rcpt: eve@example.com\r\n"
        b"To: nobody@example.com\r\nMessage-ID: <m1@example.com>\r\n\r\nhello\r\n"
    )
    catcher.send(content, to=["ada@example.com", "hidden@example.com"])
    mail = catcher.mails()[0]
    assert mail["to"] == ["ada@example.com", "hidden@example.com"]
    assert mail["from"] == "shop@example.com"
    assert mail["subject"] == "hello"
    assert mail["message_id"] == "<m1@example.com>"
    raw = newest(catcher)
    assert mail["size_bytes"] == len(raw)
    assert raw.startswith(
        b"X-Horizon-From: shop@example.com\r\nX-Horizon-Rcpt: ada@example.com\r\n"
        b"X-Horizon-Rcpt: hidden@example.com\r\nX-Horizon-Received: 20"
    )


def test_a_control_character_in_an_address_begins_no_header(store: MailStore) -> None:
    mail_id = store.add(b"\r\nhello\r\n", "a\r\nSubject: forged", ["b\rBcc: c"])
    envelope = split_envelope(store.raw(mail_id))[0]
    assert [line.partition(b":")[0] for line in envelope.splitlines()] == [
        b"X-Horizon-From",
        b"X-Horizon-Rcpt",
        b"X-Horizon-Received",
    ]


def test_eight_bits_emoji_and_international_addresses(catcher: Catcher) -> None:
    mail = EmailMessage()
    mail["From"], mail["To"] = "shop@example.com", "алиса@пример.example"
    mail["Subject"] = "Zurück? 🎉"
    mail.set_content("Schön 🎉\n", cte="8bit")
    with catcher.smtp() as client:
        client.ehlo()
        assert client.has_extn("smtputf8")
        assert client.has_extn("8bitmime")
        client.send_message(mail)
    seen = catcher.mails()[0]
    assert (seen["subject"], seen["to"]) == ("Zurück? 🎉", ["алиса@пример.example"])
    assert "Schön 🎉".encode() in newest(catcher)
    parsed = MailStore(catcher.folder).read(seen["id"])
    assert parsed["To"] == parsed["X-Horizon-Rcpt"] == "алиса@пример.example"
    assert parsed.get_content().strip() == "Schön 🎉"


def test_a_bounce_has_an_empty_sender(catcher: Catcher) -> None:
    with catcher.smtp() as client:
        client.sendmail("", ["ada@example.com"], b"Subject: bounced\r\n\r\n")
    assert catcher.mails()[0]["subject"] == "bounced"


def test_kill_after_250_loses_nothing(tmp_path: Path) -> None:
    with Catcher(tmp_path) as victim, victim.smtp() as client:
        for number in range(20):
            client.sendmail("a@example.com", ["b@example.com"], f"Subject: {number}\r\n\r\n")
        victim.end(signal.SIGKILL)
        client.close()
    with Catcher(tmp_path) as again:
        assert [mail["subject"] for mail in again.mails()] == [str(n) for n in range(19, -1, -1)]


def test_the_file_and_its_name_are_on_disk_before_the_answer(
    store: MailStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []
    fsync, rename = os.fsync, Path.rename

    def note_fsync(descriptor: int) -> None:
        steps.append("folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file")
        fsync(descriptor)

    def note_rename(path: Path, target: Path) -> Path:
        steps.append("rename")
        return rename(path, target)

    monkeypatch.setattr(os, "fsync", note_fsync)
    monkeypatch.setattr(Path, "rename", note_rename)
    store.add(b"hello\r\n", "a@example.com", ["b@example.com"])
    assert steps == ["file", "rename", "folder"]


def test_a_stop_keeps_exactly_what_was_answered(tmp_path: Path) -> None:
    answered: list[int] = []

    def send_until_refused(catcher: Catcher) -> None:
        with contextlib.suppress(smtplib.SMTPException, OSError), catcher.smtp() as client:
            while True:
                client.sendmail("a@example.com", ["b@example.com"], b"Subject: x\r\n\r\nx\r\n")
                answered.append(1)

    with Catcher(tmp_path) as catcher:
        senders = [threading.Thread(target=send_until_refused, args=(catcher,)) for _ in range(3)]
        for sender in senders:
            sender.start()
        while len(answered) < 30:
            time.sleep(0.01)
        code, _, complaints = catcher.end(signal.SIGTERM)
        for sender in senders:
            sender.join()
    assert (code, complaints) == (0, "")
    assert MailStore(tmp_path).count() == len(answered)


def test_ctrl_c_stops_it_too(tmp_path: Path) -> None:
    with Catcher(tmp_path) as catcher:
        code, printed, complaints = catcher.end(signal.SIGINT)
    assert (code, printed, complaints) == (0, "", "")


def test_no_space_is_answered_452_and_nothing_is_kept(tmp_path: Path) -> None:
    big = b"Subject: big\r\n\r\n" + b"x" * 70 + b"\r\n" * 4000
    with Catcher(tmp_path) as catcher:
        old = resource.prlimit(catcher.process.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(catcher.process.pid, resource.RLIMIT_FSIZE, (2000, old[1]))
        with pytest.raises(smtplib.SMTPDataError) as refused:
            catcher.send(big)
        assert refused.value.smtp_code == 452
        assert list(tmp_path.iterdir()) == []
        resource.prlimit(catcher.process.pid, resource.RLIMIT_FSIZE, old)
        catcher.send(big)
        assert content_of(newest(catcher)) == big


def test_a_mail_above_25_mb_is_refused_before_it_is_sent(catcher: Catcher) -> None:
    with catcher.smtp() as client:
        client.ehlo()
        assert client.esmtp_features["size"] == str(25 * 1024 * 1024)
        code, _ = client.mail("a@example.com", [f"SIZE={25 * 1024 * 1024 + 1}"])
        assert code == 552


def test_ids_sort_by_arrival_even_when_the_clock_stands_still(
    store: MailStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "time_ns", lambda: 1_790_000_000_000_000_000)
    ids = [store.add(b"\r\n", "a", ["b"]) for _ in range(5)]
    assert [mail.id for mail in store.list()] == ids[::-1]


@pytest.mark.parametrize("mail_id", ["../../etc/passwd", "", "x", "1" * 20 + "-0000000g", "a/b"])
def test_the_store_opens_nothing_but_mails(store: MailStore, mail_id: str) -> None:
    with pytest.raises(NoSuchMailError):
        store.raw(mail_id)


@pytest.mark.parametrize("taken", ["smtp", "page"])
def test_a_port_in_use_is_one_sentence(
    tmp_path: Path, free_port: Callable[[], int], taken: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        ports = {"smtp": free_port(), "page": free_port(), taken: other.getsockname()[1]}
        options = [f"--{name}-port={port}" for name, port in ports.items()]
        process = launch(tmp_path, "--smtp-port", "0", *options)
        printed, complaint = process.communicate(timeout=20)
    assert (process.returncode, printed) == (1, "")
    assert complaint == (
        f"the mail catcher cannot start, port {ports[taken]} is in use: stop the program that "
        f"listens there or set CATCHER_{taken.upper()}_PORT to a free port.\n"
    )


def test_an_unusable_folder_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(HorizonError, match="make it a folder that you may write to"):
        MailStore(tmp_path / "file")
