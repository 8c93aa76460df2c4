"""The history is sealed whole and once, and whatever is changed afterwards is found."""

from __future__ import annotations

import json
import re
import threading
import tomllib
from collections.abc import Callable
from datetime import timedelta
from importlib import resources
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from horizon.cli import main
from horizon.delivery.feedback import record_feedback
from horizon.delivery.outbox import Outbox, Result, connect
from horizon.delivery.rules import Verdict
from horizon.history.rules import FIRST
from horizon.history.verify import Verified, verify
from horizon.pipeline import stages
from horizon.postgres import backup
from horizon.postgres.audit import write_audit
from horizon.postgres.database import Role, closing_connection
from tests.world import DAY, World

SKIPPED = "(SELECT message_id FROM messages WHERE status = 'skipped' ORDER BY message_id LIMIT 1)"
SENT = "(SELECT message_id FROM messages WHERE status = 'sent' ORDER BY message_id LIMIT 1)"


@pytest.fixture
def world(world: World) -> World:
    """Ten people with alerts; three of them said no, and the other seven's mails are as good as sent."""
    world.put(
        *(world.identify(f"u{number}", 25 * DAY, email=f"u{number}@example.com", consent=number > 2)
          for number in range(10)),
        *(world.track(f"u{number}", 13 * DAY) for number in range(10)),
    )  # fmt: skip
    world.score()
    world.alert()
    world.plan()
    send_all(world)
    return world


def send_all(world: World) -> None:
    """As the sender's last statement leaves them."""
    own(world, "DELETE FROM outbox")
    own(
        world,
        "UPDATE messages SET status = 'sent', attempts = 1, sending_at = %s, finished_at = %s "
        "WHERE status = 'planned'", world.now, world.now,
    )  # fmt: skip
    own(
        world,
        "UPDATE alerts a SET status = 'NOTIFIED', notified_at = %s FROM messages m "
        "WHERE m.alert_id = a.alert_id AND m.status = 'sent' AND a.status = 'NEW'", world.now,
    )  # fmt: skip


def own(world: World, statement: str, *parameters: object) -> int:
    with world.horizon.database.transaction(Role.OWNER) as tx:
        return tx.execute(statement.encode(), parameters or None).rowcount


def seal(world: World) -> dict[str, Any]:
    return dict(world.runner.run(stages.seal_stage(), world.now).figures)


def verified(world: World, head: str | None = None) -> Verified:
    with world.horizon.database.connect(Role.WORKER) as tx:
        tx.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        tx.read_only = True
        return verify(tx, head)


def told(world: World, head: str | None = None) -> list[tuple[int | None, str | None, str]]:
    return [(one.batch, one.thing, one.what) for one in verified(world, head).problems]


def test_what_came_is_sealed_once_and_verifies(world: World) -> None:
    first = seal(world)
    states = world.rows("SELECT thing, state, count(*) FROM history GROUP BY 1, 2 ORDER BY 1, 2")
    assert [tuple(row) for row in states] == [
        ("alert", "NEW", 10), ("alert", "NOTIFIED", 7), ("consent", "granted", 7),
        ("consent", "refused", 3), ("message", "sent", 7), ("message", "skipped", 3),
    ]  # fmt: skip
    assert first["sealed"] == 37
    second = seal(world)
    assert (second["sealed"], second["batches"], second["head"]) == (0, 0, first["head"])
    found = verified(world, first["head"])
    assert (found.problems, found.entries, found.head) == ([], 37, first["head"])


def test_nothing_sealed_yet_is_well(horizon: Any) -> None:
    found = verified(World(horizon))
    assert (found.problems, found.batches, found.head) == ([], 0, FIRST.hex())
    seal(World(horizon))
    assert verified(World(horizon)).problems == []


