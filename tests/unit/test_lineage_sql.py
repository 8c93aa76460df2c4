"""Lineage read from single statements."""

from __future__ import annotations

import pytest
import sqlglot

from horizon.observe.lineage.dictionary import Dictionary, read
from horizon.observe.lineage.model import Relation, Value, Write, given, strongest
from horizon.observe.lineage.reader import Reader
from horizon.observe.lineage.scope import UnreadableQueryError

SCHEMA = """
CREATE TABLE a (id int PRIMARY KEY, x text, y text DEFAULT 'none', tags text[], at timestamptz);
CREATE TABLE b (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, a_id int, n int);  -- ; no end
CREATE VIEW ab AS SELECT a.id, a.x || 'z' AS label, b.n FROM a JOIN b ON b.a_id = a.id WHERE a.y = 'v';
CREATE FUNCTION label_of(asked int) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT x FROM a WHERE id = asked
$$;
CREATE FUNCTION masked_address(asked int) RETURNS text LANGUAGE sql AS $$ SELECT x FROM a WHERE id = asked $$;
CREATE FUNCTION rows_of(low int, high int) RETURNS SETOF b LANGUAGE sql AS $$
    SELECT * FROM b WHERE n > low AND n < high
$$;
CREATE FUNCTION told(r a) RETURNS text LANGUAGE sql AS $$ SELECT r.x || r.y $$;
CREATE FUNCTION settle(asked int) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    o a;
    about text := (SELECT y FROM a WHERE id = asked);
BEGIN
    UPDATE a SET at = NULL WHERE id = asked RETURNING * INTO o;
    INSERT INTO b (a_id, n) VALUES (o.id, length(about));
    RETURN true;
END $$;
"""
KNOWN: Dictionary = read([SCHEMA])


def reader(sql: str, **parameters: Value) -> tuple[Relation, Reader]:
    one = Reader(KNOWN, parameters)
    return one.query(sqlglot.parse_one(sql, dialect="postgres")), one


def told(value: Value) -> list[str]:
    """``a.x IDENTITY``; a masked one ends with *."""
    return [f"{one.column} {one.kind}{'*' * one.masking}" for one in strongest(value.origins)]


def columns(sql: str) -> dict[str, list[str]]:
    relation, _ = reader(sql)
    return {name: told(value) for name, value in relation.columns.items()}


def writes(sql: str) -> list[Write]:
    return reader(sql)[1].trace.writes


@pytest.mark.parametrize(
    ("expression", "wanted"),
    [
        ("x", ["a.x IDENTITY"]),
        ("x::text", ["a.x IDENTITY"]),
        ("lower(x)", ["a.x TRANSFORMATION"]),
        ("coalesce(x, y)", ["a.x TRANSFORMATION", "a.y TRANSFORMATION"]),
        ("max(lower(x))", ["a.x AGGREGATION"]),
        ("count(*) FILTER (WHERE x > 'k')", ["a.x CONDITIONAL"]),
        ("CASE x WHEN 'k' THEN y END", ["a.x CONDITIONAL", "a.y TRANSFORMATION"]),
        ("row_number() OVER (PARTITION BY x ORDER BY at)", ["a.at WINDOW", "a.x WINDOW"]),
        ("jsonb_agg(x ORDER BY at)", ["a.at SORT", "a.x AGGREGATION"]),
        ("tags[1]", ["a.tags TRANSFORMATION"]),
        ("ARRAY[x, y]", ["a.x TRANSFORMATION", "a.y TRANSFORMATION"]),
        ("(SELECT n FROM b WHERE b.a_id = a.id)", ["a.id FILTER", "b.a_id FILTER", "b.n IDENTITY"]),
        ("EXISTS (SELECT FROM b WHERE b.a_id = a.id)", ["a.id FILTER", "b.a_id FILTER"]),
        ("label_of(id)", ["a.id FILTER", "a.x TRANSFORMATION"]),
        ("masked_address(id)", ["a.id FILTER", "a.x TRANSFORMATION*"]),
        ("told(a)", ["a.x TRANSFORMATION", "a.y TRANSFORMATION"]),
        ("x = y AS same", ["a.x TRANSFORMATION", "a.y TRANSFORMATION"]),
        ("x::jsonb ->> 'k'", ["a.x TRANSFORMATION"]),
        ("1", []),
    ],
)
def test_an_expression_comes_from_its_columns(expression: str, wanted: list[str]) -> None:
    assert next(iter(columns(f"SELECT {expression} FROM a").values())) == wanted


def test_what_decides_the_rows_is_told_apart_from_the_value() -> None:
    relation, _ = reader(
        "SELECT a.x FROM a JOIN b ON b.a_id = a.id WHERE a.y = 'v' "
        "GROUP BY 1, a.tags HAVING max(b.n) > 1 ORDER BY a.at LIMIT 1"
    )
    assert told(relation.columns["x"]) == ["a.x IDENTITY"]
    assert told(relation.whole) == [
        "a.at SORT", "a.id JOIN", "a.tags GROUP_BY", "a.x GROUP_BY", "a.y FILTER",
        "b.a_id JOIN", "b.n FILTER",
    ]  # fmt: skip


def test_ctes_subqueries_and_laterals_are_followed() -> None:
    assert columns(
        """
        WITH one (k, v) AS (SELECT id, lower(x) FROM a), two AS MATERIALIZED (SELECT * FROM one)
        SELECT two.*, l.n, t.item, e.value
        FROM two JOIN LATERAL (SELECT n FROM b WHERE b.a_id = two.k) l ON true,
             LATERAL jsonb_each(two.v::jsonb) e, unnest(ARRAY[two.v]) t (item)
        """
    ) == {
        "k": ["a.id IDENTITY"], "v": ["a.x TRANSFORMATION"], "n": ["b.n IDENTITY"],
        "item": ["a.x TRANSFORMATION"], "value": ["a.x TRANSFORMATION"],
    }  # fmt: skip


