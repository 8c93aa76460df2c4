"""What the tables promise by themselves, whoever writes to them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import psycopg
import pytest

from horizon.postgres.database import Connection, Database, Role

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)

ADD_EVENT = """INSERT INTO events (event_id, source_id, message_id, type, nodes, time, received_at,
    trusted, activity, era)
VALUES (gen_random_uuid(), 1, 'm', 'track',
    ARRAY[gen_random_uuid()], %(at)s, %(at)s, true, true, 1)"""
ADD_ALERT = """INSERT INTO alerts (rule, node, profile_id, score, tier, threshold, created_at,
    quiet_until, correlation_id)
VALUES (%(rule)s, '00000000-0000-0000-0000-000000000007', 7, 0.9, 'high', %(threshold)s, %(at)s,
    %(at)s + interval '7 days', gen_random_uuid())"""
ADD_MESSAGE = """INSERT INTO messages (campaign, profile_id, occasion, template, template_digest,
    status, correlation_id, planned_at)
VALUES ('miss_you', 7, %(occasion)s, 't', 'd', 'planned', gen_random_uuid(), %(at)s)"""


def partition_of(tx: Connection, table: str) -> list[str]:
    rows = tx.execute(f"SELECT tableoid::regclass::text AS name FROM {table} ORDER BY 1")
    return [row.name for row in rows]


def test_every_instant_has_a_time_zone(module_database: Database) -> None:
    with module_database.transaction(Role.OWNER) as tx:
        found = tx.execute(
            "SELECT table_name, column_name FROM information_schema.columns WHERE data_type IN "
            "('timestamp without time zone', 'time without time zone') AND table_schema = 'public'"
        ).fetchall()
    assert found == []


def test_every_table_has_a_key_or_is_one_of_the_two_that_cannot(module_database: Database) -> None:
    """Events remember their ids in a table of their own; scores get their key once they stand."""
    with module_database.transaction(Role.OWNER) as tx:
        found = tx.execute(
            "SELECT c.relname FROM pg_class c WHERE relkind IN ('r', 'p') AND NOT relispartition "
            "AND relnamespace = 'public'::regnamespace AND NOT EXISTS "
            "(SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisprimary) ORDER BY 1"
        ).fetchall()
    assert [row.relname for row in found] == ["events", "scores"]


def test_rows_find_the_partition_of_their_day(worker: Connection) -> None:
    worker.execute("SELECT ensure_partitions('2026-03-01', '2026-03-02')")
    midnight = datetime(2026, 3, 2, tzinfo=UTC)
    for at in (midnight - timedelta(microseconds=1), midnight, datetime(1998, 6, 30, tzinfo=UTC)):
        worker.execute(ADD_EVENT, {"at": at})
    assert partition_of(worker, "events") == [
        "events_20260301",
        "events_20260302",
        "events_default",
    ]


def test_days_are_utc_days_whatever_the_session_says(worker: Connection) -> None:
    worker.execute("SET timezone = 'Pacific/Auckland'")
    worker.execute("SELECT ensure_partitions('2026-03-01', '2026-03-01')")
    worker.execute(ADD_EVENT, {"at": datetime(2026, 3, 1, 23, 59, tzinfo=UTC)})
    assert partition_of(worker, "events") == ["events_20260301"]


def test_making_partitions_again_does_nothing_and_what_waited_moves(worker: Connection) -> None:
    worker.execute(ADD_EVENT, {"at": NOW})
    worker.execute("INSERT INTO event_ids VALUES (%s, %s)", [NOW, uuid4()])
    worker.execute("INSERT INTO event_ids VALUES ('-infinity', %s)", [uuid4()])
    for _ in range(2):
        worker.execute("SELECT ensure_partitions('2026-02-28', '2026-03-02')")
    assert partition_of(worker, "events") == ["events_20260301"]
    assert partition_of(worker, "event_ids") == ["event_ids_20260301", "event_ids_default"]


def test_two_make_the_same_partitions_at_once(database: Database) -> None:
    def make(_: int) -> None:
        with database.transaction(Role.EDGE) as tx:
            tx.execute("SELECT ensure_partitions('2026-03-01', '2026-03-05')")

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(make, range(4)))


def test_an_id_counts_once_across_partitions_being_made(worker: Connection) -> None:
    digest = uuid4()
    worker.execute("INSERT INTO event_ids VALUES (%s, %s)", [NOW, digest])
    worker.execute("SELECT ensure_partitions('2026-03-01', '2026-03-01')")
    with pytest.raises(psycopg.errors.UniqueViolation):
        worker.execute("INSERT INTO event_ids VALUES (%s, %s)", [NOW, digest])


def test_an_event_without_nodes_is_refused(worker: Connection) -> None:
    with pytest.raises(psycopg.errors.CheckViolation):
        worker.execute(
            ADD_EVENT.replace("ARRAY[gen_random_uuid()]", "ARRAY[]::uuid[]"), {"at": NOW}
        )


def test_two_alerters_at_once_make_one_alert(database: Database) -> None:
    with database.connect(Role.WORKER) as first, ThreadPoolExecutor(1) as pool:
        first.execute(ADD_ALERT, {"rule": "risk", "threshold": 0.7, "at": NOW})
        second = pool.submit(add_alert, database, "risk", 0.5, NOW + timedelta(hours=1))
        first.commit()
        with pytest.raises(psycopg.errors.ExclusionViolation):
            second.result(timeout=10)


def add_alert(database: Database, rule: str, threshold: float, at: datetime) -> None:
    with database.transaction(Role.WORKER) as tx:
        tx.execute(ADD_ALERT, {"rule": rule, "threshold": threshold, "at": at})


def test_the_cooldown_ends_to_the_second_and_is_its_rule_s_own(database: Database) -> None:
    add_alert(database, "risk", 0.7, NOW)
    add_alert(database, "other", 0.7, NOW)
    add_alert(database, "risk", 0.7, NOW + timedelta(days=7))
    with pytest.raises(psycopg.errors.ExclusionViolation):
        add_alert(database, "risk", 0.7, NOW + timedelta(days=7, seconds=1))


def test_an_occasion_gives_a_profile_one_message(worker: Connection) -> None:
    worker.execute(ADD_MESSAGE, {"occasion": "alert:1", "at": NOW})
    worker.execute(ADD_MESSAGE, {"occasion": "alert:2", "at": NOW})
    with pytest.raises(psycopg.errors.UniqueViolation):
        worker.execute(ADD_MESSAGE, {"occasion": "alert:1", "at": NOW})


def open_run(tx: Connection) -> int:
    row = tx.execute(
        'INSERT INTO score_runs (correlation_id, "now", window_days, high, medium) '
        "VALUES (gen_random_uuid(), %s, 14, 0.7, 0.5) RETURNING score_run",
        [NOW],
    ).fetchone()
    assert row is not None
    tx.execute("SELECT open_score_run(%s)", [row.score_run])
    return int(row.score_run)


def write_score(tx: Connection, run: int, profile_id: int, score: float) -> None:
    tx.execute(
        f"INSERT INTO scores_{run} VALUES (%s, %s, NULL, 1, 0, %s, 'high', false)",
        [run, profile_id, score],
    )


def score_one(database: Database, score: float) -> None:
    with database.transaction(Role.WORKER) as tx:
        run = open_run(tx)
        write_score(tx, run, 1, score)
        tx.execute("SELECT close_score_run(%s)", [run])


def test_a_run_s_scores_count_once_it_is_closed(database: Database) -> None:
    with database.transaction(Role.WORKER) as tx:
        tx.execute(
            "WITH p AS (INSERT INTO profiles (created_at) VALUES (%(at)s) RETURNING profile_id) "
            "INSERT INTO nodes (node, kind, value, profile_id, first_seen) "
            "SELECT %(node)s, 'user_id', 'ada', profile_id, %(at)s FROM p",
            {"at": NOW, "node": UUID(int=1)},
        )
    score_one(database, 0.5)
    with database.connect(Role.WORKER) as writer, database.connect(Role.READER) as reader:
        run = open_run(writer)
        write_score(writer, run, 1, 0.25)
        assert read_scores(reader) == [("ada", 0.5)]
        writer.execute("SELECT close_score_run(%s)", [run])
        writer.commit()
        assert read_scores(reader) == [("ada", 0.25)]


def read_scores(reader: Connection) -> list[tuple[str, float]]:
    rows = reader.execute("SELECT user_id, score FROM current_scores").fetchall()
    reader.commit()
    return [tuple(row) for row in rows]


def test_the_newest_runs_scores_are_kept_and_the_others_dropped(database: Database) -> None:
    for number in range(5):
        score_one(database, number / 10)
    with database.transaction(Role.OWNER) as tx:
        rows = tx.execute("SELECT DISTINCT score_run FROM scores ORDER BY 1").fetchall()
        active = tx.execute("SELECT score_run FROM score_runs WHERE active").fetchall()
    assert [row.score_run for row in rows] == [3, 4, 5]
    assert [row.score_run for row in active] == [5]


def test_a_profile_has_one_score_a_run(database: Database) -> None:
    with database.connect(Role.WORKER) as tx:
        run = open_run(tx)
        write_score(tx, run, 1, 0.5)
        write_score(tx, run, 1, 0.6)
        with pytest.raises(psycopg.errors.UniqueViolation):
            tx.execute("SELECT close_score_run(%s)", [run])


@pytest.mark.parametrize("score", [-0.1, 1.1, float("nan")])
def test_a_score_lies_between_0_and_1(score: float, worker: Connection) -> None:
    run = open_run(worker)
    with pytest.raises(psycopg.errors.CheckViolation):
        write_score(worker, run, 1, score)
