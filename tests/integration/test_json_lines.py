"""JSON lines into the database: messages as they are, archives, packed, damaged, resumed."""

from __future__ import annotations

import gzip
import itertools
import json
import random
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow
import pytest

from horizon.errors import HorizonError, UsageError
from horizon.postgres.database import Database, Role
from horizon.sources import file_progress, lines
from horizon.sources.file_progress import FileKey
from horizon.sources.stored import Limits
from tests.ingesting import RECEIVED, Ingest, rows

PACK: dict[str, Callable[[bytes], bytes]] = {
    "plain": bytes,
    "gzip": gzip.compress,
    "zstd": lambda content: pyarrow.compress(content, codec="zstd", asbytes=True),
    "several gzip members": lambda content: gzip.compress(content[:50]) + gzip.compress(content[50:]),
}  # fmt: skip


def track(number: int, **more: Any) -> dict[str, Any]:
    return {
        "type": "track", "event": "Order Completed", "userId": f"user {number}",
        "messageId": f"m{number}", "timestamp": "2025-06-01T10:00:00Z",
        "properties": {"total": number + 0.5}, **more,
    }  # fmt: skip


def text(*items: object) -> bytes:
    return b"".join(
        item if isinstance(item, bytes) else json.dumps(item).encode() + b"\n" for item in items
    )


def many(count: int) -> bytes:
    return text(*(track(number) for number in range(count)))


@pytest.mark.parametrize("packing", PACK)
def test_messages_need_no_mapping_and_keep_their_ids(
    packing: str, ingest: Ingest, database: Database, tmp_path: Path
) -> None:
    path = tmp_path / "export.txt"  # its name says nothing
    path.write_bytes(PACK[packing](b"\xef\xbb\xbf" + many(3) + b"\n"))
    assert (result := ingest(path)).inserted == 3
    assert (result.read, result.rejected) == (3, 0)
    found = rows(
        database, "SELECT message_id, user_id, name, time, properties FROM events ORDER BY 1"
    )
    assert found[1] == {
        "message_id": "m1", "user_id": "user 1", "name": "Order Completed",
        "time": datetime(2025, 6, 1, 10, tzinfo=UTC), "properties": '{"total": 1.5}',
    }  # fmt: skip


def test_packed_otherwise_it_is_the_same_file(ingest: Ingest, tmp_path: Path) -> None:
    content = text(track(1, messageId=None), track(1, messageId=None))
    for number, pack in enumerate(PACK.values()):
        path = tmp_path / f"{number}"
        path.write_bytes(pack(content))
        result = ingest(path)
        assert (result.inserted, result.duplicates) == ((2, 0) if number == 0 else (0, 2))
        assert (result.finished_at is None) == (number == 0)


def test_every_kind_of_message_comes_in(ingest: Ingest, database: Database, tmp_path: Path) -> None:
    path = tmp_path / "all.jsonl"
    path.write_bytes(text(
        {"type": "identify", "anonymousId": "a", "traits": {"email": "ann@example.com"},
         "context": {"consent": {"categoryPreferences": {"marketing.email": True}}}},
        {"type": "page", "anonymousId": "a", "name": "Basket", "category": "Shop"},
        {"type": "screen", "userId": 7, "name": "Basket"},
        {"type": "group", "userId": "u", "groupId": "g", "traits": {"plan": "pro"}},
        {"type": "alias", "userId": "u", "previousId": "a"},
    ))  # fmt: skip
    assert (result := ingest(path)).inserted == 5
    found = rows(
        database,
        "SELECT type, user_id, anonymous_id, email, consent, group_id, previous_id, properties,"
        " trusted, message_id FROM events ORDER BY message_id",
    )
    assert [row["type"] for row in found] == ["identify", "page", "screen", "group", "alias"]
    assert found[0]["email"] == "ann@example.com"
    assert found[0]["consent"] == '{"marketing.email":true}'
    assert found[2]["user_id"] == "7"
    assert [row["message_id"] for row in found] == [
        f"{result.digest[:32]}:{n}" for n in range(1, 6)
    ]