PLANTED: list[tuple[str, str, str]] = [
    ("a decision turned", f"UPDATE messages SET status = 'sent', reason = NULL WHERE message_id = {SKIPPED}",
     "was skipped and is sent"),
    ("a time moved", f"UPDATE messages SET sending_at = sending_at - interval '1 s' WHERE message_id = {SENT}",
     "is not what was sealed as sent"),
    ("a consent lent", f"UPDATE messages SET consent_id = consent_id + 1 WHERE message_id = {SENT}", "is not what was sealed as sent"),
    ("another address", f"UPDATE messages SET address_hash = gen_random_uuid() WHERE message_id = {SENT}",
     "is not what was sealed as sent"),
    ("a message taken away", f"DELETE FROM messages WHERE message_id = {SENT}", "is gone"),
    ("an alert made milder", "UPDATE alerts SET score = 0.71 WHERE alert_id = 3", "is not what was sealed as N"),
    ("an alert taken back", "UPDATE alerts SET status = 'NEW', notified_at = NULL WHERE alert_id = (SELECT max(alert_id) FROM alerts WHERE status = 'NOTIFIED')", "was NOTIFIED at"),
    ("an alert sent back with its times", "UPDATE alerts SET status = 'NEW' WHERE alert_id = (SELECT max(alert_id) FROM alerts WHERE status = 'NOTIFIED')", "and is NEW"),
    ("an alert taken away", "DELETE FROM alerts WHERE alert_id = 4", "is gone"),
    ("a yes from a no", "UPDATE consents SET granted = true WHERE consent_id = (SELECT max(consent_id) FROM consents WHERE NOT granted)", "is not what was sealed as refused"),
    ("a consent dated back", "UPDATE consents SET time = time - interval '1 year' WHERE consent_id = (SELECT max(consent_id) FROM consents WHERE granted)",
     "is not what was sealed as granted"),
    ("a consent taken away", "DELETE FROM consents WHERE consent_id = 2", "is gone"),
    ("an entry changed", "UPDATE history SET state = 'granted' WHERE place = (SELECT max(place) FROM history WHERE state = 'refused')", "an entry was changed"),
    ("an entry taken away", "DELETE FROM history WHERE batch = 1 AND place = 5", "36 of its 37 entries are there"),
    ("the last entry taken away", "DELETE FROM history WHERE batch = 1 AND place = 37", "the entry is gone"),
    ("two entries swapped", "UPDATE history h SET place = 1000 - h.place WHERE place IN (499, 501)", ""),
    ("a seal changed", "UPDATE history_seals SET sealed_at = sealed_at - interval '1 day'", "its seal was changed"),
    ("a hash changed", "UPDATE history_seals SET hash = sha256(hash)", "its seal was changed"),
    ("a body changed", "UPDATE history_seals SET body = sha256(body)", "an entry was changed"),
]  # fmt: skip


@pytest.mark.parametrize(("what", "statement", "found"), PLANTED, ids=[one[0] for one in PLANTED])
def test_a_planted_change_is_found(what: str, statement: str, found: str, world: World) -> None:
    seal(world)
    if what == "two entries swapped":
        one, two = world.rows(
            "SELECT * FROM history WHERE thing = 'message' ORDER BY place LIMIT 2"
        )
        own(world, "UPDATE history SET message_id = %s WHERE place = %s", two.message_id, one.place)
        own(world, "UPDATE history SET message_id = %s WHERE place = %s", one.message_id, two.place)
        found = "two have changed places"
    else:
        assert own(world, statement) >= 1
    problems = told(world)
    assert any(found in one[2] for one in problems), problems
    assert len(problems) <= 3, "the place is told, not everything"
    assert all(batch == 1 for batch, _, _ in problems)
    seal(world)
    assert any(found in one[2] for one in told(world)), "the next pass makes nothing good"


def test_two_rows_that_changed_places_are_both_named(world: World) -> None:
    seal(world)
    one, two = world.rows("SELECT * FROM alerts ORDER BY alert_id LIMIT 2")
    own(world, "ALTER TABLE alerts DROP CONSTRAINT one_alert_a_cooldown")
    for mine, other in ((one, two), (two, one)):
        own(world, "UPDATE alerts SET profile_id = %s, score = %s WHERE alert_id = %s",
            other.profile_id, other.score, mine.alert_id)  # fmt: skip
    named = {one.id for one in verified(world).problems}
    assert named == {str(one.alert_id), str(two.alert_id)}


