"""[files.jsonl] and [files.csv]: a file's lines beside COPY of the same rows by one client."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from bench.harness import Figure, scratch_installation, seconds
from horizon.pipeline.installation import Installation
from horizon.pipeline.intake import ingest_file
from horizon.postgres.database import Role

NOTE = "abcdefghij" * 15
MAPPING = """
format = "csv"
user_id_column = "userId"
time_column = "timestamp"
event = "Order Completed"
properties = { note = { column = "note" } }
"""
COLUMNS = """
event_id, source_id, message_id, type, name, user_id, anonymous_id, email, previous_id, group_id,
nodes, original_timestamp, time, received_at, time_flag, trusted, activity, properties, traits,
context, consent, era
"""


def figures(quick: bool) -> Iterator[Figure]:
    count = 100_000 if quick else 500_000
    with TemporaryDirectory(prefix="horizon-bench-") as name:
        folder = Path(name)
        (folder / "m.toml").write_text(MAPPING)
        _write(folder, count)
        for kind, mapping in (("jsonl", None), ("csv", str(folder / "m.toml"))):
            with scratch_installation() as horizon:
                took = seconds(lambda: _ingest(horizon, folder / kind, mapping, count))  # noqa: B023
                _dump(horizon, folder / "rows")
                bare = seconds(lambda: _copy(horizon, folder / "rows"))
            yield Figure(f"files.{kind}", round(count / took), "1/s", round(count / bare), count)


def _write(folder: Path, count: int) -> None:
    """Events of 500 bytes, each with its own message id, of 50,000 people."""
    begin = datetime(2026, 1, 1, tzinfo=UTC)
    with (folder / "jsonl").open("w") as lines, (folder / "csv").open("w", newline="") as table:
        rows = csv.writer(table)
        rows.writerow(["userId", "timestamp", "note"])
        for number in range(count):
            message = _message(number, begin + timedelta(seconds=number))
            lines.write(json.dumps(message, separators=(",", ":")) + "\n")
            rows.writerow([message["userId"], message["timestamp"], NOTE + NOTE + NOTE[:130]])


def _message(number: int, at: datetime) -> dict[str, Any]:
    return {
        "messageId": f"01234567-89ab-cdef-{number:016}", "type": "track",
        "event": "Order Completed", "userId": f"user-{number % 50_000:06}",
        "timestamp": at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "context": {"library": {"name": "analytics-python", "version": "2.4.0"}},
        "properties": {
            "total": 41.79, "currency": "EUR", "order_id": f"o-{number:08}", "note": NOTE,
            "sku": "0123456789012345",
        },
    }  # fmt: skip


def _ingest(horizon: Installation, path: Path, mapping: str | None, count: int) -> None:
    assert ingest_file(horizon, str(path), mapping).inserted == count


def _dump(horizon: Installation, file: Path) -> None:
    query = f"COPY (SELECT {COLUMNS} FROM events) TO STDOUT (FORMAT binary)".encode()
    with horizon.database.connect(Role.OWNER) as tx, file.open("wb") as out:
        tx.execute("CREATE TABLE bare (LIKE events INCLUDING ALL)")
        with tx.cursor().copy(query) as found:
            out.writelines(found)


def _copy(horizon: Installation, file: Path) -> None:
    """The same rows into an empty copy of their table."""
    query = f"COPY bare ({COLUMNS}) FROM STDIN (FORMAT binary)".encode()
    with horizon.database.connect(Role.OWNER) as tx, file.open("rb") as rows:
        with tx.cursor().copy(query) as copy:
            while part := rows.read(2**20):
                copy.write(part)
        tx.commit()