ARCHIVED = [
    # The archive has taken the clock's error out: what is in timestamp counts.
    ({"timestamp": "2025-06-01T10:00:00Z", "originalTimestamp": "2025-06-01T12:00:00Z",
      "sentAt": "2025-06-01T12:00:05Z", "receivedAt": "2025-06-01T10:00:05Z"}, 10, 0),
    ({"originalTimestamp": "2025-06-01T12:00:00Z", "sentAt": "2025-06-01T12:00:05Z",
      "receivedAt": "2025-06-01T10:00:05Z"}, 10, 0),
    ({"originalTimestamp": "2025-06-01T12:00:00Z"}, 12, 0),
    ({"timestamp": "", "receivedAt": "2025-06-01T10:00:05Z"}, 10, 5),
    # Sent long ago: it was not now that it happened.
    ({"timestamp": "2025-06-01T12:00:00Z", "sentAt": "2025-06-01T12:00:05Z"}, 12, 0),
]  # fmt: skip


@pytest.mark.parametrize(("times", "hour", "second"), ARCHIVED)
def test_times_of_an_archive(
    times: dict[str, str], hour: int, second: int, ingest: Ingest, database: Database, tmp_path: Path
) -> None:  # fmt: skip
    path = tmp_path / "archive.jsonl"
    plain = track(1)
    del plain["timestamp"]
    path.write_bytes(text({**plain, **times}))
    assert ingest(path).inserted == 1
    [row] = rows(database, "SELECT time, received_at, time_flag FROM events")
    assert row["time"] == datetime(2025, 6, 1, hour, 0, second, tzinfo=UTC)
    assert (row["received_at"], row["time_flag"]) == (RECEIVED, None)


def test_same_event_of_two_archives_counts_once_in_its_source(
    ingest: Ingest, tmp_path: Path
) -> None:
    (tmp_path / "a").write_bytes(text(track(1)))
    (tmp_path / "b").write_bytes(text(track(1, receivedAt="2025-06-01T10:00:01Z"), track(2)))
    assert ingest(tmp_path / "a").inserted == 1
    result = ingest(tmp_path / "b")
    assert (result.inserted, result.duplicates) == (1, 1)
    assert ingest(tmp_path / "b", source_name="another").inserted == 2


def test_bad_lines_are_told_and_the_good_ones_kept(
    ingest: Ingest, database: Database, tmp_path: Path
) -> None:
    path = tmp_path / "mixed.jsonl"
    path.write_bytes(text(
        track(1), b'{"type": "track"\n', b"null\n", b'[1, 2]\n', b"\xff{}\n",
        {**track(2), "userId": None}, {**track(3), "type": "buy"}, b"  \n",
        b'{"a":' * 5_000 + b"1" + b"}" * 5_000 + b"\n", track(4, properties={"x": "y" * 40_000}),
        b'{"type": "' + b"x" * 10_000_000 + b'"}\n', {**track(5), "messageId": 5},
        track(6),
    ))  # fmt: skip
    result = ingest(path)
    assert (result.inserted, result.rejected) == (2, 10)
    kept = rows(database, "SELECT position, code, message, body FROM rejected_events ORDER BY 1")
    assert [(row["position"], row["code"]) for row in kept] == [
        (2, "invalid_json"), (3, "invalid_json"), (4, "invalid_json"), (5, "invalid_json"),
        (6, "no_user_anon_id"), (7, "invalid_type"), (9, "nested_too_deep"),
        (10, "event_too_large"), (11, "too_long"), (12, "invalid_event"),
    ]  # fmt: skip
    assert max(len(row["body"]) for row in kept) <= 32_768
    assert kept[0]["message"].startswith(f"file {result.digest[:12]} (mixed.jsonl), line 2: ")


