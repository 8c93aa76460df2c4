"""Why a message was sent or not: as it was when it was decided, whatever came since."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from msgspec.structs import replace
from typer.testing import CliRunner, Result

from horizon.cli import main
from horizon.observe.explain import page, words
from horizon.observe.explain.gather import explain_message
from horizon.observe.explain.story import Reached, Story
from horizon.pipeline import outgoing, stages
from horizon.postgres.database import Role
from horizon.settings import Settings
from tests.servers.smtp_recorder import SmtpRecorder
from tests.story_ids import follow
from tests.world import DAY, World


@pytest.fixture
def world(world: World) -> World:
    world.person("ada", 13 * DAY)
    world.person("bob", 12 * DAY, consent=False)
    world.person("cyd", 1 * DAY)
    world.person("dan", 20 * DAY, consent=None)
    world.person("eve", 13 * DAY, email=None)
    world.put(*(world.track("cyd", timedelta(hours=hour)) for hour in range(1, 31)))
    world.score()
    world.alert()
    world.plan("miss_you")
    world.plan("good_activity")
    return world


def message_of(world: World, user: str) -> UUID:
    row = world.rows(
        "SELECT message_id FROM messages JOIN nodes USING (node) WHERE value = %s", user
    )[0]
    found: UUID = row.message_id
    return found


def explained(world: World, user: str) -> Story:
    with world.horizon.database.transaction(Role.WORKER) as tx:
        story = explain_message(tx, message_of(world, user))
    assert story is not None
    return story


def told(world: World, *arguments: str) -> str:
    values = {
        "PG_DSN": world.horizon.settings.PG_DSN,
        "HORIZON_HOME": world.horizon.settings.HORIZON_HOME,
    }
    done: Result = CliRunner().invoke(main.app, ["explain", *arguments], env=values)
    assert done.exit_code == 0, done.output
    return done.output


def test_every_id_of_every_message_leads_to_its_row(world: World) -> None:
    with world.horizon.database.transaction(Role.OWNER) as tx:
        rows = tx.execute("SELECT message_id FROM messages").fetchall()
        stories = [follow(tx, row.message_id) for row in rows]
    reasons = {story["decision"]["reason"] for story in stories}
    assert reasons == {None, "refused", "no_consent", "no_address"}
    assert len(stories) == 5


def test_an_explanation_outlives_scores_and_edits(world: World) -> None:
    """Ten scorer's runs later the rows of the first are gone, and ada came back."""
    before = {user: explained(world, user) for user in ("ada", "cyd")}
    with world.horizon.database.transaction(Role.OWNER) as tx:
        tx.execute("UPDATE campaigns SET purpose = 'tracking', every_days = 3")
        tx.execute("UPDATE campaigns SET status = 'paused'")
    world.now += DAY
    world.put(world.track("ada", timedelta()), world.identify("ada", timedelta(), consent=False))
    for _ in range(4):
        world.score()
    world.alert()
    after = {user: explained(world, user) for user in ("ada", "cyd")}
    assert (
        world.rows("SELECT FROM scores WHERE score_run = %s", before["ada"].score.score_run) == []
    )
    assert after["ada"].score == before["ada"].score
    assert after["ada"].score.source == "alert"
    assert after["ada"].consent.when_decided == before["ada"].consent.when_decided
    assert (after["cyd"].score.source, before["cyd"].score.source) == ("events", "run")
    assert after["cyd"].score.score == pytest.approx(before["cyd"].score.score)
    assert after["cyd"].events == before["cyd"].events
    assert after["cyd"].campaign.purpose == "marketing"
    assert (after["cyd"].campaign.version, after["cyd"].campaign.newest_version) == (1, 2)
    assert after["ada"].alert.status == "RESOLVED"


def test_what_a_scorer_did_not_know_of_is_no_reason(world: World) -> None:
    """It happened before, and was received after."""
    before = explained(world, "cyd")
    world.put(world.track("cyd", timedelta(minutes=5)), received_at=world.now + 400 * DAY)
    world.identify_all()
    assert explained(world, "cyd").events == before.events


def test_it_tells_where_it_is_sealed(world: World) -> None:
    assert explained(world, "ada").sealed == []
    world.runner.run(stages.seal_stage(), world.now)
    with world.horizon.database.transaction(Role.OWNER) as tx:
        story = follow(tx, message_of(world, "ada"))
    assert [(one["thing"], one["state"]) for one in story["sealed"]] == [
        ("alert", "NEW"), ("consent", "granted"), ("message", "planned")
    ]  # fmt: skip
    assert story["sealed"][0]["hash"] in told(world, "message", story["message_id"])


