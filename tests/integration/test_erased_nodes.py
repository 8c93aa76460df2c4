"""What an erased person did before the erasure is refused, and nothing of it is kept."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from horizon.edge import erased_nodes
from horizon.edge.erased_nodes import ErasedNodes
from horizon.events.model import Source, read_message
from horizon.events.nodes import node_of
from horizon.events.rejection import Rejected
from horizon.events.sources import add_source
from horizon.events.tombstones import Tombstones
from horizon.keys import Keys
from horizon.log import LineFile, log_to
from horizon.postgres.database import Database, Role
from horizon.serving.held import Desk, HeldConnection, Unavailable
from horizon.settings import Settings
from horizon.sources import lines as file_lines
from tests.ingesting import RECEIVED, Ingest, rows
from tests.servers.collector import Application

NOW = datetime.now(UTC).replace(microsecond=0)
HOUR = timedelta(hours=1)


def seen(user: str, ago: timedelta, **more: Any) -> dict[str, Any]:
    return {
        "type": "page", "userId": user, "timestamp": (NOW - ago).isoformat(),
        "properties": {"secret": f"of {user}"}, **more,
    }  # fmt: skip


def erase(database: Database, keys: Keys, user: str, erased_at: datetime) -> None:
    with database.transaction(Role.WORKER) as tx:
        tx.execute(
            "INSERT INTO erased_nodes (node, erased_at) VALUES (%s, %s)",
            [node_of(keys.node, "user_id", user), erased_at],
        )


@pytest.mark.parametrize(
    "event",
    [
        {"userId": "new", "anonymousId": "ann"},  # the second of its nodes
        {"type": "alias", "userId": "new", "previousId": "ann"},  # who somebody was before
    ],
)
def test_an_erased_person_comes_back_by_no_other_name(
    settings: Settings, database: Database, keys: Keys, event: dict[str, Any]
) -> None:
    with database.transaction(Role.WORKER) as tx:
        key = add_source(tx, "shop", "server")
        for kind in ("user_id", "anonymous_id"):
            tx.execute(
                "INSERT INTO erased_nodes (node, erased_at) VALUES (%s, %s)",
                [node_of(keys.node, kind, "ann"), NOW],
            )
    with Application(settings) as app:
        answer = app.post("/v1/batch", {"batch": [{**seen("x", HOUR), **event}]}, key)
    assert [one["code"] for one in answer.json["rejected"]] == ["erased"]
    with database.transaction(Role.OWNER) as tx:
        assert tx.execute("SELECT FROM events").fetchall() == []


def test_an_erased_person_is_not_named_by_a_claim_either(
    settings: Settings, database: Database, keys: Keys
) -> None:
    with database.transaction(Role.WORKER) as tx:
        key = add_source(tx, "site", "public")
    erase(database, keys, "ann", NOW)
    with Application(settings.changed(VERIFIED_ONLY="user_id")) as app:
        answer = app.post("/v1/batch", {"batch": [seen("ann", HOUR, anonymousId="a1")]}, key)
    assert [one["code"] for one in answer.json["rejected"]] == ["erased"]
    with database.transaction(Role.OWNER) as tx:
        assert tx.execute("SELECT FROM events").fetchall() == []


def test_a_collector_that_cannot_read_the_tombstones_takes_nothing(
    settings: Settings, database: Database
) -> None:
    with database.transaction(Role.WORKER) as tx:
        key = add_source(tx, "shop", "server")
    with database.transaction(Role.OWNER) as tx:
        tx.execute("REVOKE SELECT ON erased_nodes FROM horizon_edge")
    with Application(settings) as app:
        assert app.post("/v1/page", seen("ann", HOUR), key).status == 503
        assert app.ask("GET", "/readyz").status == 503


def test_only_what_came_before_the_erasure_is_refused(
    settings: Settings, database: Database, keys: Keys
) -> None:
    with database.transaction(Role.WORKER) as tx:
        key = add_source(tx, "shop", "server")
    erase(database, keys, "ann", NOW - HOUR)
    batch = [
        seen("ann", 2 * HOUR), seen("bob", 2 * HOUR), seen("ann", HOUR / 2),
        {**seen("ann", 3 * HOUR), "anonymousId": "a1"}, {"type": "page", "userId": "ann"},
    ]  # fmt: skip
    with Application(settings) as app:
        answer = app.post("/v1/batch", {"batch": batch}, key)
    assert answer.status == 200
    assert [(one["index"], one["code"]) for one in answer.json["rejected"]] == [
        (0, "erased"), (3, "erased"),
    ]  # fmt: skip
    with database.transaction(Role.OWNER) as tx:
        kept = tx.execute("SELECT user_id FROM events ORDER BY user_id").fetchall()
        refused = tx.execute("SELECT * FROM rejected_events").fetchall()
    assert [row.user_id for row in kept] == ["ann", "ann", "bob"]
    assert [(row.code, row.body) for row in refused] == [("erased", ""), ("erased", "")]
    assert "secret" not in repr(refused)


def test_a_running_collector_learns_of_an_erasure(
    settings: Settings, database: Database, keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(erased_nodes, "FRESH_S", 0.05)
    with database.transaction(Role.WORKER) as tx:
        key = add_source(tx, "shop", "server")
    with Application(settings) as app:
        assert app.post("/v1/page", seen("ann", HOUR), key).json["rejected"] == []
        # One that was begun first and commits last: times and numbers are not in commit order.
        with database.transaction(Role.WORKER) as late:
            late.execute(
                "INSERT INTO erased_nodes (node, erased_at) VALUES (%s, %s)",
                [node_of(keys.node, "user_id", "bob"), NOW],
            )
            erase(database, keys, "ann", NOW)
            wait_until_refused(app, key, "ann")
            assert app.post("/v1/page", seen("bob", HOUR), key).json["rejected"] == []
        wait_until_refused(app, key, "bob")


def test_what_another_server_saw_says_nothing_of_this_one_s_tombstones(
    database: Database, keys: Keys
) -> None:
    """After a restore transaction ids begin anew, lower than those that were seen."""
    erase(database, keys, "ann", NOW)
    event = read_message(
        seen("ann", HOUR), source=Source(1, "s", "server"), received_at=NOW, node_key=keys.node
    )
    tombstones = Tombstones()
    tombstones._seen, tombstones._era = "999999999999:999999999999:", 1
    with database.transaction(Role.EDGE) as tx:
        tombstones.read(tx, 1)
        tombstones.refuse(event, keys.node)
        tombstones._seen = "999999999999:999999999999:"
        tombstones.read(tx, 2)
    with pytest.raises(Rejected):
        tombstones.refuse(event, keys.node)


def test_no_file_brings_an_erased_person_back(
    database: Database, keys: Keys, ingest: Ingest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor one that is erased while the file is read: each batch looks."""
    erase(database, keys, "ann", RECEIVED)
    day = (RECEIVED - HOUR).isoformat()
    lines = [{**seen(user, HOUR), "timestamp": day} for user in ("bob", "ann", "carl", "dan")]
    later = {**seen("ann", HOUR), "timestamp": (RECEIVED + HOUR).isoformat()}
    alias = {"type": "alias", "userId": "new", "previousId": "ann", "timestamp": day}
    file = tmp_path / "archive.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in [*lines, later, alias]))
    monkeypatch.setattr(file_lines, "BATCH_LINES", 2)

    def then_erase(step: str, *_: object) -> None:
        if step == file_lines.READING:  # after the first batch, and the others
            with contextlib.suppress(psycopg.errors.UniqueViolation):
                erase(database, keys, "dan", RECEIVED)

    result = ingest(file, on_progress=then_erase)
    assert (result.inserted, result.rejected) == (3, 3)
    assert [row["user_id"] for row in rows(database, "SELECT user_id FROM events ORDER BY 1")] == [
        "ann", "bob", "carl",
    ]  # fmt: skip
    refused = rows(database, "SELECT position, code, body FROM rejected_events ORDER BY position")
    assert refused == [{"position": at, "code": "erased", "body": ""} for at in (2, 4, 6)]


def wait_until_refused(app: Application, key: str, user: str) -> None:
    deadline = time.monotonic() + 5
    while app.post("/v1/page", seen(user, HOUR), key).json["rejected"] == []:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_nothing_is_taken_before_the_tombstones_are_known(
    database: Database, keys: Keys, tmp_path: Path
) -> None:
    erase(database, keys, "ann", NOW)
    event = read_message(
        seen("ann", HOUR), source=Source(1, "s", "server"), received_at=NOW, node_key=keys.node
    )
    log = log_to(LineFile(tmp_path / "log"))

    async def ask() -> None:
        for place, there in ((database.named("nowhere"), False), (database, True)):
            desk = Desk(HeldConnection(place, log))
            erased = ErasedNodes(desk)
            await erased.start()
            with nullcontext() if there else pytest.raises(Unavailable):
                erased.known()
            with pytest.raises(Rejected) if there else nullcontext():
                erased.refuse(event, bytes(32))
            await erased.stop()
            desk.close()

    asyncio.run(ask())
