"""What is kept of people follows their nodes: over merges, splits and dead nodes."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

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
    return [(row.to_addr.partition("@")[0], row.reason or row.status) for row in world.rows(query)]


# Events of a dead node


def _page(world: World, browser: str, ago: timedelta) -> dict[str, Any]:
    time = (world.now - ago).isoformat()
    return {"type": "page", "anonymousId": browser, "timestamp": time}


def test_a_dead_node_s_events_belong_to_the_next_live_one_or_to_nobody(world: World) -> None:
    merging.block(world, "shared")
    world.put(
        world.track("shared", 2 * DAY, anonymousId="browser"), world.track("shared", 1 * DAY),
        world.track("ann", 9 * DAY, anonymousId="phone"), _page(world, "browser", 8 * DAY),
    )  # fmt: skip
    world.score()
    rows = world.rows(
        "SELECT n.value, s.silent_s / 86400 AS days, s.activities FROM current_scores s"
        " JOIN nodes n USING (profile_id) WHERE n.value <> 'phone' ORDER BY 1"
    )
    assert [tuple(row) for row in rows] == [("ann", 9, 1), ("browser", 2, 2)]


def test_scores_and_a_profile_s_events_agree_also_behind_two_dead_nodes(world: World) -> None:
    merging.block(world, "shared", "kiosk")
    device = {"device": {"id": "D-1"}}
    world.put(
        world.track("shared", 3 * DAY, anonymousId="kiosk", context=device),
        world.track("shared", 1 * DAY, anonymousId="kiosk"),
        world.track("ann", 9 * DAY, anonymousId="kiosk"),
        world.track("shared", 4 * DAY, anonymousId="browser", context=device),
        _page(world, "browser", 8 * DAY), _page(world, "kiosk", 2 * DAY),
    )  # fmt: skip
    world.score()
    scored = world.rows(
        "SELECT names.user_id, s.profile_id, s.last_activity, s.activities FROM scores s"
        " JOIN profile_names names USING (profile_id) ORDER BY s.activities"
    )
    assert [row.activities for row in scored] == [1, 3]  # Ann; the browser with its device
    for row in scored:
        (own,) = world.rows(
            "SELECT max(time) AS last, count(*) AS events FROM profile_events(%s) WHERE activity",
            row.profile_id,
        )
        assert (own.last, own.events) == (row.last_activity, row.activities)


def test_an_explanation_lists_the_events_that_were_scored(world: World) -> None:
    merging.block(world, "shared")
    world.person("ann", 13 * DAY)
    world.put(
        world.track("ann", 14 * DAY, anonymousId="browser"),
        world.track("shared", 12 * DAY, anonymousId="browser"),
    )
    world.score()
    world.alert()
    world.plan()
    (message,) = world.rows("SELECT message_id FROM messages")
    with world.horizon.database.transaction(Role.READER) as tx:
        story = explain_message(tx, message.message_id)
    assert story is not None
    assert story.events is not None
    assert story.score is not None
    assert (story.events.activities, story.score.silent_s) == (3, 12 * 86400)
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


# Once a person, step and occasion


def _elder_last(world: World) -> list[str]:
    return sorted(("ann", "ben"), key=lambda name: -merging.profile(world, name))


def _engaged(world: World, *users: str) -> None:
    world.people(*users, silent=1 * DAY)
    world.score()
    world.plan("good_activity")


def test_who_was_mailed_before_a_merge_is_not_mailed_after_it_for_the_same_occasion(
    world: World, sent: Sent
) -> None:
    """Both waited; one left before they became one person."""
    _engaged(world, "ann", "ben")
    mailed, waits = _elder_last(world)
    _held(world, waits)
    assert sent() == [f"{mailed}@example.com"]
    merging.merge(
        world, "ben", "ann"
    )  # the mailed one is absorbed: its key is not the one that stays
    _held(world, waits, due="now()")
    assert sent() == []
    assert dict(_decisions(world)) == {mailed: "sent", waits: "already_reached"}


def test_nor_where_a_new_message_is_planned_after_it(world: World, sent: Sent) -> None:
    world.people("ben", silent=20 * DAY)  # the elder: it is his profile's id that stays
    world.identify_all()
    _engaged(world, "ann")
    assert sent() == ["ann@example.com"]
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
    """The elder's id stays, and his user id is the one that they are called by."""
    world.put(world.identify("ben", 26 * DAY), world.track("ben", 4 * DAY))
    world.identify_all()
    world.people("ann")
    world.score()
    assert world.alert().figures["created"] == 1
    merging.merge(world, "ben", "ann")
    world.now += 6 * DAY
    world.score()
    figures = world.alert().figures
    assert (figures["created"], figures["skipped"]) == (0, 1)


