"""`horizon rejected`: what was refused is found, mended and read again, each once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from horizon import clock
from horizon.cli import main
from horizon.events import message
from horizon.events.nodes import node_of
from horizon.events.sources import add_source
from horizon.postgres.database import Role
from tests.servers.collector import Application
from tests.world import World

Said = pytest.CaptureFixture[str]


@pytest.fixture
def app(here: World) -> Iterator[Application]:
    with Application(here.horizon.settings) as running:
        yield running


@pytest.fixture
def key(here: World) -> str:
    return made(here, "shop")


def made(world: World, name: str) -> str:
    with world.horizon.database.transaction(Role.WORKER) as tx:
        return add_source(tx, name, "server")


def rejected(*words: str) -> int:
    return main.run(["rejected", *words])


def listed(said: Said, *words: str) -> list[dict[str, object]]:
    said.readouterr()
    assert rejected("list", "--json", *words) == 0
    rows: list[dict[str, object]] = json.loads(said.readouterr().out)
    return rows


def test_what_is_refused_is_listed_by_source_reason_and_time(
    app: Application, here: World, key: str, capsys: Said
) -> None:
    other = made(here, "other")
    app.post("/v1/batch", {"batch": [{"userId": "u", "type": "track"}, 5]}, key)
    app.post("/v1/track", {"event": "x"}, other)
    assert [row["code"] for row in listed(capsys)] == [
        "no_user_anon_id", "invalid_event", "no_event_name",
    ]  # fmt: skip
    assert len(listed(capsys, "--source", "shop")) == 2
    assert len(listed(capsys, "--code", "no_event_name", "--source", "shop")) == 1
    assert len(listed(capsys, "--limit", "1")) == 1
    soon = (clock.now() + timedelta(minutes=1)).isoformat()
    assert listed(capsys, "--since", soon) == []
    assert len(listed(capsys, "--since", "2020-01-01")) == 3
    [first, *_] = listed(capsys, "--count", "--source", "shop")
    assert (first["events"], first["source"]) == (1, "shop")
    assert rejected("list", "--since", "soon") == 2
    assert "--since 'soon' is not a time" in capsys.readouterr().err
    assert rejected("list", "--source", "nosource") == 2
    assert "There is no source 'nosource'" in capsys.readouterr().err
    assert rejected("show", "999") == 2
    assert "`horizon rejected list`" in capsys.readouterr().err


def test_an_edited_event_becomes_one_with_its_time_of_receipt_and_counts_once(
    app: Application, here: World, key: str, capsys: Said, tmp_path: Path
) -> None:
    broken = {
        "type": "track", "userId": "u1", "timestamp": "2026-06-01T10:00:00Z", "writeKey": key,
        "context": {"ip": "203.0.113.77"},
    }  # fmt: skip
    sent_at = "2026-06-01T10:00:05Z"
    app.post("/v1/b", {"batch": [broken], "sentAt": sent_at, "context": {"locale": "de"}}, key)
    [row] = listed(capsys)
    number = str(row["rejected_id"])
    assert rejected("show", number) == 0
    said = capsys.readouterr().out
    assert "code: no_event_name" in said
    assert key not in said
    assert "203.0.113.77" not in said

    assert rejected("replay", number) == 1  # as it is, it cannot be taken
    assert "1 x no_event_name" in capsys.readouterr().out
    assert rejected("show", number, "--body") == 0
    file = tmp_path / "event.json"
    body = json.loads(capsys.readouterr().out)
    file.write_text(json.dumps({**body, "event": "Viewed"}))
    assert rejected("replay", number, "--with", str(file), "--dry-run") == 0
    assert here.rows("SELECT * FROM events") == []
    assert rejected("replay", number, "--with", str(file)) == 0
    assert "1 event read: 1 became an event" in capsys.readouterr().out
    assert rejected("replay", number, "--with", str(file)) == 0
    assert "There is nothing to replay" in capsys.readouterr().out
    [event] = here.rows("SELECT * FROM events")
    [kept] = here.rows("SELECT * FROM rejected_events")
    assert event.received_at == kept.received_at
    assert abs(event.time - (kept.received_at - timedelta(seconds=5))) < timedelta(seconds=1)
    assert (event.name, event.message_id) == ("Viewed", f"rejected-{number}")
    assert json.loads(event.context) == {"ip": "203.0.113.0", "locale": "de"}
    assert (kept.event_id, kept.body) == (event.event_id, json.dumps(body, separators=(", ", ": ")))
    assert kept.replayed_at > kept.received_at
    assert listed(capsys) == []
    assert listed(capsys, "--all")[0]["replayed_at"]
    [entry] = here.rows("SELECT details FROM audit WHERE action = 'rejected:replayed' LIMIT 1")
    assert entry.details["ids"] == [int(number)]


def test_many_are_mended_at_once_and_no_other(
    app: Application, here: World, key: str, capsys: Said
) -> None:
    other = made(here, "other")
    nameless = [{"type": "track", "user_id": f"u{n}", "messageId": f"m{n}"} for n in range(1200)]
    app.post("/v1/batch", {"batch": [*nameless, 5]}, key)
    app.post("/v1/batch", {"batch": nameless[:1]}, other)
    capsys.readouterr()
    mend = ("--set", "event=Viewed", "--rename", "user_id=userId")
    assert rejected("replay", "--source", "shop", "--code", "no_user_anon_id", *mend) == 0
    assert "1,200 events read: 1,200 became events, 0 known" in capsys.readouterr().out
    found = here.rows("SELECT user_id, message_id FROM events WHERE name = 'Viewed'")
    assert {(row.user_id, row.message_id) for row in found} == {
        (f"u{n}", f"m{n}") for n in range(1200)
    }
    assert sorted(str(row["code"]) for row in listed(capsys)) == [
        "invalid_event", "no_user_anon_id",
    ]  # fmt: skip
    for entry in here.rows("SELECT details::text AS text FROM audit"):
        assert "Viewed" not in entry.text
    lines = Path(here.horizon.settings.LOG_PATH).read_text().splitlines()
    line = next(json.loads(one) for one in lines if '"replay"' in one)
    assert (line["stage"], line["inserted"], line["rejected"]) == ("ingest", 1200, 0)


def test_one_that_its_sender_sent_again_rightly_is_known(
    app: Application, here: World, key: str, capsys: Said
) -> None:
    event = {"type": "track", "userId": "u", "messageId": "m"}
    app.post("/v1/batch", {"batch": [event]}, key)
    app.post("/v1/batch", {"batch": [{**event, "event": "Viewed"}]}, key)
    capsys.readouterr()
    assert rejected("replay", "--all", "--set", "event=Viewed") == 0
    assert "1 event read: 0 became events, 1 known already" in capsys.readouterr().out
    assert len(here.rows("SELECT 1 FROM events")) == 1
    assert listed(capsys) == []


def test_after_a_limit_was_raised_they_are_read_as_they_are(
    app: Application, here: World, key: str, capsys: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    big = {"userId": "u", "event": "Big", "properties": {"text": "x" * 200_000}}
    app.post("/v1/t", big, key)
    assert [row["code"] for row in listed(capsys)] == ["event_too_large"]
    monkeypatch.setattr(message, "EVENT_BYTES", 400_000)
    assert rejected("replay", "--code", "event_too_large") == 0
    [event] = here.rows("SELECT type, properties FROM events")  # the address named its type
    assert event.type == "track"
    assert len(event.properties) > 200_000


def test_a_new_reason_is_noted(app: Application, here: World, key: str, capsys: Said) -> None:
    app.post("/v1/t", {"event": "x"}, key)
    assert rejected("replay", "--all", "--set", "userId=u", "--set", "event=") == 1
    [row] = listed(capsys)
    assert row["code"] == "no_event_name"
    [kept] = here.rows("SELECT replayed_at, body FROM rejected_events")
    assert kept.replayed_at is None
    assert json.loads(kept.body) == {"event": "x"}


def test_a_line_of_a_file_is_sent_back_to_its_file(
    here: World, capsys: Said, tmp_path: Path
) -> None:
    with here.horizon.database.transaction(Role.WORKER) as tx:
        tx.execute(
            "WITH s AS (INSERT INTO sources (name, kind) VALUES ('files', 'file') RETURNING source_id) "
            "INSERT INTO rejected_events (source_id, received_at, position, code, message, body, cut) "
            "SELECT source_id, %s, 3, 'time', 'file 0123, line 3: when is not a time', "
            "'ben,yesterday', false FROM s",
            [clock.now()],
        )
    assert rejected("replay", "--source", "files") == 1
    assert "give the event as JSON with --with FILE" in capsys.readouterr().out
    [row] = listed(capsys)
    assert (row["code"], row["message"]) == ("time", "file 0123, line 3: when is not a time")
    file = tmp_path / "event.json"
    file.write_text('{"type": "track", "userId": "ben", "event": "Bought"}')
    assert rejected("replay", str(row["rejected_id"]), "--with", str(file)) == 0
    assert [one.user_id for one in here.rows("SELECT user_id FROM events")] == ["ben"]


MAPPING = """
format = "csv"
user_id_column = "who"
time_column = "at"
time_format = "FORMAT"
time_zone = "UTC"
event = "Bought"
"""


def test_a_line_that_was_given_by_hand_and_came_again_with_its_file_counts_once(
    here: World, capsys: Said, tmp_path: Path
) -> None:
    (tmp_path / "wrong.toml").write_text(MAPPING.replace("FORMAT", "%d.%m.%Y"))
    (tmp_path / "right.toml").write_text(MAPPING.replace("FORMAT", "%Y-%m-%d"))
    (tmp_path / "sales.csv").write_text("who,at\nann,01.06.2026\nben,2026-06-02\n")
    assert main.run(["ingest", "sales.csv", "--mapping", "wrong.toml"]) == 0
    [row] = listed(capsys)
    assert "(sales.csv), line 3: at is not a time" in str(row["message"])
    number, file = str(row["rejected_id"]), tmp_path / "event.json"
    event = {"type": "track", "userId": "ben", "timestamp": "2026-06-02T00:00:00Z"}
    file.write_text(json.dumps(event))
    assert rejected("replay", number, "--with", str(file)) == 1
    [row] = listed(capsys)  # the new reason, still with the place
    assert row["code"] == "no_event_name"
    assert "(sales.csv), line 3: " in str(row["message"])
    file.write_text(json.dumps({**event, "event": "Bought"}))
    assert rejected("replay", number, "--with", str(file)) == 0
    (tmp_path / "sales.csv").rename(tmp_path / "renamed.csv")
    assert main.run(["ingest", "renamed.csv", "--mapping", "right.toml"]) == 0
    assert sorted(row.user_id for row in here.rows("SELECT user_id FROM events")) == ["ann", "ben"]
    (tmp_path / "renamed.csv").rename(tmp_path / "third.csv")
    assert main.run(["ingest", "third.csv", "--mapping", "right.toml", "--again"]) == 0
    [row] = listed(capsys)  # ann's, which the right mapping cannot read, once
    assert "(renamed.csv), line 2: " in str(row["message"])


def test_no_replay_brings_an_erased_person_back(
    app: Application, here: World, key: str, capsys: Said
) -> None:
    app.post("/v1/batch", {"batch": [{"type": "track", "userId": who} for who in ("a", "b")]}, key)
    node = node_of(here.horizon.keys.node, "user_id", "a")
    with here.horizon.database.transaction(Role.WORKER) as tx:
        tx.execute(
            "INSERT INTO erased_nodes (node, erased_at) VALUES (%s, %s)", [node, clock.now()]
        )
    assert rejected("replay", "--all", "--set", "event=Viewed") == 0
    assert "1 x erased" in capsys.readouterr().out
    assert [row.user_id for row in here.rows("SELECT user_id FROM events")] == ["b"]
    assert [row["code"] for row in listed(capsys)] == ["erased"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((), "Say which"),
        (("1", "2", "--with", "x"), "give its ID"),
        (("--all", "--with", "x"), "give its ID"),
        (("5",), "There is no rejected event 5"),
        (("5", "--with", "nowhere.json"), "nowhere.json cannot be read"),
        (("--all", "--set", "event"), "like --set event=Viewed"),
        (("--all", "--rename", "event"), "like --rename user_id=userId"),
        (("--source", "nosource"), "There is no source 'nosource'"),
    ],
)  # fmt: skip
@pytest.mark.usefixtures("here")
def test_a_mistake_is_told_in_a_sentence(words: tuple[str, ...], told: str, capsys: Said) -> None:
    assert rejected("replay", *words) == 2
    assert told in capsys.readouterr().err
