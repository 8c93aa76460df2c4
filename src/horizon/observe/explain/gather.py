"""Gathers a message's story from the tables, a query a link of the chain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar
from urllib.parse import urlsplit
from uuid import UUID

from horizon.observe.explain import rules
from horizon.observe.explain.story import (
    Activity,
    Alert,
    Campaign,
    Consent,
    Decision,
    Delivery,
    Events,
    Node,
    OptIn,
    Person,
    Preference,
    Reached,
    Record,
    Response,
    Run,
    Score,
    Sealed,
    State,
    Story,
    Suppression,
    Template,
    Told,
)
from horizon.personal import masked
from horizon.postgres.database import Connection
from horizon.postgres.queries import Queries

QUERIES = Queries("horizon.observe.explain")

ACTIVITIES = 20  # listed; the JSON says how many more there are
MOST = 100  # of every other list

_Struct = TypeVar("_Struct")


def explain_message(tx: Connection, message_id: UUID, activities: int = ACTIVITIES) -> Story | None:
    """None where there is no such message. ``tx`` should be REPEATABLE READ: one moment of all."""
    row = tx.execute(QUERIES["message"], {"message_id": message_id}).fetchone()
    if row is None:
        return None
    values = {**row._asdict(), "most": MOST}
    alert = _alert(tx, row)
    score, events = _score(tx, row, alert, activities)
    return Story(
        message_id=row.message_id,
        decision=_decision(tx, row, values),
        person=_person(tx, row),
        alert=alert,
        score=score,
        events=events,
        consent=_consent(tx, row, values),
        campaign=_campaign(row),
        template=Template(row.template, row.template_digest),
        delivery=_delivery(tx, row, values),
        responses=_responses(tx, values),
        runs=_list(tx, "runs", Run, values),
        sealed=_list(tx, "sealed", Sealed, values),
    )


def messages_of_alert(tx: Connection, alert_id: int) -> list[UUID] | None:
    """None where there is no such alert."""
    if tx.execute(QUERIES["alert"], {"alert_id": alert_id}).fetchone() is None:
        return None
    rows = tx.execute(QUERIES["alert_messages"], {"alert_id": alert_id, "most": MOST})
    return [row.message_id for row in rows]


def messages_of_person(tx: Connection, user_id: str, most: int) -> list[UUID]:
    """The newest first."""
    rows = tx.execute(QUERIES["person_messages"], {"user_id": user_id, "most": most})
    return [row.message_id for row in rows]


def _list(
    tx: Connection, query: str, kind: type[_Struct], values: Mapping[str, Any]
) -> list[_Struct]:
    return [kind(**row._asdict()) for row in tx.execute(QUERIES[query], values)]


def _decision(tx: Connection, row: Any, values: Mapping[str, Any]) -> Decision:
    reached = [
        Reached(one.key, "address" if one.is_address else "profile", one.message_id)
        for one in tx.execute(QUERIES["reached"], values)
    ]
    instead = None
    if row.reason == "same_address":
        other = tx.execute(QUERIES["same_address"], {**values, "at": row.planned_at}).fetchone()
        instead = other.message_id if other else None
    elif row.reason == "already_reached":
        instead = next((one.message_id for one in reached), None)
    return Decision(
        campaign=row.campaign, step=row.step, occasion=row.occasion, status=row.status,
        reason=row.reason, why=rules.why(row.audience, row.status, row.reason),
        correlation_id=row.correlation_id, run_id=row.run_id, score_run=row.score_run,
        reached=reached, instead=instead,
    )  # fmt: skip


def _person(tx: Connection, row: Any) -> Person:
    found = tx.execute(QUERIES["nodes"], {"profile_id": _profile(row), "most": MOST})
    nodes = [
        Node(one.node, one.kind, masked(one.value, one.kind) or "", one.live, one.first_seen)
        for one in found
    ]
    return Person(
        profile_id=row.profile_id, profile_now=row.profile_now, user_id=masked(row.user_id),
        address=None if row.target else masked(row.to_addr), node=row.node, nodes=nodes,
    )  # fmt: skip


def _profile(row: Any) -> int:
    """The profile that the message's node belongs to now, else the one it was decided for."""
    return int(row.profile_id if row.profile_now is None else row.profile_now)


def _alert(tx: Connection, row: Any) -> Alert | None:
    one = tx.execute(QUERIES["alert"], {"alert_id": row.alert_id}).fetchone()
    if one is None:
        return None
    return Alert(
        alert_id=one.alert_id, rule=one.rule, status=one.status, score=one.score, tier=one.tier,
        threshold=one.threshold, score_run=one.score_run, silent_s=one.silent_s,
        last_activity=one.last_activity, activities=one.activities, created_at=one.created_at,
        notified_at=one.notified_at, resolved_at=one.resolved_at, quiet_until=one.quiet_until,
    )  # fmt: skip