def test_a_union_joins_its_sides_by_place() -> None:
    assert columns("SELECT x AS k FROM a UNION ALL SELECT n::text FROM b ORDER BY 1") == {
        "k": ["a.x IDENTITY", "b.n IDENTITY"]
    }


def test_a_view_is_a_dataset_or_is_gone_through() -> None:
    assert columns("SELECT label FROM ab") == {"label": ["ab.label IDENTITY"]}
    one = Reader(KNOWN, expand=True)
    relation = one.query(sqlglot.parse_one("SELECT label FROM ab", dialect="postgres"))
    assert told(relation.columns["label"]) == ["a.x TRANSFORMATION"]
    assert "a.y FILTER" in told(relation.whole)
    assert one.trace.reads == {"a", "b"}


def test_a_function_of_rows_is_followed_with_its_arguments() -> None:
    relation, _ = reader("SELECT r.n FROM a, rows_of(a.id, 9) r")
    assert told(relation.columns["n"]) == ["b.n IDENTITY"]
    assert told(relation.whole) == ["a.id FILTER", "b.n FILTER"]


def test_an_insert_tells_every_column_where_it_is_from() -> None:
    [write] = writes(
        "INSERT INTO a AS old (id, x) SELECT id, label FROM ab "
        "ON CONFLICT (id) DO UPDATE SET x = excluded.x, y = lower(old.x) WHERE old.at IS NULL"
    )
    assert {name: told(value) for name, value in write.columns.items()} == {
        "id": ["ab.id IDENTITY"], "x": ["ab.label IDENTITY"], "y": ["a.x TRANSFORMATION"],
        "tags": [], "at": [],
    }  # fmt: skip
    assert write.columns["y"].reasons == {"default 'none'"}
    assert write.columns["at"].reasons == {"left empty"}
    assert told(write.whole) == ["a.at FILTER"]


def test_statements_that_write_within_one_are_all_found() -> None:
    found = writes(
        """
        WITH gone AS (DELETE FROM b WHERE n > :n RETURNING a_id),
             fresh AS (INSERT INTO b (a_id, n) SELECT id, 1 FROM a RETURNING id AS b_id, n)
        UPDATE a SET x = f.n::text, at = :now FROM gone g JOIN fresh f ON f.b_id = g.a_id WHERE a.id = g.a_id
        """
    )
    assert [(write.table, sorted(write.columns)) for write in found] == [
        ("b", []), ("b", ["a_id", "id", "n"]), ("a", ["at", "x"]),
    ]  # fmt: skip
    assert told(found[0].whole) == ["b.n FILTER"]
    assert found[1].columns["id"].reasons == {"default: the next number"}
    assert told(found[2].columns["x"]) == ["b.n IDENTITY"]
    assert found[2].columns["at"].reasons == {"parameter now"}
    assert told(found[2].whole) == ["a.id FILTER", "b.a_id FILTER", "b.a_id JOIN", "b.id JOIN"]


def test_a_procedure_is_followed_statement_by_statement() -> None:
    found = writes("SELECT settle(:id)")
    assert [write.table for write in found] == ["a", "b"]
    assert told(found[1].columns["a_id"]) == ["a.id IDENTITY"]
    assert told(found[1].columns["n"]) == ["a.id FILTER", "a.y TRANSFORMATION"]


def test_a_parameter_is_what_code_says_it_is() -> None:
    _, one = reader("INSERT INTO b (a_id, n) VALUES (:k, :n)", k=given("the clock"))
    [write] = one.trace.writes
    assert write.columns["a_id"].reasons == {"the clock"}
    assert write.columns["n"].reasons == {"parameter n"}


def test_recursion_named_windows_and_rollups_are_followed() -> None:
    relation, _ = reader(
        """
        WITH RECURSIVE way (k, said) AS (
            SELECT id, y FROM a UNION ALL SELECT b.n, lower(w.said) FROM b JOIN way w ON w.k = b.a_id)
        SELECT k, said, count(*) OVER w FROM way GROUP BY ROLLUP (k) WINDOW w AS (PARTITION BY said)
        """
    )
    assert told(relation.columns["k"]) == ["a.id IDENTITY", "b.n IDENTITY"]
    assert told(relation.columns["said"]) == ["a.y TRANSFORMATION"]
    assert {"a.id JOIN", "b.a_id JOIN", "a.y WINDOW", "b.n GROUP_BY"} <= set(told(relation.whole))


@pytest.mark.parametrize(
    ("sql", "why"),
    [
        ("SELECT z FROM a", "no column z"),
        ("SELECT a.z FROM a", "no column a.z"),
        ("SELECT id FROM a, b", "may be one of 2"),
        ("SELECT 1 FROM nowhere", "no table nowhere"),
        ("SELECT 1 FROM pg_class", "pg_class is no table of ours"),
        ("INSERT INTO nowhere SELECT 1", "no table nowhere"),
        ("MERGE INTO a USING b ON a.id = b.a_id WHEN MATCHED THEN DELETE", "nothing is known"),
    ],
)
def test_what_cannot_be_followed_is_said(sql: str, why: str) -> None:
    with pytest.raises(UnreadableQueryError, match=why):
        reader(sql)