def test_fields_by_a_mapping(ingest: Ingest, database: Database, tmp_path: Path) -> None:
    path = tmp_path / "orders.jsonl"
    order = {"customer": {"id": 7}, "at": 1750000000123, "sum": "11.50", "cart": [{"sku": "a"}],
             "note": None}  # fmt: skip
    path.write_bytes(text(order, {"customer": {"id": 8}, "at": "soon"}, {"at": 1}))
    mapping = """
    format = "jsonl"
    user_id_column = "customer.id"
    time_column = "at"
    time_format = "unix_ms"
    event = "Order Completed"
    properties = { total = { column = "sum", type = "float" }, cart = { column = "cart" }, note = { column = "note" } }
    """
    result = ingest(path, mapping)
    assert (result.inserted, result.rejected) == (1, 2)
    [row] = rows(database, "SELECT user_id, properties, time FROM events")
    assert (row["user_id"], json.loads(row["properties"])) == (
        "7", {"total": 11.5, "cart": [{"sku": "a"}]},
    )  # fmt: skip
    assert row["time"] == datetime(2025, 6, 15, 15, 6, 40, 123_000, tzinfo=UTC)
    kept = rows(database, "SELECT position, code FROM rejected_events ORDER BY 1")
    assert [tuple(row.values()) for row in kept] == [(2, "time"), (3, "no_user_anon_id")]


UNREADABLE = [
    (b'[{"type": "track"}]\n', "one JSON array.*jq"),
    (b"who,when\nanna,2025\n", "holds no JSON lines.*--mapping"),
    (b"BZh91AY", "packed with bzip2"),
    (bytes(range(256)), "is not a text file"),
    (gzip.compress(b"\0" * 99), "is not a text file"),
    (gzip.compress(b""), "is empty"),
    (gzip.compress(many(2000))[:-9], "ends in the middle of its gzip data"),
    (gzip.compress(many(2000))[:-3] + b"abc", "its gzip data is damaged"),
    (gzip.compress(many(2000)) + b"tail", "its gzip data is damaged"),
    (PACK["zstd"](many(2000))[:-9], "ends in the middle of its zstd data"),
    (b"\x28\xb5\x2f\xfd" + b"\xff" * 100, "its zstd data is damaged"),
]


def test_what_cannot_be_read_is_one_sentence_and_writes_nothing(
    ingest: Ingest, database: Database, tmp_path: Path, subtests: pytest.Subtests
) -> None:
    path = tmp_path / "export.jsonl"
    for content, said in UNREADABLE:
        with subtests.test(said):
            path.write_bytes(content)
            with pytest.raises(HorizonError, match=said) as caught:
                ingest(path)
            assert "\n" not in str(caught.value)
    assert rows(database, "SELECT FROM sources WHERE name = 'shop'") == []


@pytest.mark.parametrize("packing", ["gzip", "zstd"])
def test_bomb_is_stopped_before_anything_is_written(
    packing: str, ingest: Ingest, database: Database, tmp_path: Path
) -> None:
    path = tmp_path / "bomb"
    path.write_bytes(PACK[packing](many(1) + b" " * 100_000_000))
    with pytest.raises(UsageError, match=r"500 times its size.*FILE_UNPACKED_RATIO"):
        ingest(path)
    with pytest.raises(UsageError, match="more than 1000000 bytes: set FILE_UNPACKED_BYTES"):
        ingest(path, limits=Limits(unpacked_bytes=1_000_000))
    assert rows(database, "SELECT FROM sources WHERE name = 'shop'") == []
    assert ingest(path, limits=Limits(unpacked_ratio=10**6)).inserted == 1


def test_wrong_mapping_stops_at_the_first_thousand(
    ingest: Ingest, database: Database, tmp_path: Path
) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(text(*({"name": "x"} for _ in range(1_000))))
    with pytest.raises(UsageError, match=r"none of its first 1,000 lines is an event.*--dry-run"):
        ingest(path)
    assert rows(database, "SELECT FROM rejected_events") == []
    path.write_bytes(text(track(1), *({"name": "x"} for _ in range(1_000))))
    assert ingest(path).rejected == 1_000


