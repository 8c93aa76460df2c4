"""Sending: each mail once, and its row tells what became of it."""

from __future__ import annotations

import email
import email.policy
import json
import threading
from base64 import b64decode
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from horizon import clock, links
from horizon.delivery import lane
from horizon.delivery.channels.smtp.channel import EmailChannel
from horizon.delivery.outbox import Outbox, Result
from horizon.delivery.ports import NullTransport
from horizon.delivery.rules import Verdict
from horizon.delivery.sender import Sender
from horizon.edge.unsubscribe import unsubscribe
from horizon.errors import TransportError
from horizon.pipeline import outgoing, stages
from horizon.postgres.database import Role, closing_connection
from tests.servers.smtp_recorder import SmtpRecorder
from tests.world import DAY, World


def test_sent_once_and_the_alert_is_notified(world: World, tmp_path: Path) -> None:
    with SmtpRecorder(tmp_path, keep_content=True) as recorder:
        world = world.sending(recorder.port)
        world.planned("ann", "bob")
        outgoing.send(world.horizon)
        outgoing.send(world.horizon)
        received = recorder.messages()
    assert sorted(message["rcpt"][0] for message in received) == [
        "ann@example.com",
        "bob@example.com",
    ]
    assert world.states() == {"ann": "sent", "bob": "sent"}
    assert {row.status for row in world.rows("SELECT status FROM alerts")} == {"NOTIFIED"}
    rows = world.rows(
        "SELECT * FROM notifications_log WHERE alert_id IS NOT NULL AND sent_at IS NOT NULL"
    )
    assert len(rows) == 2
    assert all(row.answer.startswith("250 ") for row in rows)


