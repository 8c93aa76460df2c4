"""Parquet into the database: types, nesting, resuming, files that are not what they say; and the
same rows in every format."""

from __future__ import annotations

import csv
import gzip
import io
import json
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from horizon.errors import HorizonError, MappingError, UsageError
from horizon.events.model import Source
from horizon.postgres.database import Database
from horizon.sources import lines
from horizon.sources.files import Interpreter
from horizon.sources.lines import Position
from horizon.sources.mapping import read_mapping
from horizon.sources.readers import reader_of
from horizon.sources.stored import DEFAULT_LIMITS, Limits, LocalFile
from tests.ingesting import RECEIVED, Ingest, rows

MAPPING = """
format = "parquet"
user_id_column = "who"
time_column = "at"
event = "Order Completed"
properties = { total = { column = "sum" } }
"""


def orders(count: int) -> pa.Table:
    at = datetime(2025, 6, 1, tzinfo=UTC)
    return pa.table({
        "who": [f"user {number}" for number in range(count)],
        "at": [at + timedelta(minutes=number) for number in range(count)],
        "sum": [number + 0.5 for number in range(count)],
    })  # fmt: skip


def test_every_type_becomes_json(ingest: Ingest, database: Database, tmp_path: Path) -> None:
    path = tmp_path / "typed.parquet"
    at = datetime(2025, 6, 1, 12, 0, 0, 123456, tzinfo=UTC)
    nested = [{"sku": "a", "when": at}]
    pq.write_table(pa.table({
        "customer": pa.array([{"id": 7}], pa.struct([("id", pa.int64())])),
        "at": pa.array([int(at.timestamp()) * 10**9 + 123_456_789], pa.timestamp("ns", "Europe/Berlin")),
        "amount": pa.array([Decimal("12345678901234567890.50")], pa.decimal128(30, 2)),
        "cart": pa.array([nested], pa.list_(pa.struct([("sku", pa.string()), ("when", pa.timestamp("ns"))]))),
        "raw": pa.array([b"\xff\x00"], pa.binary()),
        "day": pa.array([date(2025, 6, 1)], pa.date32()),
        "tags": pa.array([[("a", 1), ("b", 2)]], pa.map_(pa.string(), pa.int32())),
        "none": pa.array([None], pa.string()),
        "kind": pa.array(["x"]).dictionary_encode(),
        "whole": pa.array([True], pa.bool_()),
    }), path)  # fmt: skip
    names = ("amount", "cart", "raw", "day", "tags", "none", "kind", "whole")
    mapping = MAPPING.replace('"who"', '"customer.id"').split("properties")[0] + "[properties]\n"
    mapping += "\n".join(f'{name} = {{ column = "{name}" }}' for name in names)
    assert ingest(path, mapping).inserted == 1
    [row] = rows(database, "SELECT user_id, time, properties FROM events")
    assert (row["user_id"], row["time"]) == ("7", at)
    assert "12345678901234567890.50" in row["properties"]  # every digit, and a number
    del nested[0]["when"]
    assert json.loads(row["properties"]) == {
        "amount": 12345678901234567890.50, "raw": "/wA=", "day": "2025-06-01", "kind": "x",
        "cart": [{"sku": "a", "when": "2025-06-01T12:00:00.123456"}], "tags": {"a": 1, "b": 2},
        "whole": True,
    }  # fmt: skip


def test_rows_that_are_messages(ingest: Ingest, database: Database, tmp_path: Path) -> None:
    path = tmp_path / "archive.parquet"
    at = datetime(2025, 6, 1, tzinfo=UTC)
    pq.write_table(pa.table({
        "type": ["track", "identify", "page", "track"],
        "messageId": ["m1", None, "m3", "m4"],
        "event": ["Order Completed", None, None, "Opened"],
        "anonymousId": ["a"] * 4,
        "timestamp": [at] * 4,
        "properties": ['{"total": 1.50}', None, "", "{oh"],
        "traits": [None, '{"email": "ann@example.com"}', None, None],
    }), path)  # fmt: skip
    result = ingest(path)
    assert (result.inserted, result.rejected) == (3, 1)
    found = rows(database, "SELECT message_id, email, properties, time FROM events ORDER BY type")
    assert [row["message_id"] for row in found] == [f"{result.digest[:32]}:2", "m3", "m1"]
    assert found[0]["email"] == "ann@example.com"
    assert (found[2]["properties"], found[2]["time"]) == ('{"total": 1.50}', at)
    [kept] = rows(database, "SELECT position, code, message FROM rejected_events")
    assert (kept["position"], kept["code"]) == (4, "invalid_json")
    assert ", row 4: " in kept["message"]


def test_bad_rows_cost_nobody_else(ingest: Ingest, database: Database, tmp_path: Path) -> None:
    path = tmp_path / "bad.parquet"
    far = pa.array([0, 2**62, None, 0], pa.timestamp("us", "UTC"))
    who = pa.Array.from_buffers(
        pa.string(), 4, [None, pa.py_buffer(b"\0\0\0\0\1\0\0\0\2\0\0\0\3\0\0\0\4\0\0\0"), pa.py_buffer(b"abc\xff")]
    )  # fmt: skip
    pq.write_table(pa.table({"who": who, "at": far, "sum": [1, 2, 3, 4]}), path)
    result = ingest(path, MAPPING)
    assert (result.inserted, result.rejected) == (1, 3)
    kept = rows(database, "SELECT position, code FROM rejected_events ORDER BY 1")
    assert [tuple(row.values()) for row in kept] == [(2, "value"), (3, "time"), (4, "value")]