@pytest.mark.parametrize("packing", PACK)
def test_it_goes_on_where_it_was_ended(
    packing: str, ingest: Ingest, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    monkeypatch.setattr(lines, "BATCH_LINES", 7)
    path = tmp_path / "export"
    long = b'{"type": "' + b"x" * 3_000 + b'"}\n'
    path.write_bytes(PACK[packing](many(20) + long + text(track(20, messageId=""), track(21))))
    chance = random.Random(5)
    results = []
    for _ in range(30):
        ends = chance.choice([0, 1, 2])
        calls = iter(range(100))
        result = ingest(
            path, limits=Limits(line_bytes=1_000), stopping=lambda: next(calls) > ends  # noqa: B023
        )  # fmt: skip
        results.append(result)
        if not result.stopped:
            break
    assert sum(result.inserted for result in results) == 22
    assert sum(result.rejected for result in results) == 1
    assert sum(result.duplicates for result in results) == 0
    [whole] = rows(database, "SELECT number, inserted, rejected, finished_at FROM file_progress")
    assert (whole["number"], whole["inserted"], whole["rejected"]) == (23, 22, 1)
    assert whole["finished_at"] is not None
    assert {row["message_id"] for row in rows(database, "SELECT message_id FROM events")} == {
        *(f"m{number}" for number in (*range(20), 21)), f"{results[0].digest[:32]}:22",
    }  # fmt: skip


def test_whole_file_says_so_and_again_reads_it_once_more(ingest: Ingest, tmp_path: Path) -> None:
    path = tmp_path / "export"
    path.write_bytes(text(track(1), {"type": "buy"}))
    ingest(path)
    known = ingest(path, now=RECEIVED + timedelta(days=1))
    assert (known.finished_at, known.read, known.inserted) == (RECEIVED, 2, 0)
    once_more = ingest(path, again=True, now=RECEIVED + timedelta(days=1))
    assert (once_more.finished_at, once_more.duplicates, once_more.rejected) == (None, 1, 1)


def test_one_process_at_a_time_reads_a_file(
    ingest: Ingest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_progress, "_LOCK_WAIT", "100ms")
    path = tmp_path / "export"
    path.write_bytes(many(3))
    seen = []

    def beside(step: str, done: int, total: int) -> None:
        if step == lines.READING:
            with pytest.raises(
                HorizonError, match=r"Another process ingests .*export: let it finish"
            ):
                ingest(path)
            seen.append(ingest(path, source_name="another").inserted)

    assert ingest(path, on_progress=beside).inserted == 3
    assert seen == [3]
    assert ingest(path).finished_at is not None  # the lock is gone


def test_file_that_changes_between_two_batches(
    ingest: Ingest, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lines, "BATCH_LINES", 10)
    path = tmp_path / "export"
    path.write_bytes(many(30))

    def rewrite(step: str, done: int, total: int) -> None:
        if step == lines.READING:
            path.write_bytes(many(31))

    with pytest.raises(HorizonError, match="changed while it was read"):
        ingest(path, on_progress=rewrite)
    assert rows(database, "SELECT count(*) FROM events") == [{"count": 10}]


def test_rows_and_position_are_written_together_or_not_at_all(
    ingest: Ingest, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ids would hide a batch that comes twice; its rejected lines have none."""
    path = tmp_path / "f.jsonl"
    good = json.dumps({"type": "track", "userId": "u1", "event": "Seen"})
    path.write_text(f"{good}\nno message\n" * 30)
    monkeypatch.setattr("horizon.sources.lines.BATCH_LINES", 20)
    moves = itertools.count(1)
    plain = FileKey.move

    def move(self: FileKey, *values: Any) -> None:
        if next(moves) == 2:
            raise KeyboardInterrupt
        plain(self, *values)

    monkeypatch.setattr(FileKey, "move", move)
    with pytest.raises(KeyboardInterrupt):
        ingest(path)
    written = "SELECT (SELECT count(*) FROM events) AS events, (SELECT count(*) FROM rejected_events) AS rejected"
    assert rows(database, written) == [{"events": 10, "rejected": 10}]
    assert ingest(path).went_on_after == 20
    assert rows(database, written) == [{"events": 30, "rejected": 30}]


def test_two_processes_do_not_read_one_file_at_once(
    ingest: Ingest, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "f.jsonl"
    path.write_text(json.dumps({"type": "track", "userId": "u1", "event": "Seen"}) + "\n")
    ingest(path)
    (row,) = rows(database, "SELECT source_id, digest, mapping FROM file_progress")
    monkeypatch.setattr(file_progress, "_LOCK_WAIT", "200ms")
    with (
        closing(database.connect(Role.WORKER)) as other,
        FileKey(**row).held(other, "f.jsonl"),
        pytest.raises(HorizonError, match=r"Another process ingests .*: let it finish"),
    ):
        ingest(path, again=True)
    assert ingest(path, again=True).duplicates == 1
