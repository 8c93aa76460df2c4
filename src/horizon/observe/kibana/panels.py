"""The panels: what each one shows, the search for it, and how it is drawn.

The query of a panel's name in ``queries.sql`` gives the same rows from the tables. The dashboards
are made from the searches, ``horizon report`` from the SQL; a test compares the two row by row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

TIME_FIELD = "@timestamp"
MOST_RUNS = 100  # the newest; more bars than these cannot be told apart
MOST_ROWS = 1000
LISTED = 20  # the score detail's histogram is so long; of its hundred people so many are shown

Json = dict[str, Any]


class Chart(StrEnum):
    RUNS = "runs"  # a column a run, the newest on the right
    HOURS = "hours"  # a column an hour, on an axis of time
    COLUMNS = "columns"
    BARS = "bars"  # lying, a name each


class Colour(StrEnum):
    """What a colour means; the tiers' are those of the demo's page."""

    PLAIN = "plain"
    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"
    QUIET = "quiet"
    OTHER = "other"


@dataclass(frozen=True)
class Column:
    """``path`` leads to the value in a bucket of the search's answer; the SQL calls it ``name``."""

    name: str
    path: str
    title: str
    scale: float = field(default=1, kw_only=True)


@dataclass(frozen=True)
class Measure(Column):
    colour: Colour = Colour.PLAIN
    largest: str = ""  # so its headline is called, where that is the largest value and not the sum
    decimals: int = 0


@dataclass(frozen=True)
class Panel:
    """``along`` is the axis; each of ``measures`` has its bars, or one has them by ``split``.

    ``rows`` leads to the buckets of the answer, or to the one hit whose list ``unpack`` has the
    rows: then a path begins with ``index`` or ``value``. ``split_colours`` are for known values.
    """

    name: str
    title: str
    shows: str
    empty: str  # what to do where it shows nothing
    chart: Chart
    body: Json
    along: Column
    measures: tuple[Measure, ...]
    others: tuple[Column, ...] = ()
    split: str | None = None  # one of the others
    split_colours: Mapping[str, Colour] | None = None
    stacked: bool = True
    unpack: str | None = None

    @property
    def columns(self) -> tuple[Column, ...]:
        return (self.along, *self.others, *self.measures)

    @property
    def rows(self) -> str:
        return "hits.hits" if self.unpack else "aggregations.rows.buckets"


def _query(*filters: Json) -> Json:
    """Lines of the usual database; those of another one say so."""
    return {"bool": {"filter": list(filters), "must_not": [{"exists": {"field": "database"}}]}}


def _lines(message: str, *more: Json) -> Json:
    return _query({"term": {"message": message}}, *more)


def _with(field: str) -> Json:
    return {"exists": {"field": field}}


def _grouped(
    query: Json, sources: Sequence[Json], figures: Json | None = None, *, most: int = MOST_ROWS
) -> Json:
    """Flat buckets, whatever they are grouped by: a picture needs no more than these."""
    rows: Json = {"composite": {"size": most, "sources": list(sources)}}
    return {"size": 0, "query": query, "aggs": {"rows": {**rows, "aggs": figures or {}}}}


def _by(field: str, **more: Any) -> Json:
    return {field.lstrip("@"): {"terms": {"field": field, **more}}}


def _sums(*fields: str) -> Json:
    return {field: {"sum": {"field": field}} for field in fields}


def _newest(query: Json, field: str) -> Json:
    return {"size": 1, "query": query, "sort": [{TIME_FIELD: "desc"}], "_source": [field]}


_RUN = [_by(TIME_FIELD, order="desc"), _by("correlation_id")]
_HOUR = {"hour": {"date_histogram": {"field": TIME_FIELD, "fixed_interval": "1h"}}}
_AT = Column("at", "key.timestamp", "Time")
_RUN_ID = Column("run", "key.correlation_id", "Run")
_STAGE = Column("stage", "key.stage", "Stage")
_TIERS = {"high": Colour.HIGH, "medium": Colour.MEDIUM, "low": Colour.LOW}