def test_a_split_brings_back_what_each_was_sent(world: World, sent: Sent) -> None:
    """While they were one, the mail went to Ben's address: it is Ben's again, and he gets no second."""
    world.put(world.identify("ann", 26 * DAY, consent=True), world.track("ann", 1 * DAY))
    world.people("ben", silent=1 * DAY)
    world.identify_all()
    merging.merge(world, "ann", "ben")
    world.score()
    assert world.plan("good_activity").figures["planned"] == 1
    assert sent() == ["ben@example.com"]
    merging.split(world, "ben", "ann")
    world.put(world.identify("ann", 2 * DAY, email="ann@example.com"))
    world.now += 1 * DAY
    world.put(world.track("ann", 0 * DAY), world.track("ben", 0 * DAY))
    world.score()
    assert world.plan("good_activity").figures["planned"] == 1
    assert sent() == ["ann@example.com"]


def test_after_a_split_who_got_the_mail_is_left_alone_for_the_cooldown(
    world: World, sent: Sent
) -> None:
    """The alert was about both and is Ann's now; the mail went to Ben, who has an alert of his own."""
    world.put(world.identify("ann", 26 * DAY, consent=True), world.track("ann", 13 * DAY))
    world.people("ben")
    world.identify_all()
    merging.merge(world, "ann", "ben")
    world.score()
    world.alert()
    assert world.plan().figures["planned"] == 1
    assert sent() == ["ben@example.com"]
    merging.split(world, "ben", "ann")
    world.now += 1 * DAY
    world.score()
    assert world.alert().figures["created"] == 1
    assert world.plan().figures["planned"] == 1
    assert sent() == []
    assert [reason for _, reason in _decisions(world)] == ["sent", "already_reached"]


def test_what_waits_for_the_other_is_sent_after_a_split(world: World, sent: Sent) -> None:
    """Ben's was planned first, so that it took the place of Ann's while they were one."""
    world.people("ann", silent=9.5 * DAY)
    world.identify_all()
    assert world.planned("ben") == 1
    world.now += 1 * DAY
    world.score()
    world.alert()
    assert world.plan().figures["planned"] == 1
    merging.merge(world, "ann", "ben")
    merging.split(world, "ben", "ann")
    assert sent() == ["ann@example.com", "ben@example.com"]


def test_of_two_alerts_of_one_person_one_is_written_about_also_at_one_moment(world: World) -> None:
    """The first is being sent when the second is asked about: no answer is there yet."""
    assert world.planned("ann", "ben") == 2
    merging.merge(world, "ann", "ben")
    with closing_connection(connect(world.horizon.database)) as connection:
        outbox = Outbox(connection, 60)
        first, second = outbox.claim(1), outbox.claim(1)
        left = [len(outbox.turn([], claimed)[0]) for claimed in (first, second)]
    assert sorted(left) == [0, 1]


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
    _, waits = _elder_last(world)
    _held(world, waits)
    with closing_connection(connect(world.horizon.database)) as connection:
        outbox = Outbox(connection, 60)
        assert len(outbox.turn([], outbox.claim())[0]) == 1
        _held(world, waits, due="now()")
        second = outbox.claim()
        merging.merge(world, "ben", "ann")
        begun, refused = outbox.turn([], second)
    assert (begun, [verdict.reason for _, verdict in refused]) == ([], ["already_reached"])


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
    merging.split(world, "ben", "ann")
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