def test_a_row_that_is_slipped_in_is_found(world: World) -> None:
    for _ in range(3):
        seal(world)
    own(world, "INSERT INTO consents (consent_id, node, purpose, channel, granted, time, way) "
        "OVERRIDING SYSTEM VALUE VALUES (-5, gen_random_uuid(), 'marketing', 'email', true, %s, 'identify')",
        world.now)  # fmt: skip
    own(world, "INSERT INTO messages (message_id, campaign, profile_id, occasion, template, template_digest, "
        "status, correlation_id, planned_at) SELECT '01000000-0000-7000-8000-000000000000', campaign, profile_id, 'x', "
        "template, template_digest, 'sent', correlation_id, planned_at FROM messages LIMIT 1")  # fmt: skip
    own(world, "INSERT INTO alerts (alert_id, rule, node, profile_id, score, tier, threshold, status, created_at, "
        "quiet_until, correlation_id) OVERRIDING SYSTEM VALUE SELECT -6, rule, gen_random_uuid(), -6, score, tier, "
        "threshold, 'RESOLVED', created_at, created_at, correlation_id FROM alerts LIMIT 1")  # fmt: skip
    own(world, "INSERT INTO audit (audit_id, actor, action, object) "
        "OVERRIDING SYSTEM VALUE VALUES (-7, 'nobody', 'campaign:added', 'x')")  # fmt: skip
    seal(world)
    found = {(one.thing, one.id) for one in verified(world).problems}
    assert found == {
        ("consent", "-5"), ("message", "01000000-0000-7000-8000-000000000000"), ("alert", "-6"), ("audit", "-7"),
    }  # fmt: skip
    assert {one.what for one in verified(world).problems} == {"was slipped in: no pass has met it"}


def test_an_end_that_was_cut_off_is_known_by_its_head(world: World) -> None:
    first = seal(world)["head"]
    world.person("late", 13 * DAY)
    world.score()
    world.alert()
    second = seal(world)["head"]
    assert verified(world, second).problems == []
    assert verified(world, first).after_head == 1
    own(world, "DELETE FROM history WHERE batch = 2")
    own(world, "DELETE FROM history_seals WHERE batch = 2")
    own(world, "DELETE FROM alerts WHERE alert_id > 10")
    own(world, "DELETE FROM consents WHERE consent_id > 10")
    own(world, "DELETE FROM history_open_alerts WHERE alert_id > 10")
    assert told(world) == [], "by itself a shorter chain is a chain"
    assert told(world, first) == []
    assert [what for _, _, what in told(world, second)] == [
        f"the chain has no hash {second}: its end was cut off, or it was written anew"
    ]


def test_a_chain_that_is_written_anew_has_another_head(world: World) -> None:
    """Whoever owns the database can do all of it again; but not to the same hash."""
    kept = seal(world)["head"]
    own(world, "UPDATE consents SET granted = true WHERE NOT granted")
    for table in (
        "history",
        "history_seals",
        "history_passes",
        "history_open_messages",
        "history_open_alerts",
    ):
        own(world, f"DELETE FROM {table}")
    seal(world)
    assert told(world) == []
    assert told(world, kept) != []


def test_a_batch_in_the_middle_that_is_gone(world: World) -> None:
    for number in range(3):
        world.person(f"more{number}", DAY)
        world.identify_all()
        seal(world)
    own(world, "DELETE FROM history_seals WHERE batch = 2")
    assert (3, None, "batches 2 to 2 have no seal") in told(world)


def test_what_commits_late_is_in_the_next_batch(world: World) -> None:
    """Its ids are older than those that were sealed meanwhile, however many passes it takes."""
    with world.horizon.database.connect(Role.OWNER) as late:
        late.execute("INSERT INTO audit (actor, action, object) VALUES ('late', 'a:b', 'c')")
        late.execute(
            "INSERT INTO consents (node, purpose, channel, granted, time, way) "
            "VALUES (gen_random_uuid(), 'marketing', 'email', true, %s, 'identify')", [world.now],
        )  # fmt: skip
        late.execute(
            "INSERT INTO messages (campaign, profile_id, occasion, template, template_digest, status, "
            "correlation_id, planned_at) VALUES ('miss_you', 1, 'late', 'x', 'x', 'skipped', %s, %s)",
            [uuid4(), world.now],
        )  # fmt: skip
        for number in range(6):
            world.person(f"meanwhile{number}", DAY)
            world.identify_all()
            assert seal(world)["sealed"] >= 1
        assert told(world) == []
        before = world.rows("SELECT max(batch) AS batch FROM history_seals")[0].batch
        late.commit()
    assert seal(world)["sealed"] == 3
    rows = world.rows("SELECT thing, state FROM history WHERE batch > %s ORDER BY place", before)
    assert [tuple(row) for row in rows] == [
        ("audit", "written"), ("consent", "granted"), ("message", "skipped")
    ]  # fmt: skip
    assert told(world) == []
    for _ in range(3):
        assert seal(world)["sealed"] == 0


