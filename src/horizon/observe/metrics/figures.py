"""What the database tells: which query's column is which metric."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from horizon.observe.metrics.gauges import Gauge, Sample
from horizon.postgres.database import Connection, row_dicts
from horizon.postgres.queries import Queries
from horizon.stage import STAGES

QUERIES: Final = Queries("horizon.observe.metrics")
MOST_COUNTED: Final = 100_000  # unread events and opt-ins: more is "at least so many"


@dataclass(frozen=True, slots=True)
class Figure:
    """A gauge: of each of the query's rows one column's value, by the columns that are labels."""

    gauge: Gauge
    query: str
    column: str


def _figure(query: str, column: str, name: str, told: str, *labels: str, unit: str = "") -> Figure:
    return Figure(Gauge(name, told, labels, unit), query, column)


# Seconds old at most: what an index or a small table tells.
QUICK: Final = (
    _figure("last_runs", "started", "horizon_stage_last_run_timestamp_seconds",
            "When a stage last began.", "stage", unit="seconds"),
    _figure("last_runs", "good_started", "horizon_stage_last_success_timestamp_seconds",
            "When the last run that succeeded began.", "stage", unit="seconds"),
    _figure("last_runs", "unfinished", "horizon_stage_last_run_unfinished",
            "1 where the last run failed or is still under way.", "stage"),
    _figure("unread", "behind", "horizon_watermark_lag_seconds",
            "Age of the oldest event that a stage has not read; 0: it has read all.", "stage",
            unit="seconds"),
    _figure("unread", "events", "horizon_watermark_lag_events",
            f"Events that a stage has not read; {MOST_COUNTED} stands for that many or more.",
            "stage"),
    _figure("outbox", "messages", "horizon_outbox_messages",
            "Messages on their way: planned, due, claimed, sending, held by a breaker.",
            "campaign", "state"),
    _figure("oldest_due", "waits", "horizon_outbox_oldest_due_seconds",
            "How long the first message of an active campaign has been due.", "campaign",
            unit="seconds"),
    _figure("breakers", "domains", "horizon_breakers_open",
            "Domains that a campaign may not write to just now, by reason.", "campaign", "reason"),
    _figure("campaigns", "campaigns", "horizon_campaigns", "Campaigns by status.", "status"),
    _figure("opt_ins", "waiting", "horizon_opt_ins_waiting",
            f"Addresses that are still to be asked; {MOST_COUNTED} stands for that many or more."),
    _figure("forwards", "behind", "horizon_forward_lag_seconds",
            "Age of the oldest event that waits to be forwarded; 0: none waits.", "forward",
            unit="seconds"),
    _figure("forwards", "events", "horizon_forward_lag_events",
            f"Events that wait to be forwarded; {MOST_COUNTED} stands for that many or more.",
            "forward"),
    _figure("forwards", "sent", "horizon_forward_sent_events",
            "Events that a forward's receiver took, replays not counted.", "forward"),
    _figure("forwards", "refused", "horizon_forward_refused_events",
            "Events that a forward's receiver would not have.", "forward"),
    _figure("forwards", "well", "horizon_forward_up",
            "1 where a forward is on and its receiver answers.", "forward"),
    _figure("connections", "sessions", "horizon_database_sessions",
            "Database sessions by the role that opened them.", "role"),
    _figure("server", "used", "horizon_database_server_sessions",
            "Sessions of the whole database server."),
    _figure("server", "sessions", "horizon_database_server_sessions_limit",
            "Sessions that the database server allows."),
)  # fmt: skip

# Minutes old where tables are large: what reads a table from end to end.
SLOW: Final = (
    _figure("message_states", "messages", "horizon_messages",
            "Messages by campaign and state.", "campaign", "status"),
    _figure("suppressions", "addresses", "horizon_suppressions",
            "Addresses that are not written to, by reason.", "reason"),
    _figure("alerts", "alerts", "horizon_alerts_open", "Alerts that are not resolved, by status.",
            "status"),
    _figure("size", "bytes", "horizon_database_size_bytes", "The database on disk.",
            unit="bytes"),
)  # fmt: skip

Rows = Sequence[Mapping[str, Any]]


def read_figures(tx: Connection, figures: Sequence[Figure], clock: datetime) -> list[Sample]:
    values = {"clock": clock, "most": MOST_COUNTED, "stages": list(STAGES)}
    tables: dict[str, Rows] = {}
    for query in dict.fromkeys(figure.query for figure in figures):
        tables[query] = (
            unread(tx, values)
            if query == "unread"
            else row_dicts(tx.execute(QUERIES[query], values))
        )
    return [
        Sample(figure.gauge, tuple(str(row[label]) for label in figure.gauge.labels),
               float(row[figure.column]))
        for figure in figures
        for row in tables[figure.query]
        if row[figure.column] is not None
    ]  # fmt: skip


def unread(tx: Connection, values: Mapping[str, Any]) -> Rows:
    """A row for each stage that reads windows of events."""
    # How many rows a snapshot hides no statistics tell, and the guess reads every partition.
    tx.execute("SET LOCAL enable_seqscan = off")
    found = []
    for mark in row_dicts(tx.execute(QUERIES["watermarks"])):
        row = row_dicts(tx.execute(QUERIES["unread"], {**values, **mark}))[0]
        found.append({"stage": mark["stage"], **row, "behind": max(0.0, row["behind"] or 0.0)})
    tx.execute("SET LOCAL enable_seqscan = on")
    return found
