"""The demo's figures are the tables' own, for the first run and for the ones after it."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from horizon import clock
from horizon.demo import figures, page
from horizon.demo.figures import Figures
from horizon.edge.unsubscribe import unsubscribe
from horizon.pipeline import stages
from horizon.pipeline.installation import Installation
from horizon.pipeline.intake import SIMULATOR, Simulated
from horizon.postgres.database import Database, Role
from horizon.scoring.rules import DAY_S
from horizon.sources.files import FileResult
from tests.servers.catcher import Catcher
from tests.world import DAY, World

HOSTILE = '"><script>document.title="taken"</script>'
HOUR = timedelta(hours=1)
SENT, REJECTED = 18, 2  # the collector kept 16 of them
BOUGHT = FileResult(read=3, inserted=2, duplicates=0, rejected=1, digest="d")


@dataclass
class Demo:
    """A small demo: the world's people, one after another run, and what is gathered of it."""

    world: World
    past: Installation
    run: UUID
    new: int

    def gather(self) -> Figures:
        simulated = Simulated(events=SENT, users=7, inserted=self.new)
        return figures.gather(
            self.world.horizon, self.past, self.run, simulated, BOUGHT, self.world.now
        )

    def again(self) -> Demo:
        run = uuid4()
        stages.run_all(self.world.horizon, self.world.now, correlation_id=run)
        return Demo(self.world, self.past, run, new=0)

    def count(self, query: str, *parameters: object) -> int:
        return int(
            self.world.rows(f"SELECT count(*)::int AS found FROM {query}", *parameters)[0].found
        )


@pytest.fixture
def past(horizon: Installation, module_database: Database) -> Installation:
    """Two customers of long ago; the tests share them."""
    opened = replace(horizon, database=module_database)
    world = World(opened)
    world.put(world.track("1", 20 * DAY), world.track("2", 3 * DAY))
    stages.score(opened, world.now)
    return opened


@pytest.fixture(scope="module")
def catcher(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Catcher]:
    with Catcher(tmp_path_factory.mktemp("demo") / "mail") as catcher:
        yield catcher


@pytest.fixture
def demo(horizon: Installation, past: Installation, home: Path, catcher: Catcher) -> Demo:
    (home / "mail").symlink_to(catcher.folder)
    settings = horizon.settings.changed(CATCHER_SMTP_PORT=catcher.smtp_port)
    world = World(replace(horizon, settings=settings))
    _people(world)
    first = Demo(world, past, uuid4(), new=SENT - REJECTED)
    stages.run_all(world.horizon, world.now, correlation_id=first.run)
    return first


def _people(world: World) -> None:
    def signed_up(user: str, consent: bool | None, name: str = "") -> dict[str, Any]:
        address = f"{user}@example.com"
        return world.identify(
            user, 25 * DAY, email=address, consent=consent, first_name=name or user
        )

    world.put(
        signed_up("leaving", True), signed_up("gone", True), signed_up("fading", True),
        signed_up("active", True), signed_up("silent", None), signed_up("evil", True, HOSTILE),
        world.identify("gone", 22 * DAY, consent=False),
        world.track("leaving", 15 * DAY, "Logged In"),
        world.track("leaving", 13 * DAY + 2 * HOUR, "Logged In"),
        world.track("leaving", 13 * DAY), world.track("gone", 24 * DAY),
        world.track("fading", 8 * DAY), world.track("active", 2 * DAY),
        world.track("silent", 1 * DAY), world.track("evil", 12 * DAY, HOSTILE),
        world.track("nobody", 26 * DAY),
    )  # fmt: skip
    world.rows("UPDATE sources SET name = %s WHERE name = 'server' RETURNING 1", SIMULATOR)