def test_the_events_behind_it_are_listed_up_to_a_number(world: World) -> None:
    one = explained(world, "cyd")
    assert one.events is not None
    assert (one.events.activities, len(one.events.listed), one.events.more) == (31, 20, 11)
    told_of = told(world, "message", str(one.message_id), "--activities", "3")
    assert "and 28 older" in told_of


def test_the_text_has_the_sum_and_masks_the_address(world: World) -> None:
    said = told(world, "message", str(message_of(world, "ada")))
    assert "1123200 s of silence / 1209600 s (14 days) = 0.928571." in said
    assert "a***@e***.com" in said
    assert "ada@example.com" not in said
    assert "Traceback" not in said


@pytest.mark.parametrize(
    "address", ["ada@example.com", "a@b.de", "a.b@c@d.co.uk", "x@localhost", "ü@ö.example"]
)
def test_an_address_is_masked_as_the_preference_page_masks_it(address: str, world: World) -> None:
    message = message_of(world, "ada")
    with world.horizon.database.transaction(Role.OWNER) as tx:
        tx.execute("UPDATE messages SET to_addr = %s WHERE message_id = %s", [address, message])
    [row] = world.rows("SELECT masked_address(%s) AS masked", message)
    assert explained(world, "ada").person.address == row.masked
    assert row.masked != address


def _says_again(world: World, *, consent: bool) -> None:
    """Ada answers once more, an hour after it was decided; then what waits is sent."""
    world.now += timedelta(hours=1)
    world.put(world.identify("ada", timedelta(0), email="ada@example.com", consent=consent))
    world.identify_all()


def test_consent_is_told_as_it_was_when_decided_and_as_it_was_when_sent(
    world: World, tmp_path: Path
) -> None:
    _says_again(world, consent=True)
    with SmtpRecorder(tmp_path) as recorder:
        outgoing.send(world.sending(recorder.port).horizon)
    one = explained(world, "ada")
    assert one.decision.status == "sent"
    assert {record.time for record in one.consent.when_decided} == {
        world.now - timedelta(hours=1) - 25 * DAY
    }
    assert {record.time for record in one.consent.when_sent} == {world.now}


def test_a_no_that_came_after_the_decision_is_shown_as_the_reason(
    world: World, tmp_path: Path
) -> None:
    _says_again(world, consent=False)
    with SmtpRecorder(tmp_path) as recorder:
        outgoing.send(world.sending(recorder.port).horizon)
    one = explained(world, "ada")
    assert (one.decision.status, one.decision.reason) == ("skipped", "refused")
    assert {(record.granted, record.time) for record in one.consent.when_decided} == {
        (False, world.now)
    }


def test_a_skipped_message_says_why(world: World) -> None:
    assert explained(world, "bob").decision.why.endswith("the owner of the address said no.")
    assert explained(world, "eve").decision.why.endswith("skipped: no address is known.")


def test_a_mail_that_asks_for_consent_tells_who_asked(world: World) -> None:
    wish = world.identify("zoe", timedelta(), email="zoe@example.com", consent=True)
    world.put(wish, kind="public")
    world.identify_all()
    world.plan("confirm_consent")
    [row] = world.rows("SELECT message_id FROM messages WHERE campaign = 'confirm_consent'")
    with world.horizon.database.transaction(Role.OWNER) as tx:
        story = follow(tx, row.message_id)
    assert story["consent"]["needed"] is False
    assert story["consent"]["opt_in"]["wording"].startswith("I agree to receive by e-mail")
    assert story["consent"]["opt_in"]["event_id"]
    said = told(world, "message", str(row.message_id))
    assert "somebody asked for messages to this address" in said
    assert "This mail needs none." in said
    assert "zoe@example.com" not in said


@pytest.mark.parametrize("aggregated", [False, True])
def test_the_operator_s_own_mail_is_explained(aggregated: bool, world: World) -> None:
    stages.plan_demo(
        world.horizon, "me@example.com", aggregated=aggregated, now=world.now, correlation_id=uuid4()
    )  # fmt: skip
    [row, *_] = world.rows("SELECT message_id FROM messages WHERE campaign = 'demo'")
    with world.horizon.database.transaction(Role.OWNER) as tx:
        story = follow(tx, row.message_id)
    assert story["decision"]["why"].startswith("Chosen because the operator asked for it")
    said = told(world, "message", str(row.message_id))
    assert "me@example.com" not in said