def test_passes_look_no_further_back_than_they_have_to(world: World) -> None:
    for _ in range(5):
        seal(world)
    [passes] = world.rows("SELECT count(*) AS passes, max(alert_id) AS alerts FROM history_passes")
    assert passes.passes <= 3
    assert passes.alerts == 10
    [looked] = world.rows("SELECT alert_id, consent_id FROM history_from()")
    assert (looked.alert_id, looked.consent_id) == (10, 10)


def test_what_is_not_over_is_sealed_as_decided_and_again_when_it_is(world: World) -> None:
    world.person("next", 13 * DAY)
    world.score()
    world.alert()
    world.plan()
    seal(world)
    [message] = world.rows("SELECT message_id FROM history WHERE state = 'planned'")
    send_all(world)
    assert told(world) == [], "what is not sealed yet is no difference"
    assert seal(world)["sealed"] == 2  # its end, and its alert's NOTIFIED
    states = world.rows(
        "SELECT state FROM history WHERE message_id = %s ORDER BY batch", message.message_id
    )
    assert [row.state for row in states] == ["planned", "sent"]
    assert world.rows("SELECT FROM history_open_messages") == []
    assert told(world) == []


@pytest.mark.parametrize("forged", ["UPDATE messages SET consent_id = 1 WHERE status = 'planned'",
                                    "DELETE FROM history_open_messages"])  # fmt: skip
def test_a_waiting_message_s_decision_is_sealed_too(forged: str, world: World) -> None:
    world.person("next", 13 * DAY)
    world.score()
    world.alert()
    world.plan()
    seal(world)
    own(world, forged)
    assert [(thing, what) for _, thing, what in told(world)] == [
        ("message", "its end was never sealed" if "history" in forged else "is not what was sealed as planned")
    ]  # fmt: skip


def test_an_alert_that_the_passes_were_made_to_forget_is_found(world: World) -> None:
    seal(world)
    own(world, "DELETE FROM history_open_alerts WHERE alert_id = 4")
    problems = {(one.id, one.what) for one in verified(world).problems}
    assert problems == {("4", "its end was never sealed")}


def test_planning_and_sending_do_nothing_for_it(world: World) -> None:
    """No trigger, no statement: 115 us a mail and 40 us a decision have no room for it."""
    triggers = world.rows(
        "SELECT tgname FROM pg_trigger WHERE NOT tgisinternal AND tgrelid = ANY(ARRAY['messages', 'outbox', "
        "'alerts', 'reached', 'consents']::regclass[])"
    )
    assert triggers == []
    for package in ("horizon.campaigns", "horizon.delivery", "horizon.alerts", "horizon.edge"):
        assert "history" not in (resources.files(package) / "queries.sql").read_text()


def test_an_unknown_message_that_is_settled_is_sealed_again(world: World) -> None:
    own(
        world,
        f"UPDATE messages SET status = 'unknown', reason = 'sender_stopped' WHERE message_id = {SENT}",
    )
    seal(world)
    own(world, "UPDATE messages SET status = 'failed', reason = 'settled' WHERE status = 'unknown'")
    assert told(world) == []
    assert seal(world)["sealed"] == 1
    assert told(world) == []


def test_a_report_that_comes_later_is_no_difference_and_is_sealed(world: World) -> None:
    seal(world)
    [sent] = world.rows(f"SELECT {SENT} AS message_id")
    with world.horizon.database.transaction(Role.WORKER) as tx:
        assert record_feedback(tx, sent.message_id, "delivered", world.now) == "recorded"
    assert told(world) == []
    assert seal(world)["sealed"] == 1
    with world.horizon.database.transaction(Role.WORKER) as tx:
        assert record_feedback(tx, sent.message_id, "complained", world.now) == "recorded"
    assert seal(world)["sealed"] == 1
    states = world.rows(
        "SELECT state FROM history WHERE message_id = %s ORDER BY batch", sent.message_id
    )
    assert [row.state for row in states] == ["sent", "delivered", "complained"]
    assert told(world) == []
    own(world, "UPDATE messages SET status = 'sent' WHERE message_id = %s", sent.message_id)
    assert [what for _, _, what in told(world)] == ["was complained and is sent"]