def _score(
    tx: Connection, row: Any, alert: Alert | None, activities: int
) -> tuple[Score | None, Events | None]:
    """The score that decided: the alert's, else the one that planning read."""
    kept = alert if alert is not None and alert.score_run is not None else None
    asked = {
        "score_run": kept.score_run if kept else row.score_run, "profile_id": row.profile_id,
    }  # fmt: skip
    run = tx.execute(QUERIES["score"], asked).fetchone()
    if run is None or row.audience not in ("alerts", "engaged"):
        return None, None
    values = {
        **run._asdict(), "profile_id": _profile(row), "known_until": run.known_until,
        "most": activities,
    }  # fmt: skip
    heard = tx.execute(QUERIES["heard"], values).fetchone()
    assert heard is not None
    listed = _list(tx, "activities", Activity, values)
    events = Events(
        in_window=heard.in_window, activities=heard.activities, listed=listed,
        more=heard.activities - len(listed),
    )  # fmt: skip
    return _facts(run, kept, heard), events


def _facts(run: Any, alert: Alert | None, heard: Any) -> Score | None:
    """Of whoever kept them: the alert, the run's row, else the events as they are now."""
    if alert is not None and alert.silent_s is not None:
        source, facts = "alert", (alert.silent_s, alert.last_activity, alert.activities or 0)
    elif run.silent_s is not None:
        source, facts = "run", (run.silent_s, run.last_activity, run.activities)
    else:
        heard_from = heard.last_activity or heard.first_seen
        if heard_from is None:
            return None
        silent_s = (run.scored_at - heard_from).total_seconds()
        source, facts = "events", (silent_s, heard.last_activity, heard.in_window)
    silent_s, last_activity, activities = facts
    ratio = rules.ratio(silent_s, run.window_days)
    return Score(
        score=min(1.0, ratio) if source == "events" else (alert or run).score,
        tier=rules.tier(min(1.0, ratio), run.high, run.medium),
        score_run=run.score_run, scored_at=run.scored_at, window_days=run.window_days,
        high=run.high, medium=run.medium,
        since="last_activity" if last_activity else "first_seen",
        silent_from=rules.before(run.scored_at, silent_s), silent_s=silent_s, ratio=ratio,
        last_activity=last_activity, activities=activities, source=source,
    )  # fmt: skip


def _consent(tx: Connection, row: Any, values: Mapping[str, Any]) -> Consent:
    subject = {**values, "profile_id": _profile(row), "later_no": row.reason == "refused"}
    allowed = _list(tx, "consent", Record, values)
    preference = _list(tx, "preference", Preference, {**values, "at": row.planned_at})
    return Consent(
        purpose=row.purpose,
        channel=row.channel,
        needed=row.audience in ("alerts", "engaged"),
        allowed_by=allowed[0] if allowed else None,
        when_decided=_list(tx, "consents", Record, {**subject, "at": row.planned_at}),
        when_sent=_list(tx, "consents", Record, {**subject, "at": row.sending_at})
        if row.sending_at
        else [],
        preference=preference[0] if preference else None,
        suppressions=_list(tx, "suppressions", Suppression, values),
        opt_in=_opt_in(tx, row.occasion),
    )


def _opt_in(tx: Connection, occasion: str) -> OptIn | None:
    kind, _, opt_in_id = occasion.partition(":")
    if kind != "opt_in":
        return None
    found = _list(tx, "opt_in", OptIn, {"opt_in_id": opt_in_id})
    return found[0] if found else None


def _campaign(row: Any) -> Campaign:
    return Campaign(
        campaign=row.campaign, version=row.version, version_known=row.version_known,
        newest_version=row.newest_version, audience=row.audience, template=row.version_template,
        channel=row.channel, purpose=row.purpose, every_days=row.every_days,
        target_host=urlsplit(row.target).hostname if row.target else None, since=row.since,
    )  # fmt: skip


def _delivery(tx: Connection, row: Any, values: Mapping[str, Any]) -> Delivery:
    times = (
        ("planned", row.planned_at),
        ("claimed", row.claimed_at),
        ("sending", row.sending_at),
        (row.status, row.finished_at),
    )
    return Delivery(
        states=[State(state, at) for state, at in times if at is not None],
        attempts=row.attempts,
        due_at=row.due_at,
        held=bool(row.held),
        answer=rules.read_answer(row.answer),
        events=_list(tx, "told", Told, values),
    )


def _responses(tx: Connection, values: Mapping[str, Any]) -> Sequence[Response]:
    return [
        Response(
            time=one.time, kind=one.kind, url=one.url, event_id=one.event_id,
            by=f"machine ({one.machine})" if one.machine else "person",
        )
        for one in tx.execute(QUERIES["responses"], values)
    ]  # fmt: skip
