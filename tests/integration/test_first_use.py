"""What somebody stumbles over who uses it for the first time: each word leads on."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

import pytest

from horizon import links
from horizon.cli import serve
from horizon.cli.main import run
from horizon.delivery import channels
from horizon.edge.unsubscribe import unsubscribe
from horizon.keys import Keys
from horizon.pipeline import outgoing
from horizon.postgres.database import Database, Role
from horizon.settings import Settings
from tests.servers.collector import Application
from tests.servers.smtp_recorder import SmtpRecorder
from tests.world import DAY, World

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def command(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Command:
    """Types a command; its exit code, and what it said on stdout and on stderr."""
    for name in ("PG_DSN", "HORIZON_HOME", "LOG_PATH"):
        monkeypatch.setenv(name, str(getattr(settings, name)))
    monkeypatch.setenv("COLUMNS", "300")

    def type_in(*words: str) -> tuple[int, str, str]:
        code = run(list(words))
        said = capfd.readouterr()
        return code, said.out, said.err

    return type_in


def _no(*who: str) -> tuple[str, ...]:
    return ("consent", "set", *who, "--purpose", "marketing", "--wording", "Stop it.", "--refuse")


def test_a_consent_is_set_by_user_id(command: Command, world: World) -> None:
    world.person("ann", DAY)
    world.person("eve", DAY, email=None)
    world.identify_all()
    code, out, _ = command(*_no("ann"))
    assert (code, "Nothing of this purpose is sent (refused)" in out) == (0, True)
    (row,) = world.rows(
        "SELECT granted, address_hash IS NOT NULL AS by FROM consents WHERE way = 'manual'"
    )
    assert (row.granted, row.by) == (False, True)
    assert command(*_no("bob"))[0] == 2
    code, _, err = command(*_no("eve"))
    assert (code, "eve is known without an address" in err) == (2, True)


def test_a_purpose_that_is_there_already_is_said_to_be(command: Command, world: World) -> None:
    assert command("consent", "purpose", "add", "sport", "--title", "Sports")[1] == (
        "People can agree to sport now, or refuse it.\n"
    )
    assert "it stays as it is" in command("consent", "purpose", "add", "sport")[1]
    assert (
        "its titles are changed" in command("consent", "purpose", "add", "sport", "--title", "S")[1]
    )
    actions = [row.action for row in world.rows("SELECT action FROM audit WHERE object = 'sport'")]
    assert actions == ["purpose:added", "purpose:retitled"]


def test_messages_of_one_campaign(command: Command, world: World) -> None:
    world.person("fan", DAY)
    world.planned("ann")
    world.plan("good_activity")
    code, out, _ = command("message", "list", "--campaign", "miss_you", "--json")
    assert [row["campaign_id"] for row in json.loads(out)] == ["miss_you"]
    assert "No message of nobody is sent" not in out
    code, out, _ = command("message", "list", "--campaign", "miss_you", "--status", "sent")
    assert (code, out) == (0, "No message of miss_you is sent.\n")
    code, _, err = command("message", "list", "--campaign", "nosuch")
    assert (code, "no campaign 'nosuch': choose one of" in err) == (2, True)


def test_what_demo_mode_needs_is_no_campaign_of_anybody_s(command: Command) -> None:
    listed = json.loads(command("campaign", "list", "--json")[1])
    assert [row["campaign"] for row in listed] == ["confirm_consent", "good_activity", "miss_you"]


@pytest.mark.parametrize(
    ("suppression", "means"),
    [(None, "messages may be sent"), ("manual", "stopped by hand: `horizon suppression remove`"),
     ("complaint", "called a mail spam")],
)  # fmt: skip
def test_a_state_is_explained(
    command: Command, world: World, suppression: str | None, means: str
) -> None:
    world.planned("ann")
    if suppression:
        world.rows(
            "INSERT INTO suppressions SELECT address_hash, '*', %s, now() FROM messages RETURNING 1",
            suppression,
        )
    assert means in command("consent", "show", "ann")[1]


def test_an_import_that_brings_nothing_fails(command: Command, tmp_path: Path) -> None:
    bad, good, listmonk = tmp_path / "bad.csv", tmp_path / "good.csv", tmp_path / "l.json"
    bad.write_text("email,granted\nann at example.com,yes\nbob@example.com,perhaps\n")
    code, out, err = command("consent", "import", str(bad), "--format", "csv")
    assert (code, "2 lines cannot be used" in out) == (1, True)
    assert f"No line of {bad} can be used" in err
    good.write_text("email,granted\nann at example.com,yes\nbob@example.com,yes\n")
    assert command("consent", "import", str(good), "--format", "csv")[0] == 0
    assert command("consent", "import", str(good), "--format", "csv")[0] == 0  # known already
    subscription = {"name": "News", "subscription_status": "confirmed",
                    "subscription_created_at": "2026-01-01T00:00:00Z"}  # fmt: skip
    person = {"email": "cid@example.com", "status": "enabled", "lists": [subscription]}
    listmonk.write_text(json.dumps({"data": {"results": [person]}}))
    words = ("consent", "import", str(listmonk), "--format", "listmonk", "--list")
    code, _, err = command(*words, "Nope")
    assert (code, "is on the list 'Nope'" in err) == (1, True)
    assert command(*words, "News")[0] == 0


def test_a_rehearsal_of_opt_ins_names_nobody(command: Command, world: World) -> None:
    assert command("consent", "ask", "ann@example.com")[0] == 0
    code, out, _ = command("campaign", "run", "confirm_consent", "--dry-run", "--json")
    assert (code, [row["user_id"] for row in json.loads(out)]) == (0, [None])
    assert "(not known yet)" in command("campaign", "run", "confirm_consent", "--dry-run")[1]


def test_a_message_s_story_tells_of_its_opens(
    command: Command, world: World, tmp_path: Path, keys: Keys
) -> None:
    with SmtpRecorder(tmp_path) as recorder:
        sending = world.sending(recorder.port)
        world.person("ann", 13 * DAY)
        yes = {"context": {"consent": {"categoryPreferences": {"tracking.email": True}}}}
        world.put({**world.identify("ann", 2 * DAY), **yes})
        world.planned()
        outgoing.send(sending.horizon)
    (row,) = world.rows("SELECT message_id FROM messages")
    with Application(world.horizon.settings) as collector:
        path = f"/o/{links.sign(keys.link, row.message_id, 'track')}"
        browser = {
            "User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
        }
        assert collector.ask("GET", path, headers=browser).status == 200
    code, out, _ = command("message", "show", str(row.message_id))
    told = dict(line.split(maxsplit=1) for line in out.splitlines())
    assert {"alert_score", "newest_score", "newest_activity"} <= set(told)
    assert "score" not in told, "which of the two it would be"
    (line,) = [line for line in out.splitlines() if line.startswith("open")]
    assert (code, line.endswith("by a person")) == (0, True)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("consent", "set", "a@example.com", "--purpose", "p", "--wording", "w"),
         "Missing option '--grant' or '--refuse'. Say which: yes or no."),
        (("campaign", "add", "x", "--audience", "alerts"),
         "Missing option '--template'. One of the channel's templates."),
        (("campaign", "run"), "Its name, as `horizon campaign list` shows it."),
        (("message", "settle", str(UUID(int=1)), "--as", "maybe"),
         "'maybe' is none of them: choose sent or failed."),
        (("campaign", "shwo"), "choose add, run, list, report, pause, resume, stop, remove."),
        (("campain",), "Did you mean 'campaign'"),
        (("settle",), "Did you mean `horizon message settle`?"),
        (("zzz",), "`horizon --help` lists them."),
        (("message", "show", "12"), "`horizon message list` shows each message with its id"),
    ],
)  # fmt: skip
def test_what_is_missing_is_said_with_what_it_is_for(
    command: Command, words: tuple[str, ...], said: str
) -> None:
    code, _, err = command(*words)
    assert (code, said in _unboxed(err)) == (2, True), err


def _unboxed(text: str) -> str:
    """As one line, without the frame."""
    return " ".join(text.translate({ord("│"): None}).split())


def test_one_is_one(command: Command, world: World) -> None:
    world.planned("ann")
    assert command("campaign", "stop", "miss_you")[1] == (
        "miss_you is stopped; 1 message that waited is cancelled.\n"
    )


@pytest.mark.parametrize(
    ("changes", "warned"),
    [({"LISTEN_HOST": "0.0.0.0"}, True), ({"LISTEN_HOST": "::"}, True), ({}, False),
     ({"LISTEN_HOST": "0.0.0.0", "PUBLIC_URL": "https://cdp.shop.example"}, False)],
)  # fmt: skip
def test_links_that_lead_nowhere_are_warned_of(
    world: World, capfd: pytest.CaptureFixture[str], changes: dict[str, str], warned: bool
) -> None:
    changed = world.horizon.settings.changed(**changes)
    serve._greet(type(world.horizon)(
        changed, world.horizon.database, world.horizon.keys, world.horizon.log, world.horizon.lines
    ))  # fmt: skip
    assert ("set PUBLIC_URL" in capfd.readouterr().err) == warned


def test_the_channels_stand_in_the_help(command: Command) -> None:
    out = command("campaign", "add", "--help")[1]
    assert all(name in out for name in channels.names())


def test_a_campaign_is_removed_when_nothing_of_it_waits(
    command: Command, world: World, database: Database
) -> None:
    added = ("campaign", "add", "again", "--audience", "alerts", "--template", "miss_you")
    assert command(*added)[0] == 0
    assert command("campaign", "remove", "again")[1] == "again is removed.\n"
    assert command(*added)[0] == 0  # it had no messages, so its name is free
    world.person("ann", 13 * DAY)
    world.score()
    world.alert()
    assert world.plan("again").figures["planned"] == 1
    code, _, err = command("campaign", "remove", "again")
    assert (code, "horizon campaign stop again" in err) == (2, True)
    assert command("campaign", "stop", "again")[0] == 0
    assert "still shows its messages" in command("campaign", "remove", "again")[1]
    assert "again" not in command("campaign", "list")[1]
    for words in (("run", "again"), ("resume", "again"), ("remove", "again")):
        code, _, err = command("campaign", *words)
        assert (code, "There is no campaign 'again'" in err) == (2, True)
    code, _, err = command(*added)
    assert (code, "take another name" in err) == (2, True)
    # Its history and the links in its mails are as they were.
    (listed,) = json.loads(command("message", "list", "--campaign", "again", "--json")[1])
    (row,) = world.rows("SELECT message_id FROM messages")
    assert listed["message_id"] == str(row.message_id)
    assert command("campaign", "report", "again")[1].startswith("again, which is removed: 0 sent,")
    (report,) = json.loads(command("campaign", "report", "again", "--json")[1])
    assert (report["campaign"], report["sent"]) == ("again", 0)
    code, _, err = command("campaign", "report", "never")
    assert (code, "There is no campaign 'never'" in err) == (2, True)
    with database.transaction(Role.EDGE) as tx:
        assert unsubscribe(tx, row.message_id, "page", world.now, era=1)
    assert len(world.rows("SELECT FROM suppressions")) == 1


def test_how_people_confirm_is_not_removed(command: Command) -> None:
    code, _, err = command("campaign", "remove", "confirm_consent")
    assert (code, "pause confirm_consent" in err) == (2, True)