def test_an_alert_that_is_over_is_sealed_as_such(world: World) -> None:
    seal(world)
    world.now += timedelta(hours=1)
    world.put(world.track("u5", timedelta()))
    world.score()
    world.alert()
    assert told(world) == []
    seal(world)
    states = world.rows("SELECT state FROM history WHERE thing = 'alert' AND number = "
                        "(SELECT alert_id FROM alerts WHERE status = 'RESOLVED') ORDER BY batch, place")  # fmt: skip
    assert [row.state for row in states] == ["NEW", "NOTIFIED", "RESOLVED"]
    assert told(world) == []


def test_two_sealers_at_once_seal_everything_once(world: World) -> None:
    failed: list[BaseException] = []

    def sealing() -> None:
        try:
            for _ in range(4):
                seal(world)
        except BaseException as exc:
            failed.append(exc)

    threads = [threading.Thread(target=sealing) for _ in range(3)]
    for thread in threads:
        thread.start()
    for number in range(5):
        world.person(f"more{number}", 13 * DAY)
        world.score()
        world.alert()
        world.plan()
    for thread in threads:
        thread.join()
    seal(world)
    assert failed == []
    assert told(world) == []
    doubled = world.rows(
        "SELECT thing, message_id, number, state FROM history GROUP BY 1, 2, 3, 4 HAVING count(*) > 1"
    )
    assert doubled == []


def test_verify_is_calm_while_everything_is_under_way(world: World) -> None:
    """People come, mails are planned, sent and reported, passes seal: no moment looks planted."""
    failed: list[BaseException] = []
    over = threading.Event()

    def in_thread(work: Callable[[], object]) -> threading.Thread:
        def loop() -> None:
            try:
                while not over.is_set():
                    work()
            except BaseException as exc:
                failed.append(exc)

        thread = threading.Thread(target=loop)
        thread.start()
        return thread

    def send() -> None:
        with closing_connection(connect(world.horizon.database)) as connection:
            outbox = Outbox(connection, lease_s=60, now=world.now)
            claimed, _ = outbox.turn([], outbox.claim(5))
            outbox.turn([Result(one, Verdict("sent", None), "250 OK") for one in claimed], [])
        for one in claimed:
            with world.horizon.database.transaction(Role.WORKER) as tx:
                assert record_feedback(tx, one.message_id, "delivered", world.now) == "recorded"

    threads = [in_thread(send), in_thread(send), in_thread(lambda: seal(world))]
    for number in range(6):
        world.person(f"more{number}", 13 * DAY)
        world.score()
        world.alert()
        world.plan()
        assert told(world) == []
    over.set()
    for thread in threads:
        thread.join()
    assert failed == []
    seal(world)
    assert told(world) == []
    assert world.rows("SELECT FROM history WHERE state = 'delivered'") != []