def test_every_number_is_the_tables(demo: Demo) -> None:
    shown = demo.gather()
    tiers = Counter(row.tier for row in demo.world.rows("SELECT tier FROM current_scores"))
    assert shown.people.tiers == tiers == {"high": 4, "medium": 1, "low": 2}
    assert sum(map(sum, shown.people.bins)) == shown.people.profiles == demo.count("profiles") == 7
    assert shown.people.intake == figures.Intake(sent=18, new=16, known=0, rejected=2)
    assert (
        shown.people.events == demo.count("events WHERE name IS DISTINCT FROM 'Message Sent'") == 16
    )
    assert shown.cdnow.tiers == {"high": 1, "medium": 0, "low": 1}
    assert shown.cdnow.intake == figures.Intake(sent=3, new=2, known=0, rejected=1)
    assert (shown.alerts.created, shown.alerts.open, shown.alerts.skipped) == (4, 4, 0)
    assert shown.alerts.open == demo.count("alerts WHERE status <> 'RESOLVED'")
    assert shown.sent() == shown.sent(this_run=True) == 3
    assert shown.sent() == demo.count("messages WHERE status = 'sent'") == len(shown.chains)
    assert shown.not_sent() == demo.count("messages WHERE status = 'skipped'") == 3
    by_name = {campaign.name: campaign for campaign in shown.campaigns}
    assert by_name["miss_you"].not_sent() == {
        ("skipped", "refused"): 1, ("skipped", "no_address"): 1,
    }  # fmt: skip
    assert by_name["good_activity"].not_sent() == {("skipped", "no_consent"): 1}
    assert [one.person.user_id for one in shown.left_alone] == ["nobody", "gone", "silent"]


def test_who_is_at_risk_and_why(demo: Demo) -> None:
    shown = demo.gather()
    scores = demo.world.rows(
        "SELECT user_id, score, silent_s FROM current_scores"
        " ORDER BY score DESC, silent_s DESC, profile_id LIMIT 10"
    )
    assert [(one.person.user_id, one.score, one.silent_s) for one in shown.at_risk] == [
        (row.user_id, row.score, row.silent_s) for row in scores
    ]
    (leaving,) = [one for one in shown.at_risk if one.person.user_id == "leaving"]
    assert leaving.last is not None
    assert (leaving.last.name, leaving.visits, leaving.granted) == ("Product Viewed", 3, True)
    assert (leaving.status, leaving.reason) == ("sent", None)
    reasons = {one.person.user_id: one.reason for one in shown.at_risk if one.status == "skipped"}
    assert reasons == {"gone": "refused", "nobody": "no_address"}
    assert [
        (one.granted, one.said_at) for one in shown.at_risk if one.person.user_id == "gone"
    ] == [(False, demo.world.now - 22 * DAY)]


def test_the_chain_of_a_mail_goes_from_its_events_to_the_answer(demo: Demo) -> None:
    (chain,) = [one for one in demo.gather().chains if one.person.user_id == "leaving"]
    row = demo.world.rows("SELECT * FROM messages WHERE message_id = %s", chain.message_id)[0]
    alert = demo.world.rows("SELECT * FROM alerts WHERE alert_id = %s", row.alert_id)[0]
    events = demo.world.rows(
        "SELECT event_id FROM events WHERE user_id = 'leaving' AND activity ORDER BY time DESC"
    )
    assert [one.event_id for one in chain.activities] == [one.event_id for one in events]
    assert chain.score is not None and chain.alert is not None and chain.consent is not None
    assert chain.score.score == alert.score == chain.score.silent_s / (14 * DAY_S)
    assert (chain.alert.status, chain.alert.notified_at) == ("NOTIFIED", row.finished_at)
    assert chain.consent.time == demo.world.now - 25 * DAY
    assert (chain.occasion, chain.answer) == (f"alert:{row.alert_id}", row.answer)
    assert chain.reached == [f"profile:{row.profile_id}", f"address:{row.address_hash}"]


