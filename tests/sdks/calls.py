"""The calls that each SDK's test makes, and the rows of ``events`` that have to come of them."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from horizon import clock
from horizon.events.ids import key_of
from horizon.events.nodes import node_of
from horizon.postgres.database import Database, Role, row_dicts

TRAITS = {"email": "Ann@Example.com", "plan": "pro", "age": 41, "address": {"city": "Wien"}}
HAPPENED = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@dataclass(frozen=True)
class Row:
    """What a call has to leave; None is NULL. ``context`` is what it holds at the least."""

    type: str
    name: str | None = None
    user_id: str | None = "u1"
    anonymous_id: str | None = None
    email: str | None = None
    previous_id: str | None = None
    group_id: str | None = None
    message_id: str | None = None  # the caller's own
    happened: datetime | None = None  # the caller's own
    properties: dict[str, Any] | None = None
    traits: dict[str, Any] | None = None


SNIPPET = Row("track", "Tried Horizon", user_id="user-1", properties={})
CALLS = (
    Row("identify", email="Ann@Example.com", traits=TRAITS),
    Row("track", "Order Completed", properties={"total": 12.5, "items": ["a", "ä€😀"]}),
    Row("page", "Start", properties={"url": "https://shop.example/", "category": "Docs"}),
    Row("screen", "Home", properties={"width": 320, "category": "App"}),
    Row("group", group_id="g1", traits={"name": "Acme", "seats": 7}),
    Row("alias", previous_id="a1"),
    Row(
        "track", "Seen", user_id=None, anonymous_id="17", message_id="mine", happened=HAPPENED,
        properties={},
    ),
)  # fmt: skip


def changed(rows: tuple[Row, ...], **changes: dict[str, Any]) -> tuple[Row, ...]:
    """These rows, with changes by type of call."""
    return tuple(replace(row, **changes.get(row.type, {})) for row in rows)


def events(database: Database) -> list[dict[str, Any]]:
    with database.transaction(Role.OWNER) as tx:
        return row_dicts(tx.execute(b"SELECT * FROM events"))


def check(
    found: list[dict[str, Any]],
    wanted: tuple[Row, ...],
    *,
    node_key: bytes,
    context: dict[str, Any],
    trusted: bool = True,
) -> None:
    """Each row is there once, field by field, and there is no other."""
    named = {(row["type"], row["name"], row["user_id"]): row for row in found}
    assert set(named) == {(row.type, row.name, row.user_id) for row in wanted}
    assert len(found) == len(wanted)
    for row in wanted:
        _check(named[row.type, row.name, row.user_id], row, node_key, context, trusted)


def _check(
    found: dict[str, Any], row: Row, node_key: bytes, context: dict[str, Any], trusted: bool
) -> None:
    plain = ("type", "name", "user_id", "anonymous_id", "email", "previous_id", "group_id")
    assert {name: found[name] for name in plain} == {name: getattr(row, name) for name in plain}
    for name in ("properties", "traits"):
        text = found[name]
        assert (None if text is None else json.loads(text)) == getattr(row, name), row
    assert _holds(json.loads(found["context"]), context), found["context"]
    assert "integrations" not in json.loads(found["context"])  # these calls are for everywhere
    assert (found["trusted"], found["consent"], found["era"]) == (trusted, None, 1)
    assert found["activity"] is (row.type in ("track", "page", "screen"))
    device = json.loads(found["context"]).get("device", {}).get("id")  # mobile SDKs have one
    who = (
        ("user_id", row.user_id), ("email", row.email), ("anonymous_id", row.anonymous_id), ("device_id", device),
        ("user_id", row.previous_id), ("anonymous_id", row.previous_id),
    )  # fmt: skip
    nodes = [node_of(node_key, kind, value) for kind, value in who if value]
    assert found["nodes"] == list(dict.fromkeys(nodes))
    assert found["message_id"] == (row.message_id or found["message_id"]) != ""
    _check_times(found, row)


def _check_times(found: dict[str, Any], row: Row) -> None:
    now, original = clock.now(), found["original_timestamp"]
    assert original is not None
    key = key_of(found["source_id"], found["message_id"], original)
    assert found["event_id"].bytes == key[8:]
    assert found["time_flag"] is None
    assert now - timedelta(minutes=2) < found["received_at"] <= now
    if row.happened:
        assert original == row.happened
    else:
        assert now - timedelta(minutes=2) < original <= now
    # The two clocks are one here: sentAt mends next to nothing.
    assert abs(found["time"] - original) < timedelta(seconds=30)


def _holds(found: Any, wanted: Any) -> bool:
    if isinstance(wanted, dict) and isinstance(found, dict):
        return all(name in found and _holds(found[name], wanted[name]) for name in wanted)
    return bool(found == wanted)
