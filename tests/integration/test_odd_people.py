"""Odd names and addresses, from the event to the mail that arrives: each handled, none in the way."""

from __future__ import annotations

import email
import email.policy
from base64 import b64decode
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest

from horizon.events.rejection import Rejected
from horizon.pipeline import outgoing
from tests.servers.smtp_recorder import SmtpRecorder
from tests.world import DAY, World

HEADERS = {
    "From", "To", "Subject", "Date", "Message-ID", "List-Unsubscribe", "List-Unsubscribe-Post",
    "MIME-Version", "Content-Type", "Feedback-ID",
}  # fmt: skip

# A first name, and what the mail calls its bearer; None: what becomes of the mail is no mail.
NAMES: dict[str, tuple[str, str | None]] = {
    "crlf": ("Ann\r\nBcc: all@example.com\r\n\r\nhello", "Ann Bcc: all@example.com hello"),
    "lf": ("Ann\nX-Evil: 1", "Ann X-Evil: 1"),
    "cr": ("Ann\rX-Evil: 1", "Ann X-Evil: 1"),
    "rtl": ("שלום", "שלום"),
    "arabic": ("عبد الرحمن", "عبد الرحمن"),
    "override": ("Ann\u202egpj.exe", "Ann gpj.exe"),
    "emoji": ("Zoë 👩‍👩‍👧‍👦🏳️‍🌈", "Zoë 👩‍👩‍👧‍👦🏳️‍🌈"),
    "combining": ("Z" + "\u0301" * 40, "Z" + "\u0301" * 40),
    "encoded": ("=?utf-8?q?=0D=0ABcc=3A_all=40example.com?=", "=?utf-8?q?=0D=0ABcc=3A_all=40example.com?="),
    "html": ("<script>alert(1)</script>", "<script>alert(1)</script>"),
    "jinja": ("{{ 7 * 7 }}{% raw %}", "{{ 7 * 7 }}{% raw %}"),
    "dot": (".\r\n.\r\nQUIT", ". . QUIT"),
    "separators": ("Ann\u2028Bcc: x\u0085y", "Ann Bcc: x y"),
    "long": ("x" * 15_000, None),
    "emojis": ("😀" * 4_900, "😀" * 100),
    "blank": ("   ", ""),
    "percent": ("%s%n%(name)s", "%s%n%(name)s"),
    "nul": ("Ann\x00Lee", "Ann\ufffdLee"),
    "escape": ("\x1b[2J\x07Ann", "[2J Ann"),
}  # fmt: skip

# An address, and whom the server hears of (None: skipped as no address).
ADDRESSES: dict[str, tuple[str, str | None]] = {
    "plain": ("ann.lee+news@example.com", "ann.lee+news@example.com"),
    "spaces": ("  spaces@example.com ", "spaces@example.com"),
    "capitals": ("Ann.Capital@EXAMPLE.com", "Ann.Capital@EXAMPLE.com"),
    "dash": ("-a@example.com", "-a@example.com"),
    "apostrophe": ("o'brien@example.com", "o'brien@example.com"),
    "percent": ("user%evil.example@example.com", "user%evil.example@example.com"),
    "bang": ("evil.example!user@example.com", "evil.example!user@example.com"),
    "64": ("x" * 64 + "@example.com", "x" * 64 + "@example.com"),
    "idn": ("ann@bücher.example", "ann@xn--bcher-kva.example"),
    "sharp-s": ("ann@faß.example", "ann@xn--fa-hia.example"),
    "smtputf8": ("zoë@example.com", "zoë@example.com"),
    "both": ("王@例え.jp", "王@xn--r8jz45g.jp"),
    "emoji": ("😀@example.com", "😀@example.com"),
    "one-label": ("a@b", None),
    "two-ats": ("a@@b.example", None),
    "two-ats-apart": ("a@b@c.example", None),
    "quoted": ('"quoted"@example.com', None),
    "quoted-space": ('"a b"@example.com', None),
    "literal": ("a@[127.0.0.1]", None),
    "digits": ("a@127.0.0.1", None),
    "65": ("x" * 65 + "@example.com", None),
    "65-bytes": ("é" * 33 + "@example.com", None),
    "trailing-dot": ("a@example.com.", None),
    "leading-dot": (".a@example.com", None),
    "dot-before-at": ("a.@example.com", None),
    "two-dots": ("a@example..com", None),
    "two-dots-local": ("a..b@example.com", None),
    "label-dash": ("a@-x.example", None),
    "label-dash-end": ("a@x-.example", None),
    "label-64": ("a@" + "b" * 64 + ".example", None),
    "comment": ("a(comment)@example.com", None),
    "space": ("a b@example.com", None),
    "angle": ("Ann <a@example.com>", None),
    "list": ("a@example.com, b@example.com", None),
    "route": ("<@evil.example:a@example.com>", None),
    "crlf": ("a@example.com\r\nRCPT TO:<b@example.com>", None),
    "nbsp": ("a\u00a0b@example.com", None),
    "invisible": ("a\u200bb@example.com", None),
    "override": ("a\u202e@example.com", None),
    "port": ("a@example.com:25", None),
    "mailto": ("mailto:a@example.com", None),
    "backslash": ("a\\b@example.com", None),
    "255": ("x" * 60 + "@" + ("y" * 60 + ".") * 3 + "example.com", None),
    "empty": ("", None),
    "at": ("@", None),
}  # fmt: skip