@pytest.mark.parametrize("group_rows", [1, 3, 7, 100])
def test_it_goes_on_where_it_was_ended(
    group_rows: int, ingest: Ingest, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    monkeypatch.setattr(lines, "BATCH_LINES", 4)
    path = tmp_path / "orders"
    pq.write_table(orders(23), path, row_group_size=group_rows)
    runs = 0
    while True:
        runs += 1
        calls = iter(range(100))
        result = ingest(path, MAPPING, stopping=lambda: next(calls) > 1)  # noqa: B023
        if not result.stopped:
            break
    assert runs > 2
    found = rows(database, "SELECT message_id, user_id FROM events")
    assert {(row["message_id"], row["user_id"]) for row in found} == {
        (f"{result.digest[:32]}:{number + 1}", f"user {number}") for number in range(23)
    }
    assert len(found) == 23
    assert ingest(path, MAPPING).finished_at == RECEIVED


def test_what_is_no_good_parquet_is_one_sentence(
    ingest: Ingest, database: Database, tmp_path: Path, subtests: pytest.Subtests
) -> None:
    good = io.BytesIO()
    pq.write_table(orders(1_000), good, compression="zstd", write_page_checksum=True)
    content = good.getvalue()
    broken = bytearray(content)
    broken[200] ^= 0xFF
    cases: list[tuple[bytes, str, type[HorizonError], str]] = [
        (content[:-10], MAPPING, HorizonError, "damaged Parquet file"),
        (b"PAR1", MAPPING, HorizonError, "damaged Parquet file"),
        (bytes(broken), MAPPING, HorizonError, "damaged Parquet file"),
        (content, "", UsageError, "no column `type`"),
        (content, MAPPING.replace('"sum"', '"amount"'), MappingError, "amount, which is not in the file"),
        (content, MAPPING.replace('"who"', '"who.id"'), MappingError, "who.id, which is not"),
        (content, MAPPING.replace('"parquet"', '"jsonl"'), UsageError, "is a Parquet file, and shop.toml is for jsonl"),
        (b'{"who": 1}', MAPPING, UsageError, "is no Parquet file, and shop.toml is for parquet"),
        (gzip.compress(content), "", UsageError, "not a text file"),
    ]  # fmt: skip
    path = tmp_path / "orders.parquet"
    for bad, mapping, error, said in cases:
        with subtests.test(said):
            path.write_bytes(bad)
            with pytest.raises(error, match=said) as caught:
                ingest(path, mapping)
            assert "\n" not in str(caught.value)
    assert rows(database, "SELECT FROM events") == []


def test_caps(ingest: Ingest, tmp_path: Path) -> None:
    path = tmp_path / "orders.parquet"
    pq.write_table(orders(1_000), path)
    with pytest.raises(UsageError, match=r"row group of \d+ bytes: write it with smaller"):
        ingest(path, MAPPING, limits=Limits(row_group_bytes=5_000))
    with pytest.raises(UsageError, match="unpacks to more than 5000 bytes"):
        ingest(path, MAPPING, limits=Limits(unpacked_bytes=5_000))


NAMES = st.text(st.characters(codec="utf-8", exclude_characters="\0\r\n"), min_size=1).filter(
    lambda text: text.strip() == text
)
ROWS = st.lists(
    st.fixed_dictionaries({
        "who": NAMES,
        "at": st.datetimes(datetime(1971, 1, 1), datetime(2025, 12, 31)).map(  # noqa: DTZ001
            lambda at: at.replace(tzinfo=UTC)
        ),
        "sum": st.floats(-1e9, 1e9),
    }),
    min_size=1, max_size=20,
)  # fmt: skip


@given(some=ROWS)
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_same_rows_are_the_same_events_in_every_format(
    some: list[dict[str, Any]], tmp_path: Path
) -> None:
    table = io.StringIO()
    writer = csv.DictWriter(table, ["who", "at", "sum"], quoting=csv.QUOTE_ALL)
    writer.writeheader()
    plain = [{**row, "at": row["at"].isoformat(), "sum": repr(row["sum"])} for row in some]
    writer.writerows(plain)
    as_lines = "\n".join(json.dumps({**row, "sum": float(row["sum"])}) for row in plain).encode()
    parquet = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(some), parquet, row_group_size=3)
    texts = {"csv": table.getvalue().encode(), "jsonl": as_lines}
    found = {"parquet": events(tmp_path, parquet.getvalue(), "parquet")}
    for kind, content in texts.items():
        found[kind] = events(tmp_path, content, kind)
        found[f"{kind} gzip"] = events(tmp_path, gzip.compress(content), kind)
        found[f"{kind} zstd"] = events(
            tmp_path, pa.compress(content, codec="zstd", asbytes=True), kind
        )
    for kind, made in found.items():
        assert made == found["csv"], kind
    assert len(found["csv"]) == len(some)


def events(folder: Path, content: bytes, kind: str) -> list[Any]:
    path = folder / "rows"
    path.write_bytes(content)
    mapping = read_mapping(
        MAPPING.replace('"parquet"', f'"{kind}"').replace('"sum" }', '"sum", type = "float" }'), "m"
    )
    with closing(LocalFile(str(path))) as stored:
        reader = reader_of(stored, mapping, DEFAULT_LIMITS)
        interpreter = Interpreter(reader, "d" * 64, Source(1, "shop", "file"), b"k" * 32, RECEIVED)
        made = [interpreter.events(batch.items) for batch in reader.batches(Position())]
    return [
        (one.user_id, one.time, json.loads(one.properties or ""), one.nodes)
        for some in made for one in some.events
    ] + [(one.code,) for some in made for one in some.rejected]  # fmt: skip