def test_many_entries_make_many_batches(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("horizon.history.stage.run.__defaults__", (10,))
    assert seal(world)["batches"] == 4
    own(world, "UPDATE history SET at = at + interval '1 s' WHERE batch = 3 AND place = 2")
    problems = [(one.batch, one.place, one.thing) for one in verified(world).problems]
    assert problems == [(3, None, None), (3, 2, "consent")]


def test_erasing_a_person_breaks_no_seal(world: World) -> None:
    """What the catalogue says of erasure is done to every row; the owner does it."""
    seal(world)
    catalogue = tomllib.loads((resources.files("horizon.privacy") / "catalogue.toml").read_text())
    for table in ("messages", "alerts", "audit", "consents", "opt_ins"):
        for column, entry in catalogue["table"][table].items():
            if entry.endswith("null"):
                own(world, f"UPDATE {table} SET {column} = NULL")
            elif entry.endswith("replace"):
                own(world, f"UPDATE {table} SET {column} = gen_random_uuid()")
    own(world, "DELETE FROM traits")
    own(world, "DELETE FROM nodes")
    assert told(world) == []


@pytest.mark.parametrize(
    "change",
    [
        "details = '{}'",
        "details = NULL",
        "origin = '192.0.2.1'",
        "salt = '\\x00'",
        "digest = '\\x00'",
    ],
)
def test_a_value_beside_the_audit_s_digest_is_no_other(change: str, world: World) -> None:
    with world.horizon.database.transaction(Role.WORKER) as tx:
        write_audit(tx, "source:added", "shop", {"kind": "server"})
    seal(world)
    assert verified(world).problems == []
    own(world, f"UPDATE audit SET {change} WHERE object = 'shop'")
    assert [(one.thing, one.what) for one in verified(world).problems] == [
        ("audit", "is not what was sealed")
    ]


def test_the_same_values_have_another_digest_each_time(world: World) -> None:
    with world.horizon.database.transaction(Role.WORKER) as tx:
        for _ in range(2):
            write_audit(tx, "source:added", "same", {"kind": "server"})
    rows = world.rows("SELECT digest, salt FROM audit WHERE object = 'same'")
    assert len({bytes(row.digest) for row in rows}) == len({bytes(row.salt) for row in rows}) == 2


def test_only_columns_that_erasure_keeps_are_hashed() -> None:
    catalogue = tomllib.loads((resources.files("horizon.privacy") / "catalogue.toml").read_text())
    schema = (resources.files("horizon.postgres") / "schema" / "0007_history.sql").read_text()
    hashed = set(
        re.findall(r"\b([macs])\.(\w+)", schema[schema.index("CREATE FUNCTION message_digest") :])
    )
    tables = {"m": ["messages"], "a": ["alerts", "audit"], "c": ["consents"], "s": []}
    seen = 0
    for alias, column in hashed:
        kept = [
            catalogue["table"][table][column]
            for table in tables[alias]
            if column in catalogue["table"][table]
        ]
        assert kept, (alias, column)
        assert all(entry.endswith("keep") for entry in kept), (alias, column)
        seen += 1
    assert seen > 30


def test_settings_of_the_session_change_no_hash(world: World) -> None:
    seal(world)
    name = world.horizon.database.name
    for setting in (
        "timezone = 'Asia/Tokyo'",
        "datestyle = 'German'",
        "extra_float_digits = -5",
        "bytea_output = 'escape'",
    ):
        own(world, f"ALTER DATABASE {name} SET {setting}")
    assert told(world) == []


def test_a_restored_database_verifies_and_goes_on(world: World) -> None:
    head = seal(world)["head"]
    with world.horizon.database.transaction(Role.OWNER) as tx:
        backup.adopt(tx, world.now)
    world.person("after", 13 * DAY)
    world.score()
    world.alert()
    assert seal(world)["sealed"] == 2
    assert told(world, head) == []
    assert world.rows("SELECT count(*) AS eras FROM eras")[0].eras == 2


def test_the_command_tells_the_head_and_the_difference(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("PG_DSN", "HORIZON_HOME", "LOG_PATH"):
        monkeypatch.setenv(name, str(getattr(world.horizon.settings, name)))
    run: Callable[..., int] = lambda *words: main.run(["audit", *words])  # noqa: E731
    assert run("verify") == 0
    assert "Nothing is sealed yet" in capsys.readouterr().out
    assert run("seal") == 0
    head = capsys.readouterr().out.split()[-1]
    lines = (world.horizon.settings.log_path).read_text().splitlines()
    sealed = [json.loads(line) for line in lines if '"stage":"seal"' in line]
    assert [(one["head"], one["sealed"]) for one in sealed] == [(head, 37)]
    assert run("verify", "--head", head) == 0
    assert f"Head: {head}" in capsys.readouterr().out
    own(world, f"UPDATE messages SET status = 'failed' WHERE message_id = {SENT}")
    assert run("verify", "--json") == 1
    shown = capsys.readouterr()
    told_of = json.loads(shown.out)
    assert (told_of["ok"], len(told_of["problems"])) == (False, 1)
    assert told_of["problems"][0]["what"] == "was sent and is failed"
    assert "differ in 1 place:" in shown.err
    assert run("verify", "--head", "12") == 2
    assert "is no hash" in capsys.readouterr().err