def _arrived(world: World, folder: Path) -> dict[str, EmailMessage]:
    """By the envelope's address, what came of one campaign."""
    world.score()
    world.alert()
    world.plan()
    with SmtpRecorder(folder, keep_content=True) as recorder:
        changed = world.horizon.settings.changed(SMTP_HOST="127.0.0.1", SMTP_PORT=recorder.port)
        one = world.horizon
        outgoing.send(type(one)(changed, one.database, one.keys, one.log, one.lines))
        received = recorder.messages()
    assert all(len(mail["rcpt"]) == 1 for mail in received)
    return {mail["rcpt"][0]: _whole(b64decode(mail["content"])) for mail in received}


def _whole(content: bytes) -> EmailMessage:
    """A mail whose lines and headers are as they should be."""
    assert b"\r" not in content.replace(b"\r\n", b"")
    assert b"\n" not in content.replace(b"\r\n", b"")
    assert max(map(len, content.split(b"\r\n"))) <= 998
    head = content.partition(b"\r\n\r\n")[0]
    # No byte above 127 stands in a header but of an address that cannot be written without.
    assert all(line.isascii() for line in head.split(b"\r\n") if not line.startswith(b"To: "))
    mail = email.message_from_bytes(content, policy=email.policy.SMTPUTF8)
    assert isinstance(mail, EmailMessage)
    assert sorted(mail.keys()) == sorted(HEADERS)
    assert not mail.defects
    assert not any(part.defects for part in mail.walk())
    return mail


def _states(world: World) -> dict[str, tuple[str, str | None]]:
    rows = world.rows("SELECT user_id, status, reason FROM notifications_log")
    return {row.user_id: (row.status, row.reason) for row in rows}


def _person(world: World, user: str, address: str, **traits: Any) -> None:
    world.put(
        world.identify(user, 25 * DAY, email=address, consent=True, **traits),
        world.track(user, 13 * DAY),
    )


def test_a_name_is_a_name_whatever_stands_in_it(world: World, tmp_path: Path) -> None:
    for user, (name, _) in NAMES.items():
        _person(world, user, f"{user}@example.com", first_name=name)
    arrived = _arrived(world, tmp_path)
    states = _states(world)
    for user, (_, called) in NAMES.items():
        if called is None:
            assert states[user] == ("failed", "template"), user
            assert f"{user}@example.com" not in arrived
            continue
        assert states[user] == ("sent", None), user
        mail = arrived[f"{user}@example.com"]
        assert str(mail["To"]) == f"{user}@example.com"
        assert called in str(mail["Subject"]), user
        plain = mail.get_body(("plain",))
        assert plain is not None
        assert called[:50] in plain.get_content().replace("\r\n", "\n"), user
    html = arrived["html@example.com"].get_body(("html",))
    assert html is not None
    assert "<script>" not in html.get_content()
    assert len(arrived) == len(NAMES) - 1


@pytest.mark.parametrize(
    ("name", "why"),
    [("x" * 65_536, "bytes"), ("Ann\ud800", "JSON"), ("\udc00\ud800", "JSON")],
    ids=["64-KB", "lone-surrogate", "swapped-surrogates"],
)
def test_a_name_that_cannot_be_kept_is_refused_at_the_door(
    world: World, tmp_path: Path, name: str, why: str
) -> None:
    _person(world, "ann", "ann@example.com", first_name="Ann")
    with pytest.raises(Rejected, match=why):
        _person(world, "odd", "odd@example.com", first_name=name)
    assert set(_arrived(world, tmp_path)) == {"ann@example.com"}


def test_an_address_gets_a_mail_or_a_reason(world: World, tmp_path: Path) -> None:
    for user, (address, _) in ADDRESSES.items():
        _person(world, user, address, first_name=user)
    arrived = _arrived(world, tmp_path)
    states = _states(world)
    for user, (_, wire) in ADDRESSES.items():
        if wire is None:
            assert states[user] in {("skipped", "invalid_address"), ("skipped", "no_address")}, user
        else:
            assert states[user] == ("sent", None), user
            assert str(arrived[wire]["To"]) == wire, user
            assert user in str(arrived[wire]["Subject"]), user
    assert set(arrived) == {wire for _, wire in ADDRESSES.values() if wire is not None}