def test_a_webhook_s_target_is_told_by_its_host_alone(world: World) -> None:
    target = "https://hooks.example.com/in/secret-token"
    own = (
        "INSERT INTO campaigns VALUES ('hook', 'alerts', 'thin', 'webhook', 'marketing', NULL, %s)"
    )
    with world.horizon.database.transaction(Role.OWNER) as tx:
        tx.execute(own, [target])
    world.plan("hook")
    [row, *_] = world.rows("SELECT message_id FROM messages WHERE campaign = 'hook'")
    with world.horizon.database.transaction(Role.OWNER) as tx:
        story = follow(tx, row.message_id)
    assert story["campaign"]["target_host"] == "hooks.example.com"
    assert "secret-token" not in json.dumps(story)


def test_json_is_one_object_and_an_alert_s_and_a_person_s_are_lists(world: World) -> None:
    one = json.loads(told(world, "message", str(message_of(world, "ada")), "--json"))
    alert_id = one["alert"]["alert_id"]
    assert json.loads(told(world, "alert", str(alert_id), "--json")) == [one]
    assert json.loads(told(world, "user", "ada", "--json")) == [one]


def test_the_page_is_one_file(world: World, tmp_path: Path) -> None:
    target = tmp_path / "why.html"
    world.put(world.identify("ada", timedelta(), plan="<b>bold</b>"))
    told(world, "message", str(message_of(world, "ada")), "--out", str(target))
    text = target.read_text()
    assert not re.search(r"""(?:src|href|url\()\s*=?\s*["']?\s*(?:https?:|//)""", text)
    assert "<script" not in text
    assert "prefers-color-scheme: dark" in text
    assert 'name="viewport"' in text
    assert "ada@example.com" not in text
    assert "= 0.928571" in text


def test_markup_in_a_name_is_no_markup(world: World) -> None:
    world.person("<i>x</i>[red]", 13 * DAY)
    world.score()
    world.alert()
    world.plan()
    story = explained(world, "<i>x</i>[red]")
    assert "&lt;i&gt;x&lt;/i&gt;[red]" in page.render(story)
    assert "<i>x" not in page.render(story)
    assert "<i>x</i>[red]" in told(world, "user", "<i>x</i>[red]")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("explain", "message", "nonsense"), "is no message's id"),
        (("message", "show", "nonsense"), "is no message's id"),
        (("message", "settle", "12", "--as", "sent"), "is no message's id"),
        (("explain", "message", str(uuid4())), "There is no message"),
        (("message", "show", str(uuid4())), "There is no message"),
        (("explain", "alert", "x"), "is no alert's number"),
        (("explain", "alert", "99999999999999999999"), "is no alert's number"),
        (("explain", "alert", "4711"), "There is no alert 4711: "),
        (("explain", "user", "nobody"), "There is no message to a user 'nobody'"),
    ],
)
def test_a_mistake_gets_one_sentence(
    arguments: tuple[str, ...], sentence: str, settings: Settings, horizon: Any,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    for name in ("PG_DSN", "HORIZON_HOME", "LOG_PATH"):
        monkeypatch.setenv(name, str(getattr(settings, name)))
    assert main.run(list(arguments)) == 2
    said = capsys.readouterr().err
    assert said.startswith("horizon: ")
    assert sentence in said
    assert said.count("\n") == 1


def test_an_alert_of_which_no_message_came_says_so(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PG_DSN", str(world.horizon.settings.PG_DSN))
    monkeypatch.setenv("HORIZON_HOME", world.horizon.settings.HORIZON_HOME)
    world.person("zoe", 13 * DAY)
    world.score()
    world.alert()
    (row,) = world.rows("SELECT max(alert_id) AS alert_id FROM alerts")
    assert main.run(["explain", "alert", str(row.alert_id)]) == 2
    assert f"No message came of alert {row.alert_id} so far: " in capsys.readouterr().err


def test_no_column_is_unnamed_and_no_key_is_told(world: World) -> None:
    plain = explained(world, "ada")
    reached = Reached(uuid4(), "address", plain.message_id)
    story = replace(plain, decision=replace(plain.decision, reached=[reached]))
    for section in words.sections(story):
        assert all(section.head), section.title
        assert all(str(reached.key) not in cell for row in section.rows for cell in row)
    assert ("this address", str(plain.message_id)) in words.sections(story)[0].rows
    text = told(world, "message", str(story.message_id))
    (planned,) = [run for run in story.runs if run.run_id == story.decision.run_id]
    assert planned.campaign == story.decision.campaign
    assert re.search(rf"campaign +{planned.campaign} +done", text)


def test_a_page_that_cannot_be_written_says_so(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PG_DSN", str(world.horizon.settings.PG_DSN))
    monkeypatch.setenv("HORIZON_HOME", world.horizon.settings.HORIZON_HOME)
    message = str(message_of(world, "ada"))
    assert main.run(["explain", "message", message, "--out", "/nowhere/why.html"]) == 1
    assert "cannot be written" in capsys.readouterr().err