def test_an_old_runs_score_is_computed_again_from_its_events(demo: Demo) -> None:
    def decided(shown: Figures) -> list[float]:
        return [one.score.score for one in shown.chains if one.score]

    before = decided(demo.gather())
    later = demo.world.track("active", -HOUR)
    demo.world.put(later, received_at=demo.world.now + DAY)
    for _ in range(4):
        stages.score(demo.world.horizon, demo.world.now + DAY)
    kept = "score_runs r WHERE correlation_id = %s AND to_regclass('scores_' || score_run) IS NULL"
    assert demo.count(kept, demo.run) == 1
    assert decided(demo.gather()) == pytest.approx(before)
    assert len(before) == 3


def test_the_page_shows_what_was_received_and_escapes_it(demo: Demo) -> None:
    shown = demo.gather()
    html = page.render(shown)
    assert {mail.campaign for mail in shown.mails} == {"miss_you", "good_activity"}
    assert {str(chain.message_id) for chain in shown.chains} <= set(shown.received)
    assert "<script" not in html and "&lt;script&gt;" in html
    for chain in shown.chains:
        assert f"&lt;{chain.message_id}@horizon.example&gt;" in html
    anchors = set(re.findall(r'href="#(m-[^"]+)"', html))
    assert anchors and anchors <= set(re.findall(r'id="(m-[^"]+)"', html))


def test_the_log_of_the_run_agrees(demo: Demo) -> None:
    demo.again()
    shown = demo.gather()
    by_stage = {line.stage: line.figures for line in shown.log.lines}
    stages_run = ["identity", "archive", "score", "alert", "campaign", "email", "seal"]
    assert list(by_stage) == stages_run
    assert by_stage["alert"]["created"] == shown.alerts.created
    assert shown.log.details == {"score_detail": 1, "alert_created": 4, "message": 6}
    assert all(json.loads(line.raw)["correlation_id"] == str(demo.run) for line in shown.log.lines)


def test_a_second_run_finds_everything_done(demo: Demo) -> None:
    first, second = demo.gather(), demo.again().gather()
    assert second.sent(this_run=True) == second.not_sent(this_run=True) == 0
    assert second.nothing_new is False  # a line of the file came, and was new
    assert second.people.intake == figures.Intake(sent=18, new=0, known=16, rejected=2)
    assert (second.alerts.created, second.alerts.skipped, second.alerts.open) == (0, 4, 4)
    assert second.sent() == first.sent()
    assert [one.message_id for one in second.mails] == [one.message_id for one in first.mails]
    assert second.chains == first.chains


def test_whoever_unsubscribes_is_counted_and_told(demo: Demo) -> None:
    (chosen,) = [one for one in demo.gather().chains if one.person.user_id == "leaving"]
    with demo.world.horizon.database.transaction(Role.EDGE) as tx:
        unsubscribe(tx, chosen.message_id, "one_click", clock.now(), era=demo.world.horizon.era())
    shown = demo.again().gather()
    (after,) = [one for one in shown.chains if one.message_id == chosen.message_id]
    assert shown.came_back == {"unsubscribed": 1}
    assert after.unsubscribed_at is not None and chosen.unsubscribed_at is None
    assert demo.count("events WHERE event_id = %s", after.unsubscribed_event_id) == 1
    words = re.sub(r"<[^>]+>", "", page.render(shown))
    assert len(re.findall(r"Mailed; unsubscribed on", words)) == 1


def test_a_mail_that_an_earlier_run_planned_is_this_runs_where_it_sends_it(demo: Demo) -> None:
    demo.world.rows(
        "WITH again AS (UPDATE messages SET status = 'planned', claim = NULL, sending_at = NULL,"
        " finished_at = NULL WHERE campaign = 'good_activity' AND status = 'sent' RETURNING message_id)"
        " INSERT INTO outbox (message_id, campaign, due_at)"
        " SELECT message_id, 'good_activity', now() FROM again RETURNING 1"
    )
    assert sum(campaign.waiting() for campaign in demo.gather().campaigns) == 1
    shown = demo.again().gather()
    assert (shown.sent(this_run=True), shown.sent()) == (1, 3)
