"""Mails through a real server, Debian's Postfix: taken, queued, bounced, and read back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from email.message import EmailMessage
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from horizon import clock, links
from horizon.delivery.feedback import record_feedback
from horizon.pipeline import outgoing
from horizon.postgres.database import Role
from tests.parts import certificate
from tests.servers.postfix import DOMAIN, IDN_DOMAIN, SENDER, Postfix
from tests.world import World

pytestmark = pytest.mark.slow

USERS = [f"u{number}@{DOMAIN}" for number in range(20)]


def _sending(world: World, postfix: Postfix, **more: Any) -> World:
    return world.sending(postfix.port, **{
        "SMTP_CONNECTIONS": 2, "SMTP_TIMEOUT_S": 30, "MAIL_FROM": f"Käthe & Söhne <{SENDER}>",
        **more,
    })  # fmt: skip


def _rows(world: World) -> dict[str, Any]:
    rows = world.rows("SELECT message_id, to_addr, status, reason, answer FROM notifications_log")
    return {row.to_addr: row for row in rows}


def _check(world: World, mail: EmailMessage, message_id: UUID, to: str) -> None:
    """Every header that we wrote, as it was written."""
    assert mail["Return-Path"] == f"<{SENDER}>"
    assert mail["From"].addresses[0].addr_spec == SENDER
    assert mail["From"].addresses[0].display_name == "Käthe & Söhne"
    assert str(mail["To"]) == to
    assert to.partition("@")[0].title() in mail["Subject"]
    assert mail["Message-ID"] == f"<{message_id}@shop.example>"
    assert abs((mail["Date"].datetime - clock.now()).total_seconds()) < 600
    assert mail["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    token = str(mail["List-Unsubscribe"]).strip("<>").rpartition("/")[2]
    assert links.verify([world.horizon.keys.link], token) == (message_id, "unsubscribe")
    assert mail["Feedback-ID"] == "miss_you:shop.example:campaign:horizon"
    assert mail["MIME-Version"] == "1.0"
    assert [part.get_content_type() for part in mail.walk()] == [
        "multipart/alternative", "text/plain", "text/html",
    ]  # fmt: skip
    assert not any(part.defects for part in mail.walk())
    for part in mail.iter_parts():
        assert isinstance(part, EmailMessage)
        assert to.partition("@")[0].title() in part.get_content()


def test_mails_are_read_back_as_they_were_written(
    world: World, free_port: Callable[[], int]
) -> None:
    international = [f"zoë@{DOMAIN}", f"王@{IDN_DOMAIN}"]
    with Postfix(free_port(), [*USERS, *international]) as postfix:
        world = _sending(world, postfix)
        addresses = [*USERS, f"zoë@{DOMAIN}", "王@bücher.example"]
        assert world.planned(*addresses) == len(addresses)
        outgoing.send(world.horizon)
        outgoing.send(world.horizon)
        rows = _rows(world)
        assert {row.status for row in rows.values()} == {"sent"}
        for address, row in rows.items():
            arrives_at = address.replace("bücher.example", IDN_DOMAIN)
            postfix.wait_for(arrives_at)
            (mail,) = postfix.mails(arrives_at)
            _check(world, mail, row.message_id, arrives_at)
            assert row.answer.startswith("250 2.0.0 Ok: queued as ")
        assert postfix.queue() == []
        # A group over each connection, pipelined: not a connection a mail.
        assert postfix.log().count(": connect from") <= 4


def test_an_unknown_user_bounces_and_is_never_written_to_again(
    world: World, free_port: Callable[[], int]
) -> None:
    """More of them than Postfix bears in one session (smtpd_hard_error_limit): it says 421."""
    nobody = [f"nobody{number}@{DOMAIN}" for number in range(25)]
    with Postfix(free_port(), USERS) as postfix:
        world = _sending(world, postfix, SMTP_CONNECTIONS=1)
        addresses = [*USERS, *nobody]
        assert world.planned(*addresses) == len(addresses)
        for _ in range(3):
            outgoing.send(world.horizon)
            world.rows("UPDATE outbox SET due_at = now() RETURNING 1")
        rows = _rows(world)
        for user in USERS:
            assert rows[user].status == "sent", rows[user]
            assert len(postfix.wait_for(user)) == 1
        for user in nobody:
            assert (rows[user].status, rows[user].reason) == ("bounced", "address_invalid")
            assert rows[user].answer.startswith("550 5.1.1 ")
            assert "nobody" not in rows[user].answer
        assert Counter(row.reason for row in world.rows("SELECT reason FROM suppressions")) == {
            "hard_bounce": len(nobody)
        }
        refused = world.rows(
            "SELECT r.reason FROM messages m, refusal(m.profile_id, m.address_hash, m.domain,"
            " 'marketing', 'email', now()) r WHERE m.status = 'bounced'"
        )
        assert {row.reason for row in refused} == {"hard_bounce"}


def test_what_bounces_after_it_was_taken_and_what_waits_in_the_queue(
    world: World, free_port: Callable[[], int]
) -> None:
    gone, later = f"gone@{DOMAIN}", f"later@{DOMAIN}"
    with Postfix(free_port(), USERS, [gone], [later]) as postfix:
        world = _sending(world, postfix)
        addresses = [*USERS, gone, later]
        assert world.planned(*addresses) == len(addresses)
        outgoing.send(world.horizon)
        rows = _rows(world)
        assert {row.status for row in rows.values()} == {"sent"}  # it has taken them
        (report,) = postfix.wait_for(SENDER)
        message_id, status = _bounce(report)
        assert message_id == rows[gone].message_id
        assert status == "5.1.1"
        (waits,) = postfix.queue()
        assert waits["queue_name"] == "deferred"
        assert waits["recipients"][0]["address"] == later
        with world.horizon.database.transaction(Role.WORKER) as tx:
            told = record_feedback(
                tx, message_id, "bounced", clock.now(), answer=f"550 {status}", address_invalid=True
            )
        assert told == "recorded"
        assert _rows(world)[gone].status == "bounced"
        assert len(world.rows("SELECT FROM suppressions WHERE reason = 'hard_bounce'")) == 1


def _bounce(report: EmailMessage) -> tuple[UUID, str]:
    """Which message, and why (RFC 3464)."""
    assert report["Return-Path"] == "<>"
    status, returned = "", ""
    for part in report.walk():
        status = part["Status"] or status
        if part.get_content_type() == "message/rfc822":
            original = part.get_payload(0)
            assert isinstance(original, EmailMessage)
            returned = original["Message-ID"]
    return UUID(returned.strip("<>").partition("@")[0]), str(status)


def test_over_verified_tls(
    world: World, tmp_path: Path, free_port: Callable[[], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    tls = certificate(tmp_path / "mx")
    monkeypatch.setenv("SSL_CERT_FILE", str(tls[0]))
    with Postfix(free_port(), USERS, tls=tls) as postfix:
        world = _sending(world, postfix)
        assert world.planned(*USERS) == len(USERS)
        outgoing.send(world.horizon)
        for user in USERS:
            (mail,) = postfix.wait_for(user)
            assert "using TLSv1.3" in " ".join(mail.get_all("Received", []))
    assert {row.status for row in _rows(world).values()} == {"sent"}