def test_what_arrives_is_a_whole_mail(world: World, tmp_path: Path) -> None:
    with SmtpRecorder(tmp_path, keep_content=True) as recorder:
        world = world.sending(recorder.port, MAIL_FROM="Käthe & Söhne <shop@shop.example>")
        world.planned("zoë")
        outgoing.send(world.horizon)
        (received,) = recorder.messages()
    mail = email.message_from_bytes(b64decode(received["content"]), policy=email.policy.SMTP)
    (row,) = world.rows("SELECT message_id FROM messages")
    assert mail["Message-ID"] == f"<{row.message_id}@shop.example>"
    assert mail["From"] == '"Käthe & Söhne" <shop@shop.example>' or "Käthe & Söhne" in str(
        mail["From"]
    )
    assert mail["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    link = str(mail["List-Unsubscribe"]).strip("<>")
    assert links.verify([world.horizon.keys.link], link.rpartition("/")[2]) == (
        row.message_id,
        "unsubscribe",
    )
    html, text = mail.get_body(("html",)), mail.get_body(("plain",))
    assert html is not None
    assert text is not None
    assert "Zoë" in html.get_content()
    assert "Zoë" in text.get_content()
    assert link in text.get_content()
    assert max(len(line) for line in b64decode(received["content"]).split(b"\r\n")) <= 998
    assert b"\n" not in b64decode(received["content"]).replace(b"\r\n", b"")


@pytest.mark.parametrize(
    ("rule", "status", "suppressed"),
    [
        ({"at": "rcpt", "answer": "550 5.1.1 no such user"}, "bounced", 1),
        ({"at": "rcpt", "answer": "550 5.7.1 not you"}, "failed", 0),
        ({"at": "rcpt", "answer": "451 4.3.2 later"}, "planned", 0),
        ({"at": "rcpt", "answer": "421 4.3.2 going down"}, "planned", 0),
        ({"at": "data", "answer": "451 4.3.2 later"}, "planned", 0),
        ({"at": "content", "answer": "550 5.7.1 spam"}, "failed", 0),
        ({"at": "content", "answer": "451 4.3.2 later"}, "planned", 0),
        ({"at": "content", "action": "close"}, "unknown", 0),
        ({"at": "content-half", "action": "close"}, "unknown", 0),
        ({"at": "content", "action": "hang"}, "unknown", 0),
        ({"at": "data", "action": "close"}, "planned", 0),
    ],
)
def test_each_refusal_stands_in_its_row_and_harms_no_other(
    world: World, tmp_path: Path, rule: dict[str, Any], status: str, suppressed: int
) -> None:
    with SmtpRecorder(tmp_path, [{"match": "odd", **rule}]) as recorder:
        world = world.sending(recorder.port, SMTP_CONNECTIONS=1, SMTP_TIMEOUT_S=1)
        world.planned("ann", "odd", "zed")
        outgoing.send(world.horizon)
        received = [message["rcpt"][0] for message in recorder.messages()]
    assert world.states() == {"ann": "sent", "odd": status, "zed": "sent"}
    assert sorted(received) == ["ann@example.com", "zed@example.com"]
    assert len(world.rows("SELECT FROM suppressions")) == suppressed
    (odd,) = world.rows(
        "SELECT n.answer, n.attempts, o.due_at FROM notifications_log n LEFT JOIN outbox o USING (message_id)"
        " WHERE to_addr LIKE 'odd%%'"
    )
    assert odd.answer
    assert odd.attempts == 1
    assert (odd.due_at is not None and odd.due_at > clock.now()) == (status == "planned")


def test_who_unsubscribes_between_plan_and_send_gets_nothing(world: World, tmp_path: Path) -> None:
    with SmtpRecorder(tmp_path) as recorder:
        world = world.sending(recorder.port)
        world.planned("ann", "bob")
        world.now = clock.now()
        world.put(world.identify("ann", timedelta(0), consent=False))
        world.runner.run(stages.identity_stage(world.horizon.keys, world.horizon.settings))
        outgoing.send(world.horizon)
        received = [message["rcpt"][0] for message in recorder.messages()]
    assert received == ["bob@example.com"]
    (row,) = world.rows("SELECT reason FROM messages WHERE status = 'skipped'")
    assert row.reason == "refused"


def test_a_server_that_is_away_loses_nothing(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lane, "RECONNECT_WAIT_S", 0.05)
    recorder = SmtpRecorder(tmp_path)
    recorder.start()
    world = world.sending(recorder.port, SMTP_CONNECTIONS=2)
    recorder.kill()
    world.planned("ann", "bob")
    with pytest.raises(TransportError, match=r"SMTP_HOST.*2 messages wait; run `horizon send`"):
        outgoing.send(world.horizon)
    assert set(world.states().values()) == {"planned"}
    recorder.start()
    outgoing.send(world.horizon)
    recorder.stop()
    assert len(recorder.messages()) == 2


def test_ten_senders_at_once_send_each_once(world: World, tmp_path: Path) -> None:
    with SmtpRecorder(tmp_path) as recorder:
        world = world.sending(recorder.port)
        world.planned(*(f"u{number}" for number in range(120)))
        senders = [
            threading.Thread(target=lambda: Sender(
                world.horizon.database, world.horizon.settings, world.horizon.keys).run())
            for _ in range(10)
        ]  # fmt: skip
        for sender in senders:
            sender.start()
        for sender in senders:
            sender.join()
        received = [message["rcpt"][0] for message in recorder.messages()]
    assert len(received) == len(set(received)) == 120


def _outbox(world: World, connection: Any, lease_s: float = 60) -> Outbox:
    return Outbox(connection, lease_s)


def test_a_sender_asleep_past_its_lease_sends_nothing_again(world: World) -> None:
    world.planned("ann")
    with (
        closing_connection(world.horizon.database.connect(Role.WORKER, autocommit=True)) as one,
        closing_connection(world.horizon.database.connect(Role.WORKER, autocommit=True)) as two,
    ):
        asleep, awake = _outbox(world, one, 0.01), _outbox(world, two)
        (message_id,) = asleep.claim()
        threading.Event().wait(0.05)
        assert awake.claim() == [message_id]
        assert asleep.turn([], [message_id]) == ([], [])
        (begun,), refused = awake.turn([], [message_id])
        assert begun.message_id == message_id
        assert refused == []


def test_what_was_sending_when_its_sender_died_is_unknown_and_stays_so(
    world: World, tmp_path: Path
) -> None:
    world.planned("ann")
    with closing_connection(world.horizon.database.connect(Role.WORKER, autocommit=True)) as one:
        dying = _outbox(world, one, 0.2)
        dying.turn([], dying.claim())
    threading.Event().wait(0.3)
    with SmtpRecorder(tmp_path) as recorder:
        world = world.sending(recorder.port)
        sent = outgoing.send(world.horizon)
        outgoing.send(world.horizon)
        assert recorder.messages() == []
    assert sent.counts == {("miss_you", "unknown"): 1}
    assert world.states() == {"ann": "unknown"}


def test_the_answer_that_comes_late_makes_unknown_known(world: World) -> None:
    world.planned("ann")
    with closing_connection(world.horizon.database.connect(Role.WORKER, autocommit=True)) as one:
        slow = _outbox(world, one, 0.2)
        (message,), _ = slow.turn([], slow.claim())
        threading.Event().wait(0.3)
        assert len(slow.expire()) == 1
        assert world.states() == {"ann": "unknown"}
        slow.turn([Result(message, Verdict("sent", None), "250 ok")], [])
    assert world.states() == {"ann": "sent"}


def test_nobody_is_reached_twice_by_one_occasion(world: World, tmp_path: Path) -> None:
    """Two rows for one alert, as a merge between planning and sending leaves them."""
    world.planned("ann", "bob")
    world.rows("UPDATE messages SET occasion = 'same' RETURNING 1")
    world.rows("UPDATE nodes SET profile_id = (SELECT min(profile_id) FROM nodes) RETURNING 1")
    with SmtpRecorder(tmp_path) as recorder:
        outgoing.send(world.sending(recorder.port, SMTP_CONNECTIONS=1).horizon)
        assert len(recorder.messages()) == 1
    rows = world.rows("SELECT status, reason FROM messages ORDER BY status")
    assert [tuple(row) for row in rows] == [("sent", None), ("skipped", "already_reached")]


def test_a_stopped_sender_gives_its_claims_back(world: World, tmp_path: Path) -> None:
    with SmtpRecorder(tmp_path, [{"at": "content", "action": "slow", "seconds": 0.05}]) as recorder:
        world = world.sending(recorder.port, SMTP_CONNECTIONS=1)
        world.planned(*(f"u{number}" for number in range(30)))
        stop = threading.Event()
        threading.Timer(0.3, stop.set).start()
        outgoing.send(world.horizon, stop=stop)
        received = len(recorder.messages())
    states = list(world.states().values())
    assert 0 < received < 30
    assert (states.count("sent"), states.count("planned")) == (received, 30 - received)
    assert world.rows("SELECT FROM outbox WHERE claim IS NOT NULL") == []


@pytest.mark.parametrize("aggregated", [False, True])
def test_demo_mode_writes_to_the_operator_alone(
    world: World, tmp_path: Path, aggregated: bool
) -> None:
    with SmtpRecorder(tmp_path) as recorder:
        world = world.sending(recorder.port)
        world.planned("ann", "bob", "cid")
        run = uuid4()
        stages.plan_demo(
            world.horizon,
            "me@example.org",
            aggregated=aggregated,
            now=world.now,
            correlation_id=run,
        )
        outgoing.send_demo(world.horizon, run, "me@example.org", aggregated=aggregated)
        received = recorder.messages()
    assert [message["rcpt"] for message in received] == [["me@example.org"]] * (
        1 if aggregated else 3
    )
    rows = world.rows("SELECT alert_id FROM notifications_log WHERE campaign_id = 'demo'")
    assert [row.alert_id for row in rows] == [None] * len(received)
    assert {row.status for row in world.rows("SELECT status FROM alerts")} == {"NEW"}
    assert set(world.states().values()) == {"planned", "sent"}
    lines = [json.loads(line) for line in world.horizon.settings.log_path.read_text().splitlines()]
    told = [line for line in lines if line["message"] == "email"]
    assert [line["count"] for line in told] == ([3] if aggregated else [1, 1, 1])
    assert {(line["to_addr"], line["status"], line["error"]) for line in told} == {
        ("me@example.org", "sent", None)
    }


@pytest.mark.parametrize(("days", "status"), [(0, "skipped"), (3, "sent")])
def test_with_a_now_a_consent_that_came_later_is_not_there(
    world: World, tmp_path: Path, days: int, status: str
) -> None:
    with SmtpRecorder(tmp_path) as recorder:
        world = world.sending(recorder.port)
        world.planned("ann")
        world.put(
            world.identify("ann", -DAY, consent=False), world.identify("ann", -2 * DAY, consent=True),
            received_at=world.now + 3 * DAY,
        )  # fmt: skip
        world.runner.run(
            stages.identity_stage(world.horizon.keys, world.horizon.settings), world.now
        )
        outgoing.send(world.horizon, now=world.now + days * DAY)
    assert world.states() == {"ann": status}


@pytest.mark.parametrize(
    "answer", ["530 5.7.1 Authentication required", "550 5.7.1 sender rejected", "535 5.7.8 no"]
)
def test_a_server_that_serves_us_not_at_all_burns_no_message(
    world: World, tmp_path: Path, answer: str
) -> None:
    with SmtpRecorder(tmp_path, [{"at": "mail", "answer": answer}]) as recorder:
        world = world.sending(recorder.port)
        world.planned("ann", "bob")
        with pytest.raises(TransportError, match=r"SMTP_USER.*2 messages wait"):
            outgoing.send(world.horizon)
        assert set(world.states().values()) == {"planned"}
        recorder.restart([])
        outgoing.send(world.horizon)
        assert set(world.states().values()) == {"sent"}


def test_demo_mails_that_did_not_leave_are_cancelled(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lane, "RECONNECT_WAIT_S", 0.05)
    recorder = SmtpRecorder(tmp_path)
    recorder.start()
    world = world.sending(recorder.port)
    recorder.kill()
    world.planned("ann")
    run = uuid4()
    stages.plan_demo(
        world.horizon, "me@example.org", aggregated=False, now=world.now, correlation_id=run
    )
    with pytest.raises(TransportError, match="cancelled"):
        outgoing.send_demo(world.horizon, run, "me@example.org", aggregated=False)
    assert world.states() == {"ann": "planned", "me": "cancelled"}


@pytest.mark.parametrize("aggregated", [False, True])
def test_who_unsubscribes_from_demo_mails_gets_no_more_and_harms_nobody(
    world: World, tmp_path: Path, aggregated: bool
) -> None:
    with SmtpRecorder(tmp_path) as recorder:
        world = world.sending(recorder.port)
        world.planned("ann")
        for _ in range(2):
            run = uuid4()
            stages.plan_demo(
                world.horizon,
                "me@example.org",
                aggregated=aggregated,
                now=world.now,
                correlation_id=run,
            )
            outgoing.send_demo(world.horizon, run, "me@example.org", aggregated=aggregated)
            (message,) = world.rows(
                "SELECT message_id FROM messages WHERE correlation_id = %s", run
            )
            with world.horizon.database.transaction(Role.EDGE) as tx:
                assert unsubscribe(tx, message.message_id, "page", clock.now(), era=1)
        world.score()
        outgoing.send(world.horizon)
        received = [message["rcpt"][0] for message in recorder.messages()]
    assert received == ["me@example.org", "ann@example.com"]


@pytest.mark.parametrize("table", ["events", "alerts"])
def test_an_answer_that_cannot_be_recorded_is_never_sent_again(
    world: World, tmp_path: Path, table: str
) -> None:
    """The provider took it, and then the disk was full: it may be unknown, but not planned."""
    with world.horizon.database.transaction(Role.OWNER) as tx:
        tx.execute(
            "CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
            " RAISE EXCEPTION USING ERRCODE = '53100', MESSAGE = 'No space left'; END $$"
        )
    with SmtpRecorder(tmp_path) as recorder:
        world = world.sending(recorder.port, SMTP_CONNECTIONS=1, SEND_LEASE_S=0.5)
        world.planned("ann", "bob")
        with world.horizon.database.transaction(Role.OWNER) as tx:
            tx.execute(
                f"CREATE TRIGGER full_disk BEFORE INSERT OR UPDATE ON {table}"
                " FOR EACH ROW EXECUTE FUNCTION full_disk()".encode()
            )
        with pytest.raises(psycopg.errors.DiskFull):
            outgoing.send(world.horizon)
        with world.horizon.database.transaction(Role.OWNER) as tx:
            tx.execute(f"DROP TRIGGER full_disk ON {table}".encode())
        for _ in range(2):
            threading.Event().wait(0.6)
            outgoing.send(world.horizon)
        received = [message["rcpt"][0] for message in recorder.messages()]
    assert sorted(received) == ["ann@example.com", "bob@example.com"]
    assert sorted(world.states().values()) == ["sent", "unknown"]


def test_a_claim_runs_out_and_a_cancelled_message_does_not_leave(world: World) -> None:
    world.planned("ann", "bob")
    with closing_connection(world.horizon.database.connect(Role.WORKER, autocommit=True)) as one:
        outbox = _outbox(world, one)
        first, second = outbox.claim()
        world.rows("UPDATE outbox SET due_at = now() WHERE message_id = %s RETURNING 1", first)
        world.rows("DELETE FROM outbox WHERE message_id = %s RETURNING 1", second)
        assert outbox.turn([], [first, second]) == ([], [])


def test_a_live_claim_is_nobody_else_s(world: World) -> None:
    world.planned("ann")
    connect = world.horizon.database.connect
    with (
        closing_connection(connect(Role.WORKER, autocommit=True)) as one,
        closing_connection(connect(Role.WORKER, autocommit=True)) as two,
    ):
        first, second = _outbox(world, one), _outbox(world, two)
        (message_id,) = first.claim()
        assert second.claim() == []
        second.give_back([message_id])
        assert second.expire() == []
        assert world.states() == {"ann": "claimed"}
        (message,), _ = first.turn([], [message_id])
        second.turn([Result(message, Verdict("failed", None), "not mine")], [])
        second.turn([Result(message, Verdict("planned", None), None)], [])
        assert second.expire() == []
        assert world.states() == {"ann": "sending"}


def test_a_sender_sends_its_campaign_s_mails_and_no_demo_s(world: World, tmp_path: Path) -> None:
    with SmtpRecorder(tmp_path) as recorder:
        world = world.sending(recorder.port)
        world.planned("ann")
        world.person("fan", 1 * DAY)
        world.score()
        world.plan("good_activity")
        stages.plan_demo(
            world.horizon, "me@example.org", aggregated=True, now=world.now, correlation_id=uuid4()
        )
        outgoing.send(world.horizon, campaign="good_activity")
        assert world.states() == {"ann": "planned", "fan": "sent", "me": "planned"}
        outgoing.send(world.horizon)
        assert world.states() == {"ann": "sent", "fan": "sent", "me": "planned"}


def test_an_alert_that_is_over_stays_over_and_a_failure_notifies_nobody(
    world: World, tmp_path: Path
) -> None:
    rules = [{"match": "bob", "at": "rcpt", "answer": "550 5.7.1 no"}]
    with SmtpRecorder(tmp_path, rules) as recorder:
        world = world.sending(recorder.port)
        world.planned("ann", "bob")
        world.rows(
            "UPDATE alerts SET status = 'RESOLVED' WHERE alert_id ="
            " (SELECT alert_id FROM messages WHERE to_addr LIKE 'ann%%') RETURNING 1"
        )
        outgoing.send(world.horizon)
    query = "SELECT m.to_addr, a.status FROM alerts a JOIN messages m USING (alert_id)"
    assert {row.to_addr[:3]: row.status for row in world.rows(query)} == {
        "ann": "RESOLVED",
        "bob": "NEW",
    }


class _Nowhere(EmailChannel):
    def transport(self) -> Any:
        return NullTransport()


def test_through_the_null_channel_everything_counts_and_nothing_leaves(world: World) -> None:
    world.planned("ann", "bob")
    horizon = world.horizon
    sender = Sender(
        horizon.database,
        horizon.settings,
        horizon.keys,
        open_channel=lambda _, means: _Nowhere(means),
    )
    assert sender.run().counts == {("miss_you", "sent"): 2}
    (answer,) = {row.answer.partition(",")[0] for row in world.rows("SELECT answer FROM messages")}
    assert answer == "250 2.0.0 taken by nobody"
