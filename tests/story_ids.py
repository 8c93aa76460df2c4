"""Follows every id that a message's explanation names to the row it names, and does its sums again."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
import pytest

from horizon.observe.explain.gather import explain_message
from horizon.personal import masked
from horizon.postgres.database import Connection

# Where an id of that name is found. event_id and message_id mean two things each.
PLACES = {
    "correlation_id": ("runs", "correlation_id"),
    "run_id": ("runs", "run_id"),
    "alert_id": ("alerts", "alert_id"),
    "score_run": ("score_runs", "score_run"),
    "consent_id": ("consents", "consent_id"),
    "opt_in_id": ("opt_ins", "opt_in_id"),
    "preference_id": ("preferences", "preference_id"),
    "profile_id": ("profiles", "profile_id"),
    "profile_now": ("profiles", "profile_id"),
    "node": ("nodes", "node"),
    "key": ("reached", "key"),
    "event_id": ("events", "event_id"),
    "instead": ("messages", "message_id"),
}
NO_IDS = {"queue_id", "user_id"}


def follow(tx: Connection, message_id: UUID) -> dict[str, Any]:
    """Explain a message and check it against the tables; give back its JSON."""
    [story] = follow_all(tx, [message_id])
    return story


def follow_all(tx: Connection, message_ids: Iterable[UUID]) -> list[dict[str, Any]]:
    stories = []
    named: dict[tuple[str, str], dict[str, str]] = defaultdict(dict)
    for message_id in message_ids:
        found = explain_message(tx, message_id)
        assert found is not None
        story: dict[str, Any] = json.loads(msgspec.json.encode(found))
        for path, name, value in _ids(story):
            if (place := _place(path, name, value)) is not None:
                named[place][str(value)] = f"{message_id}{path}/{name}"
        _agrees(tx, story)
        _check_score(tx, story)
        _check_consent(story)
        stories.append(story)
    for (table, column), ids in named.items():
        _exist(tx, table, column, ids)
    return stories


def _ids(part: Any, path: str = "") -> list[tuple[str, str, Any]]:
    if isinstance(part, list):
        return [found for one in part for found in _ids(one, path)]
    if not isinstance(part, dict):
        return []
    named = [
        (path, name, value)
        for name, value in part.items()
        if value is not None
        and not isinstance(value, dict | list)
        and (name in PLACES or name.endswith("_id"))
        and name not in NO_IDS
    ]
    return named + [
        found for name, value in part.items() for found in _ids(value, f"{path}/{name}")
    ]


def _place(path: str, name: str, value: Any) -> tuple[str, str] | None:
    """The table and column that an id of this name is of."""
    if name == "message_id":
        of_event = path in ("/events/listed", "/delivery/events")
        return ("events" if of_event else "messages", "message_id")
    if (path, name) == ("/person", "node"):  # of a mail to an address alone no profile has it
        return ("messages", "node")
    if name == "profile_id" and value == 0:
        return None  # nobody's
    return PLACES[name]


def _exist(tx: Connection, table: str, column: str, ids: Mapping[str, str]) -> None:
    rows = tx.execute(
        f"SELECT DISTINCT {column}::text AS id FROM {table} WHERE {column}::text = ANY(%s)",
        [list(ids)],
    )
    missing = set(ids) - {row.id for row in rows}
    assert not missing, {ids[one]: f"{one} is in no row of {table}" for one in missing}


def _agrees(tx: Connection, story: dict[str, Any]) -> None:
    row = tx.execute(
        "SELECT m.*, coalesce(o.state, m.status) AS state, v.version, v.audience, v.purpose FROM messages m "
        "LEFT JOIN outbox o USING (message_id) "
        "JOIN campaign_runs r ON r.correlation_id = m.correlation_id AND r.campaign = m.campaign "
        "JOIN campaign_versions v ON v.campaign = m.campaign AND v.version = r.version "
        "WHERE message_id = %s", [story["message_id"]],
    ).fetchone()  # fmt: skip
    assert row is not None
    assert story["campaign"]["version_known"]
    assert (story["campaign"]["version"], story["campaign"]["audience"]) == (
        row.version,
        row.audience,
    )
    assert (story["decision"]["status"], story["decision"]["reason"]) == (row.state, row.reason)
    assert story["template"] == {"template": row.template, "digest": row.template_digest}
    assert story["person"]["address"] == (
        None if story["campaign"]["target_host"] else masked(row.to_addr)
    )
    assert (story["alert"] or {}).get("alert_id") == row.alert_id
    assert ((story["consent"]["allowed_by"] or {}).get("consent_id")) == row.consent_id
    assert (story["delivery"]["answer"] or {}).get("text") == row.answer
    times = [state["at"] for state in story["delivery"]["states"]]
    assert len(times) == sum(
        at is not None for at in (row.planned_at, row.claimed_at, row.sending_at, row.finished_at)
    )
    for one in story["sealed"]:
        held = tx.execute(
            "SELECT h.state, encode(s.hash, 'hex') AS hash FROM history h JOIN history_seals s USING (batch) "
            "WHERE (batch, place) = (%s, %s)", [one["batch"], one["place"]],
        ).fetchone()  # fmt: skip
        assert held == (one["state"], one["hash"])
    assert story["decision"]["run_id"] in {run["run_id"] for run in story["runs"]}
    assert row.reason is None or re.search(r": [a-z' ,]+\.$", story["decision"]["why"])
    text = json.dumps(story)
    assert row.to_addr is None or row.to_addr not in text, "addresses are masked"


def _check_score(tx: Connection, story: dict[str, Any]) -> None:
    """From the events alone, with other SQL than the scorer's."""
    score, listed = story["score"], story["events"]
    if story["campaign"]["audience"] not in ("alerts", "engaged"):
        assert score is None
        return
    assert score is not None
    scored_at = datetime.fromisoformat(score["scored_at"])
    rows = tx.execute(
        "SELECT e.event_id, e.time FROM events e JOIN nodes n ON n.node = e.nodes[1] "
        "WHERE n.profile_id = %s AND e.activity ORDER BY e.time DESC",
        [story["person"]["profile_now"]],
    ).fetchall()
    assert listed["activities"] == len(rows)
    assert [one["event_id"] for one in listed["listed"]] == [str(row.event_id) for row in rows[:20]]
    assert listed["more"] == max(0, len(rows) - 20)
    window_s = score["window_days"] * 86_400
    in_window = [row for row in rows if (scored_at - row.time).total_seconds() < window_s]
    assert listed["in_window"] == score["activities"] == len(in_window)
    if rows:
        assert datetime.fromisoformat(score["last_activity"]) == rows[0].time
    silent_s = (scored_at - datetime.fromisoformat(score["silent_from"])).total_seconds()
    assert silent_s == pytest.approx(score["silent_s"], abs=1e-6)
    assert min(1.0, max(0.0, silent_s) / window_s) == pytest.approx(score["score"], abs=1e-9)
    assert score["ratio"] == pytest.approx(max(0.0, silent_s) / window_s, abs=1e-9)
    assert (score["score"] >= score["high"]) == (score["tier"] == "high")
    if story["alert"]:
        assert story["alert"]["score"] == score["score"] >= story["alert"]["threshold"]


def _check_consent(story: dict[str, Any]) -> None:
    consent, decision = story["consent"], story["decision"]
    if not consent["needed"]:
        return
    if decision["status"] == "sent":
        assert consent["allowed_by"]["granted"]
        assert consent["when_decided"]
        assert consent["when_sent"]
        assert all(one["granted"] for one in consent["when_decided"] + consent["when_sent"])
        assert consent["allowed_by"]["consent_id"] in {
            one["consent_id"] for one in consent["when_decided"]
        }
        assert story["delivery"]["events"][0]["name"] == "Message Sent"
        assert {one["message_id"] for one in decision["reached"]} == {story["message_id"]}
    elif decision["reason"] == "refused":
        assert not all(one["granted"] for one in consent["when_decided"])
    elif decision["reason"] == "no_consent":
        assert consent["when_decided"] == []