PANELS: tuple[Panel, ...] = (
    Panel(
        "events_ingested", "Events ingested per run",
        "New events of each run of a file's ingest and of the simulator",
        "Nothing was brought in by a run: `horizon simulate` or `horizon ingest FILE` does that.",
        Chart.RUNS,
        _grouped(_lines("ingest", _with("inserted")), [*_RUN, _by("component")],
                 _sums("inserted"), most=MOST_RUNS),
        _AT, (Measure("inserted", "inserted.value", "Events"),),
        others=(_RUN_ID, Column("component", "key.component", "From")), split="component",
    ),
    Panel(
        "events_resolved", "New events per pipeline run",
        "Events that a run was the first to meet, whatever way they came, without Horizon's own",
        "The pipeline has not run: `horizon up` runs it, or `horizon score`.",
        Chart.RUNS,
        _grouped(_lines("identity", _with("events")), _RUN, _sums("events"), most=MOST_RUNS),
        _AT, (Measure("events", "events.value", "Events", Colour.LOW),), others=(_RUN_ID,),
    ),
    Panel(
        "score_distribution", "Score distribution",
        "People by score in the newest run, twenty equal steps from 0 to 1 (likely to leave)",
        "Nobody is scored: run `horizon score`.",
        Chart.COLUMNS, _newest(_lines("score_detail"), "histogram"),
        Column("score", "index", "Score, from", scale=1 / LISTED),
        (Measure("profiles", "value", "People", Colour.LOW),), unpack="histogram",
    ),
    Panel(
        "top_users", "Top users by score",
        f"The {LISTED} people most at risk in the newest run",
        "Nobody is scored: run `horizon score`.",
        Chart.BARS, _newest(_lines("score_detail"), "top"),
        Column("user_id", "value.user_id", "User"),
        (Measure("score", "value.score", "Score", Colour.HIGH,
                 largest="Highest score", decimals=3),),
        others=(Column("tier", "value.segment", "Tier"),), split="tier", split_colours=_TIERS,
        unpack="top",
    ),
    Panel(
        "alerts", "Alerts created and skipped",
        "Alerts of each run, and people at risk who had one within the cooldown: each run counts "
        "them anew, so the sum over runs is more than people",
        "No alert run yet: `horizon alert` raises them.",
        Chart.RUNS,
        _grouped(_lines("alert", _with("created")), _RUN, _sums("created", "skipped"),
                 most=MOST_RUNS),
        _AT,
        (Measure("created", "created.value", "Created", Colour.HIGH),
         Measure("skipped", "skipped.value", "Skipped", Colour.QUIET)),
        others=(_RUN_ID,),
    ),
    Panel(
        "mails", "Mails sent, skipped and failed",
        "What became of each campaign's messages; unknown: the answer never came",
        "No campaign has written to anybody: `horizon campaign run NAME` does.",
        Chart.BARS,
        _grouped(_lines("email", _with("sent")), [_by("campaign_id")],
                 _sums("sent", "skipped", "failed", "unknown")),
        Column("campaign", "key.campaign_id", "Campaign"),
        (Measure("sent", "sent.value", "Sent", Colour.LOW),
         Measure("skipped", "skipped.value", "Skipped", Colour.QUIET),
         Measure("failed", "failed.value", "Failed", Colour.HIGH),
         Measure("unknown", "unknown.value", "Unknown", Colour.MEDIUM)),
    ),
    Panel(
        "campaign_timeline", "Campaigns over time",
        "Mails that left, by campaign and hour",
        "No mail has left: `horizon campaign run NAME` sends some.",
        Chart.HOURS,
        _grouped(_lines("message", {"term": {"status": "sent"}}), [_HOUR, _by("campaign_id")]),
        Column("hour", "key.hour", "Hour"), (Measure("sent", "doc_count", "Mails"),),
        others=(Column("campaign", "key.campaign_id", "Campaign"),), split="campaign",
    ),
    Panel(
        "stage_duration", "How long a run takes",
        "Seconds of each stage's runs: on average, and the longest",
        "No stage has run: `horizon up` or `horizon score`.",
        Chart.BARS,
        _grouped(_query(_with("duration_s")), [_by("stage")],
                 {"mean": {"avg": {"field": "duration_s"}},
                  "longest": {"max": {"field": "duration_s"}}}),
        _STAGE,
        (Measure("mean_s", "mean.value", "Average, s", Colour.LOW,
                 largest="Slowest stage's average, s", decimals=3),
         Measure("longest_s", "longest.value", "Longest, s", Colour.QUIET,
                 largest="Longest run, s", decimals=3)),
        others=(Column("runs", "doc_count", "Runs"),), stacked=False,
    ),
    Panel(
        "stage_lag", "How far a stage was behind",
        "Seconds since a stage's last good run, or since the installation was made: what came "
        "meanwhile waited for it at most so long",
        "No stage has run: `horizon up` or `horizon score`.",
        Chart.BARS,
        _grouped(_query(_with("duration_s"), _with("lag_s")), [_by("stage")],
                 {"longest": {"max": {"field": "lag_s"}}}),
        _STAGE,
        (Measure("lag_s", "longest.value", "Longest, s", Colour.MEDIUM,
                 largest="Longest, s", decimals=1),),
    ),
    Panel(
        "stage_errors", "Failed runs by stage",
        "Runs that ended with an error; `horizon status` shows the last one of each stage",
        "No run has failed.",
        Chart.BARS,
        _grouped(_query(_with("duration_s"), {"term": {"status": "failed"}}), [_by("stage")]),
        _STAGE, (Measure("errors", "doc_count", "Failed runs", Colour.HIGH),),
    ),
)  # fmt: skip
