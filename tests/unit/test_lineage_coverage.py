"""Lineage covers every query of Horizon: nothing is left out without a word."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from horizon.errors import UsageError
from horizon.observe.lineage.graph import Branch, Graph
from horizon.observe.lineage.jobs import Jobs, flows, named_queries, read_jobs
from horizon.observe.lineage.model import NOTHING, Column
from horizon.observe.lineage.text import as_json, as_text

WRITES = re.compile(r"\b(INSERT INTO|UPDATE \w|DELETE FROM|COPY)\b")

# What each stage reads and writes, so that a change of either is seen by whoever makes it.
STAGES = {
    "identity": (
        {"alerts", "consents", "cuts", "edges", "events", "group_traits", "identity_rules", "memberships", "messages",
         "nodes", "opt_ins", "profiles", "purposes", "reached", "refused_traits", "sources", "traits"},
        {"consents", "edges", "group_traits", "memberships", "nodes", "opt_ins", "profiles", "reached",
         "refused_traits", "traits"},
    ),
    "archive": ({"events", "iceberg_tables"}, set()),
    "verify": ({"events", "lake_days"}, {"lake_days"}),
    "score": ({"events", "nodes", "score_runs"}, {"score_runs", "scores"}),
    "alert": ({"alerts", "nodes", "score_runs", "scores"}, {"alerts"}),
    "campaign": (
        {"alerts", "breakers", "campaign_versions", "campaigns", "command", "consents", "messages", "nodes", "opt_ins",
         "preferences", "purposes", "restores", "score_runs", "scores", "suppressed_domains",
         "suppressions", "template", "traits"},
        {"campaign_runs", "messages", "opt_ins", "outbox"},
    ),
    "email": (
        {"alerts", "breakers", "campaigns", "click_targets", "consents", "edges", "eras", "events",
         "messages", "nodes", "opt_ins", "outbox", "preferences", "profiles", "provider", "reached",
         "responses", "score_runs", "scores", "sources", "suppressed_domains", "suppressions",
         "template"},
        {"alerts", "breakers", "click_targets", "events", "messages", "outbox", "reached",
         "suppressions"},
    ),
    "domains": (
        {"campaigns", "dns", "domains", "messages", "outbox", "suppressed_domains"},
        {"domains", "suppressed_domains"},
    ),
    "seal": (
        {"alerts", "audit", "consents", "events", "history", "history_open_alerts",
         "history_open_messages", "history_passes", "history_seals", "messages", "outbox", "sources",
         "watermarks"},
        {"history", "history_open_alerts", "history_open_messages", "history_passes", "history_seals"},
    ),
    "ingest": (
        {"erased_nodes", "eras", "event_ids", "file", "file_progress", "rejected_events", "simulations",
         "source_keys", "sources"},
        {"event_ids", "events", "file_progress", "rejected_events", "simulations"},
    ),
    "consent": (
        {"campaigns", "command", "consent_export", "consents", "messages", "nodes", "preferences",
         "purposes", "suppressed_domains", "suppressions", "traits"},
        {"consents", "opt_ins", "purposes", "suppressed_domains", "suppressions"},
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def jobs() -> Jobs:
    return read_jobs()


@pytest.fixture(scope="module")
def graph(jobs: Jobs) -> Graph:
    return Graph(jobs)


def test_every_query_is_followed_but_those_that_only_ask_for_others_tables(jobs: Jobs) -> None:
    assert jobs.all
    assert jobs.unread == {}
    for name in jobs.others:
        assert not WRITES.search(named_queries()[name]), f"{name} writes and must be followed"


def test_every_query_that_writes_has_a_job_that_says_so(jobs: Jobs) -> None:
    told = {query for job in jobs.all.values() for query, _ in job.writes}
    for name, text in named_queries().items():
        plain = re.sub(r"--.*|FOR UPDATE", "", text)
        assert not WRITES.search(plain) or name in told | jobs.prepared, name


def test_every_column_that_is_written_has_a_source_or_a_reason(jobs: Jobs) -> None:
    without = [
        f"{query}: {write.table}.{name}"
        for job in jobs.all.values()
        for query, write in job.writes
        for name, value in write.columns.items()
        if not value.origins and not value.reasons
    ]
    assert without == []


def test_every_column_of_a_table_is_written_by_somebody(jobs: Jobs) -> None:
    """But for the tables that no query fills: the migrations and other commands do."""
    written = {
        Column(write.table, name)
        for job in jobs.all.values()
        for _, write in job.writes
        for name in write.columns
    }
    missing = {
        one.table for one in jobs.columns()
        if one not in written and one.table not in flows().outside
    }  # fmt: skip
    # A trigger writes a campaign's versions, Iceberg's library its catalog, the console's ORM its
    # people; nothing erases yet.
    assert missing == {
        "audit", "campaign_versions", "eras", "erased_nodes", "iceberg_namespace_properties",
        "iceberg_tables", "installation", "people",
    }  # fmt: skip


def test_the_stages_read_and_write_what_is_known() -> None:
    found = read_jobs(expand=True).all
    for stage, (reads, writes) in STAGES.items():
        job = found[stage]
        assert (job.reads, {write.table for _, write in job.writes}) == (reads, writes), stage


def test_flows_name_only_what_there_is(jobs: Jobs) -> None:
    declared, queries = flows(), named_queries()
    packages = {name.rpartition(".")[0] for name in queries}
    assert set(declared.jobs) <= set(queries) | packages
    for key, parameters in declared.parameters.items():
        for name, flow in parameters.items():
            assert f"%({name})s" in queries[key.rpartition(":")[2]], f"{key}: {name}"
            assert jobs.declared(flow) != NOTHING, f"{key}: {name} = {flow}"
    for job, tables in declared.copy.items():
        for table, columns in tables.items():
            assert jobs.known.tables[table].columns.keys() >= columns.keys(), (job, table)
    for job, rows in declared.rows.items():
        assert {write.table for _, write in jobs.all[job].writes} >= rows.keys(), job


def on_the_way(branch: Branch) -> set[str]:
    return {str(branch.column)}.union(*map(on_the_way, branch.branches))


def test_a_mail_s_score_is_led_back_to_the_events(graph: Graph) -> None:
    way = on_the_way(graph.tree(Column("messages", "variables"), "up"))
    assert {"scores.score", "events.time", "segment_api.timestamp", "file.time_column"} <= way
    down = on_the_way(graph.tree(Column("segment_api", "timestamp"), "down"))
    assert {"events.time", "scores.score", "alerts.score", "messages.variables"} <= down


def test_both_directions_agree(graph: Graph) -> None:
    for column in graph.columns:
        for step in graph.steps(column, "up"):
            assert step in graph.steps(step.source, "down")


def test_addresses_are_masked_where_they_are_hashed(graph: Graph) -> None:
    [step] = [
        one for one in graph.steps(Column("events", "nodes"), "up")
        if one.source == Column("segment_api", "userId")
    ]  # fmt: skip
    assert step.masking
    assert not any(one.masking for one in graph.steps(Column("events", "user_id"), "up"))


def test_a_wrong_query_changes_the_lineage() -> None:
    queries = dict(named_queries())
    right = "extract(epoch FROM %(now)s - coalesce(last_activity, first_seen))::float8"
    assert right in queries["scoring.scores"]
    queries["scoring.scores"] = queries["scoring.scores"].replace(
        right, "extract(epoch FROM %(now)s - first_seen)::float8"
    )
    sources = {
        str(one.source)
        for one in Graph(Jobs(queries)).steps(Column("scores", "score"), "up")
        if one.kind.direct
    }
    assert sources == {"nodes.first_seen"}


def test_a_flow_to_nowhere_is_no_lineage() -> None:
    wrong = {"identity.record_opt_ins": {"nodes": "identity.asked_opt_ins.nothing"}}
    jobs = Jobs(declared=replace(flows(), parameters=wrong))
    assert jobs.all
    assert jobs.unread["identity.record_opt_ins"] == "identity.asked_opt_ins gives no nothing"


def test_an_unknown_name_gets_near_ones(graph: Graph) -> None:
    with pytest.raises(
        UsageError, match=r"no column 'messages.score': did you mean .*scores.score"
    ):
        graph.find("messages.score")
    with pytest.raises(UsageError, match=r"did you mean alerts.activities, alerts.alert_id"):
        graph.find("alerts")
    with pytest.raises(UsageError, match="`horizon lineage list` names them"):
        graph.find("zzz")


def test_text_and_json_tell_the_same(graph: Graph) -> None:
    column = graph.find("scores.score")
    text, told = as_text(graph, column), as_json(graph, column)
    assert "├─ events.time  [score: aggregation]" in text
    assert "besides, in score: a constant, parameter now, parameter window_s" in text
    names = {one["column"] for one in told["up"]}
    assert names == {"events.time", "nodes.first_seen"}
    assert {one["column"] for one in told["down"]} == {
        "alerts.score", "current_scores.score", "messages.variables",
    }  # fmt: skip
    for name in names:
        assert name in text
    wide = as_text(graph, column, wide=True)
    assert "score, filter: events.activity, events.nodes, events.received_at, events.time" in wide
