"""What is kept of people follows their nodes: over merges, splits and dead nodes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from horizon.delivery.outbox import Outbox, connect
from horizon.observe.explain.gather import explain_message
from horizon.pipeline import outgoing
from horizon.postgres.database import Role, closing_connection
from tests import merging
from tests.servers.smtp_recorder import SmtpRecorder
from tests.world import DAY, World


@pytest.fixture
def sent(world: World, tmp_path: Path) -> Any:
    """Sends what waits; gives the addresses that got something."""
    with SmtpRecorder(tmp_path) as recorder:
        sending = world.sending(recorder.port)

        def send() -> list[str]:
            before = len(recorder.messages())
            outgoing.send(sending.horizon, now=world.now)
            return sorted(one["rcpt"][0] for one in recorder.messages()[before:])

        yield send


Sent = Callable[[], list[str]]


def _decisions(world: World) -> list[tuple[str, str]]:
    """By the name in the address, what became of each message."""
    query = """SELECT to_addr, coalesce(o.state, m.status) AS status, m.reason
               FROM messages m LEFT JOIN outbox o USING (message_id) ORDER BY m.planned_at, m.message_id"""
    return [
        (row.to_addr.partition("@")[0], row.reason or row.status) for row in world.rows(query)
    ]


# Events of a dead node


def test_a_dead_node_s_events_belong_to_the_next_live_one_or_to_nobody(world: World) -> None:
    world.put(
        world.track("shared", 2 * DAY, anonymousId="browser"),
        world.track("shared", 1 * DAY),
        world.track("ann", 9 * DAY, anonymousId="browser"),
        {"type": "page", "anonymousId": "browser", "timestamp": (world.now - 8 * DAY).isoformat()},
    )
    _apart(world, "browser", "ann", "shared")
    merging.bury(world, "shared")
    world.score()
    rows = world.rows(
        "SELECT n.value, s.silent_s / 86400 AS days, s.activities FROM current_scores s"
        " JOIN nodes n USING (profile_id) ORDER BY 1"
    )
    assert [tuple(row) for row in rows] == [("ann", 9, 1), ("browser", 2, 2)]


def test_two_dead_nodes_before_a_live_one(world: World) -> None:
    """The one way for all and the other for one profile: they agree."""
    world.put(
        world.track("shared", 3 * DAY, anonymousId="browser"),
        world.track("shared", 1 * DAY, anonymousId="tablet"),
        world.track("ann", 9 * DAY, anonymousId="tablet"),
        {"type": "page", "anonymousId": "browser", "timestamp": (world.now - 8 * DAY).isoformat()},
        {"type": "page", "anonymousId": "tablet", "timestamp": (world.now - 7 * DAY).isoformat()},
    )
    _apart(world, "browser", "tablet", "ann", "shared")
    # As an event with three identifiers has it: the shared user id, the tablet's, the browser's.
    world.rows(
        "UPDATE events SET nodes = nodes[1:1] || %s || nodes[2:] WHERE nodes[1] = %s AND nodes[2] = %s"
        " RETURNING 1",
        merging.node(world, "tablet"), merging.node(world, "shared"), merging.node(world, "browser"),
    )  # fmt: skip
    merging.tie(world, "tablet", "browser")
    for one in ("shared", "tablet"):
        merging.bury(world, one)
    world.score()
    found = {
        row.value: (row.profile_id, row.last_activity, row.activities)
        for row in world.rows(
            "SELECT n.value, s.* FROM scores s JOIN nodes n USING (profile_id) WHERE score_run = 1"
        )
    }
    assert {value: number for value, (_, _, number) in found.items()} == {"ann": 1, "browser": 2}
    for profile_id, last_activity, activities in found.values():
        (own,) = world.rows(
            "SELECT max(time) AS last, count(*) AS events FROM profile_events(%s) WHERE activity",
            profile_id,
        )
        assert (own.last, own.events) == (last_activity, activities)


def test_an_explanation_lists_the_events_that_were_scored(world: World) -> None:
    world.person("ann", 13 * DAY)
    world.put(world.track("shared", 12 * DAY, anonymousId="browser"))
    _apart(world, "ann", "browser", "shared")
    merging.merge(world, "ann", "browser")
    merging.bury(world, "shared")
    world.score()
    world.alert()
    world.plan()
    (message,) = world.rows("SELECT message_id FROM messages")
    with world.horizon.database.transaction(Role.READER) as tx:
        story = explain_message(tx, message.message_id)
    assert story is not None
    assert story.events is not None
    assert story.score is not None
    assert (story.events.activities, story.score.silent_s) == (2, 12 * 86400)
    assert story.events.listed[0].time == world.now - 12 * DAY


def test_a_lookup_of_a_profile_s_events_is_by_index(world: World) -> None:
    world.put(world.track("ann", 1 * DAY, anonymousId="browser"))
    world.identify_all()
    with world.horizon.database.transaction(Role.READER) as tx:
        tx.execute("SET LOCAL enable_seqscan = off")
        plan = tx.execute("EXPLAIN SELECT * FROM profile_events(1) e WHERE e.activity").fetchall()
    text = "\n".join(row[0] for row in plan)
    assert "Function Scan on profile_events" not in text  # inlined, so that filters go inside
    assert "Seq Scan" not in text


def _apart(world: World, *values: str) -> None:
    """Each has a node, a profile and the edges of the events, and nothing is joined yet."""
    world.identify_all()
    for value in values:
        if not world.rows("SELECT 1 FROM nodes WHERE value = %s", value):
            world.rows(
                "WITH made AS (INSERT INTO profiles (created_at) VALUES (%s) RETURNING profile_id)"
                " INSERT INTO nodes (node, kind, value, profile_id, first_seen)"
                " SELECT nodes[2], 'anonymous_id', %s, made.profile_id, time FROM events, made"
                " WHERE anonymous_id = %s LIMIT 1 RETURNING 1",
                world.now, value, value,
            )  # fmt: skip
    world.rows("UPDATE nodes SET born_as = coalesce(born_as, profile_id) RETURNING 1")
    world.rows(
        "INSERT INTO edges (weak, strong, how, time) SELECT DISTINCT nodes[2], nodes[1], 'event', now()"
        " FROM events WHERE nodes[2] IS NOT NULL ON CONFLICT DO NOTHING RETURNING 1"
    )


# Once a person, step and occasion


def _engaged(world: World, *users: str) -> None:
    world.people(*users, silent=1 * DAY)
    world.score()
    world.plan("good_activity")


def test_who_was_mailed_before_a_merge_is_not_mailed_after_it_for_the_same_occasion(
    world: World, sent: Sent
) -> None:
    """Both waited; one left before they became one person."""
    _engaged(world, "ann", "ben")
    _held(world, "ben")
    assert sent() == ["ann@example.com"]
    merging.merge(world, "ben", "ann")  # the mailed one is absorbed: its key is not the one that stays
    _held(world, "ben", due="now()")
    assert sent() == []
    assert sorted(_decisions(world)) == [("ann", "sent"), ("ben", "already_reached")]


def test_nor_where_a_new_message_is_planned_after_it(world: World, sent: Sent) -> None:
    _engaged(world, "ann")
    assert sent() == ["ann@example.com"]
    world.people("ben", silent=1 * DAY)
    world.identify_all()
    merging.merge(world, "ben", "ann")
    world.score()
    assert world.plan("good_activity").figures["planned"] == 0
    world.now += 1 * DAY  # another occasion, the same month
    world.put(world.track("ben", DAY / 24))
    world.score()
    assert world.plan("good_activity").figures["planned"] == 0
    world.now += 30 * DAY
    world.put(world.track("ben", DAY / 24))
    world.score()
    assert world.plan("good_activity").figures["planned"] == 1


def test_every_days_holds_for_what_was_planned_before_the_merge(world: World, sent: Sent) -> None:
    """Another day is another occasion: what is asked last knows of the month too."""
    _engaged(world, "ann")
    assert sent() == ["ann@example.com"]
    world.now += 3 * DAY
    _engaged(world, "ben")
    merging.merge(world, "ben", "ann")
    assert sent() == []
    assert _decisions(world) == [("ann", "sent"), ("ben", "already_reached")]


def test_of_two_people_that_are_one_by_now_one_alert_is_written_about(
    world: World, sent: Sent
) -> None:
    assert world.planned("ann", "ben") == 2
    merging.merge(world, "ann", "ben")
    assert len(sent()) == 1
    assert sorted(reason for _, reason in _decisions(world)) == ["already_reached", "sent"]


def test_a_mail_within_the_cooldown_of_the_other_s_is_not_written(world: World, sent: Sent) -> None:
    world.planned("ann")
    assert sent() == ["ann@example.com"]
    world.now += 2 * DAY
    world.people("ben")
    world.score()
    world.alert()
    assert world.plan().figures["planned"] == 1
    merging.merge(world, "ben", "ann")
    assert sent() == []
    assert _decisions(world) == [("ann", "sent"), ("ben", "already_reached")]


def test_a_cooldown_holds_across_a_merge(world: World) -> None:
    world.people("ann")
    world.score()
    assert world.alert().figures["created"] == 1
    world.people("ben")
    world.identify_all()
    merging.merge(world, "ben", "ann")
    world.now += 2 * DAY
    world.score()
    figures = world.alert().figures
    assert (figures["created"], figures["skipped"]) == (0, 1)


def test_a_split_brings_back_what_each_was_sent(world: World, sent: Sent) -> None:
    """While they were one, the mail went to Ben's address: it is Ben's again, and he gets no second."""
    world.put(world.identify("ann", 25 * DAY, consent=True), world.track("ann", 1 * DAY))
    world.people("ben", silent=1 * DAY)
    world.identify_all()
    merging.merge(world, "ann", "ben")
    world.score()
    assert world.plan("good_activity").figures["planned"] == 1
    assert sent() == ["ben@example.com"]
    merging.split(world, "ben")
    world.put(world.identify("ann", 2 * DAY, email="ann@example.com"))
    world.now += 1 * DAY
    world.put(world.track("ann", 0 * DAY), world.track("ben", 0 * DAY))
    world.score()
    assert world.plan("good_activity").figures["planned"] == 1
    assert sent() == ["ann@example.com"]


def test_what_waits_for_the_other_is_sent_after_a_split(world: World, sent: Sent) -> None:
    assert world.planned("ann", "ben") == 2
    merging.merge(world, "ann", "ben")
    merging.split(world, "ben")
    assert sent() == ["ann@example.com", "ben@example.com"]


def test_carrying_twice_adds_nothing(world: World, sent: Sent) -> None:
    _engaged(world, "ann", "ben")
    sent()
    merging.merge(world, "ben", "ann")
    before = world.rows("SELECT * FROM reached ORDER BY key")
    merging.carry(world, [row.node for row in world.rows("SELECT node FROM nodes")])
    assert world.rows("SELECT * FROM reached ORDER BY key") == before
    assert len(before) == 4  # two addresses, and two people that are one by now


def test_a_message_that_is_being_sent_is_carried_too(world: World) -> None:
    """Its content has left, its answer is not there yet: the other does not leave."""
    _engaged(world, "ann", "ben")
    with closing_connection(connect(world.horizon.database)) as connection:
        outbox = Outbox(connection, 60)
        first, second = outbox.claim(1), outbox.claim(1)
        assert len(outbox.turn([], first)[0]) == 1
        one = "ann" if _name(world, first[0]) == "ann" else "ben"
        merging.merge(world, "ben" if one == "ann" else "ann", one)
        begun, refused = outbox.turn([], second)
    assert (begun, [verdict.reason for _, verdict in refused]) == ([], ["already_reached"])


def _name(world: World, message_id: UUID) -> str:
    (row,) = world.rows("SELECT to_addr FROM messages WHERE message_id = %s", message_id)
    return str(row.to_addr).partition("@")[0]


def _held(world: World, user: str, due: str = "now() + interval '9 days'") -> None:
    world.rows(
        f"UPDATE outbox SET due_at = {due} WHERE message_id IN"
        " (SELECT message_id FROM messages WHERE to_addr = %s) RETURNING 1", f"{user}@example.com",
    )  # fmt: skip


# Consent


def test_of_two_merged_consents_the_stricter_holds_whichever_came_last(world: World) -> None:
    for yes, no in ((9 * DAY, 3 * DAY), (3 * DAY, 9 * DAY)):
        one, two = f"yes{yes.days}", f"no{no.days}"
        world.put(
            world.identify(one, yes, email=f"{one}@example.com", consent=True),
            world.identify(two, no, consent=False), world.track(one, 13 * DAY),
        )  # fmt: skip
        world.identify_all()
        merging.merge(world, one, two)
    world.score()
    world.alert()
    world.plan()
    assert _decisions(world) == [("yes9", "refused"), ("yes3", "refused")]


def test_a_refusal_comes_back_with_its_node(world: World, sent: Sent) -> None:
    world.person("ann", 13 * DAY)
    world.put(world.identify("ben", 3 * DAY, consent=False))
    world.score()
    world.alert()
    world.plan()
    merging.merge(world, "ann", "ben")
    (states,) = _states(world, "ann")
    assert states == "refused"
    merging.split(world, "ben")
    assert _states(world, "ann") == [None]
    assert sent() == ["ann@example.com"]


def test_a_refusal_of_a_merged_node_stops_what_was_planned(world: World, sent: Sent) -> None:
    world.planned("ann")
    world.put(world.identify("ben", 3 * DAY, consent=False))
    world.identify_all()
    merging.merge(world, "ann", "ben")
    assert sent() == []
    assert _decisions(world) == [("ann", "refused")]


def test_the_owner_s_and_the_operator_s_yes_are_about_the_whole_person(world: World) -> None:
    world.person("ann", 13 * DAY)
    world.put(world.identify("ben", 3 * DAY, consent=False))
    world.identify_all()
    merging.merge(world, "ann", "ben")
    assert _states(world, "ann") == ["refused"]
    _say(world, False)
    _say(world, True)
    assert _states(world, "ann") == [None]
    # It is written for the node that had said no, so that one more no of it would hold again.
    assert world.rows(
        "SELECT count(*)::int AS records FROM consents JOIN nodes USING (node) WHERE value = 'ben'"
    )[0].records == 2  # fmt: skip


def _say(world: World, granted: bool) -> None:
    from horizon.consent import book

    address = book.address_node(world.horizon.keys.node, "ann@example.com")
    with world.horizon.database.transaction(Role.WORKER) as tx:
        book.set_consent(
            tx, address, "marketing", "email", granted=granted, wording="told us",
            actor="tests", now=world.now,
        )  # fmt: skip
    world.now += DAY / 24


def _states(world: World, user: str) -> list[str | None]:
    rows = world.rows(
        "SELECT r.reason FROM nodes n JOIN profile_traits t USING (profile_id),"
        " LATERAL refusal(n.profile_id, t.value_node, 'example.com', 'marketing', 'email', %s) r"
        " WHERE n.value = %s AND t.name = 'email'", world.now, user,
    )  # fmt: skip
    return [row.reason for row in rows]


def test_a_suppressed_person_stays_so_under_another_best_node(world: World) -> None:
    """A channel without addresses: the merge makes another node the person's first."""
    world.put(world.identify("ben", 9 * DAY), world.identify("ann", 20 * DAY))
    world.identify_all()
    ann, ben = merging.node(world, "ann"), merging.node(world, "ben")
    world.rows(
        "INSERT INTO suppressions (address_hash, purpose, reason, created_at)"
        " VALUES (%s, '*', 'manual', now()) RETURNING 1", ben,
    )  # fmt: skip
    ask = "SELECT reason FROM refusal(%s, %s, 'hooks.example', 'marketing', 'webhook', %s)"
    assert world.rows(ask, merging.profile(world, "ann"), ann, world.now)[0].reason == "no_consent"
    merging.merge(world, "ann", "ben")
    assert world.rows(ask, merging.profile(world, "ann"), ann, world.now)[0].reason == "manual"
