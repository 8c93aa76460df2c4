"""Files at s3://, on a real server: read, resumed, replaced, refused, and away in the middle."""

from __future__ import annotations

import gzip
import io
import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from horizon.errors import HorizonError, UsageError
from horizon.pipeline.installation import Installation
from horizon.pipeline.intake import ingest_file
from horizon.postgres.database import Role
from horizon.sources import lines, s3
from horizon.sources.files import FileResult
from horizon.sources.opening import expand
from tests.ingesting import Ingest
from tests.servers.s3 import SECRET, S3Server, s3_server

pytestmark = pytest.mark.slow  # Java takes seconds to start


@pytest.fixture(scope="module")
def started(
    tmp_path_factory: pytest.TempPathFactory, free_port: Callable[[], int]
) -> Iterator[S3Server]:
    with s3_server(tmp_path_factory.mktemp("s3"), free_port()) as server:
        yield server


@pytest.fixture
def served(started: S3Server) -> S3Server:
    if started.process is None:
        started.start()
    return started


@pytest.fixture
def ours(horizon: Installation, served: S3Server) -> Installation:
    return replace(horizon, settings=horizon.settings.changed(**served.environment))


@pytest.fixture
def ingest(ours: Installation) -> Ingest:
    def run(name: str, mapping: str | None = None, **values: Any) -> FileResult:
        return ingest_file(ours, name, mapping, **values)

    return run


def many(count: int, first: int = 0) -> bytes:
    return b"".join(
        json.dumps({
            "type": "track", "event": "Opened", "userId": f"user {number}", "messageId": f"m{number}",
            "timestamp": "2025-06-01T10:00:00Z", "properties": {"note": "x" * 300},
        }).encode() + b"\n"
        for number in range(first, first + count)
    )  # fmt: skip


def ids(ours: Installation) -> set[str]:
    with ours.database.transaction(Role.WORKER) as tx:
        found = [row.message_id for row in tx.execute("SELECT message_id FROM events")]
    assert len(found) == len(set(found))
    return set(found)


def test_objects_in_every_packing(served: S3Server, ours: Installation, ingest: Ingest) -> None:
    plain = served.put("bucket/events.jsonl", many(50))
    packed = served.put("bucket/events.gz", gzip.compress(many(50, 50)))
    smaller = served.put(
        "bucket/events.zst", pa.compress(many(50, 100), codec="zstd", asbytes=True)
    )
    assert [ingest(name).inserted for name in (plain, packed, smaller)] == [50, 50, 50]
    assert ids(ours) == {f"m{number}" for number in range(150)}
    assert ingest(plain).finished_at is not None


def test_parquet_object(
    served: S3Server, ours: Installation, ingest: Ingest, tmp_path: Path
) -> None:
    at = datetime(2025, 6, 1, tzinfo=UTC)
    table = pa.table({
        "who": [f"user {number}" for number in range(2_000)],
        "at": [at + timedelta(seconds=number) for number in range(2_000)],
    })  # fmt: skip
    content = io.BytesIO()
    pq.write_table(table, content, row_group_size=300)
    mapping = tmp_path / "m.toml"
    mapping.write_text(
        'format = "parquet"\nuser_id_column = "who"\ntime_column = "at"\nevent = "Opened"\n'
    )
    name = served.put("bucket/events.parquet", content.getvalue())
    assert ingest(name, str(mapping)).inserted == 2_000


def test_prefix_and_pattern_mean_their_objects_in_order(
    served: S3Server, ours: Installation
) -> None:
    for name in ("b.gz", "a.gz", "c.csv", "deep/d.gz", "_temporary/e.gz", ".f.gz"):
        served.put(f"many/2026/{name}", b"x")
    served.put("many/2026/_SUCCESS", b"")
    served.put("many/2026/empty.gz", b"")
    at = "s3://many/2026"
    assert expand(["here.csv", f"{at}/"], ours.settings) == [
        "here.csv", f"{at}/a.gz", f"{at}/b.gz", f"{at}/c.csv", f"{at}/deep/d.gz",
    ]  # fmt: skip
    assert expand([f"{at}/*.csv"], ours.settings) == [f"{at}/c.csv"]
    assert expand(["s3://many/*/[ab].gz"], ours.settings) == [f"{at}/a.gz", f"{at}/b.gz"]
    with pytest.raises(UsageError, match="holds no objects"):
        expand([f"{at}/*.json"], ours.settings)


def test_object_that_is_replaced_while_it_is_read(
    served: S3Server, ours: Installation, ingest: Ingest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lines, "BATCH_LINES", 10)
    name = served.put("bucket/changing", many(30))

    def swap(*step: Any) -> None:
        served.put("bucket/changing", many(40, 1000))

    with pytest.raises(HorizonError, match="changed while it was read"):
        ingest(name, on_progress=swap)
    assert ids(ours) == {f"m{number}" for number in range(10)}


def test_server_that_is_away_for_a_while_is_waited_for(
    served: S3Server, ours: Installation, ingest: Ingest, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = many(20_000)
    name = served.put("bucket/large", content)
    monkeypatch.setattr(s3, "_READ_BYTES", 2**16)
    monkeypatch.setattr(lines, "BATCH_LINES", 500)
    back: list[threading.Thread] = []

    def away(*step: Any) -> None:
        if not back:
            served.kill()
            back.append(threading.Thread(target=lambda: (time.sleep(2), served.start())))
            back[0].start()

    result = ingest(name, on_progress=away)
    back[0].join()
    assert (result.read, result.inserted) == (20_000, 20_000)


def test_server_that_stays_away_is_one_sentence_and_the_rest_comes_later(
    served: S3Server, ours: Installation, ingest: Ingest, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = served.put("bucket/packed", gzip.compress(many(20_000)))
    monkeypatch.setattr(s3, "WAITS_S", (0.1,))
    monkeypatch.setattr(s3, "_READ_BYTES", 2**14)
    monkeypatch.setattr(lines, "BATCH_LINES", 500)
    with pytest.raises(HorizonError, match=r"does not answer.*goes on from there") as caught:
        ingest(name, on_progress=lambda *step: served.kill())
    assert "\n" not in str(caught.value)
    before = ids(ours)
    assert 500 <= len(before) < 20_000
    served.start()
    result = ingest(name)
    assert (result.went_on_after, result.duplicates) == (len(before), 0)
    assert ids(ours) == {f"m{number}" for number in range(20_000)}


REFUSED: list[tuple[str, dict[str, str], str]] = [
    ("s3://bucket/nowhere", {}, "s3://bucket/nowhere is not there"),
    ("s3://nobucket/events", {}, "has no bucket nobucket"),
    ("s3://nobucket/", {}, "has no bucket nobucket"),
    ("s3://bucket/there", {"S3_SECRET_ACCESS_KEY": "wrong"}, "does not let us read.*S3_ACCESS_KEY_ID"),
    ("s3://bucket/", {"S3_ACCESS_KEY_ID": "wrong"}, "does not let us read"),
    ("s3://key:secret@bucket/there", {}, "looks like s3://BUCKET/KEY"),
    ("s3://", {}, "looks like s3://BUCKET/KEY"),
    ("s3://bucket/empty", {}, "is empty"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "changed", "said"), REFUSED)
def test_what_is_refused_is_one_sentence_without_secrets(
    name: str, changed: dict[str, str], said: str, served: S3Server, ours: Installation
) -> None:
    served.put("bucket/there", many(1))
    served.put("bucket/empty", b"")
    settings = ours.settings.changed(**changed)
    with pytest.raises(HorizonError, match=said) as caught:
        for one in expand([name], settings):
            ingest_file(replace(ours, settings=settings), one, None)
    sentence = str(caught.value)
    assert "\n" not in sentence
    assert SECRET not in sentence and "secret@" not in sentence


def test_credentials_of_aws_are_found(
    served: S3Server, ours: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test-key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    name = served.put("bucket/by-aws", many(5, 5_000))
    settings = ours.settings.changed(S3_ACCESS_KEY_ID=None, S3_SECRET_ACCESS_KEY=None)
    assert ingest_file(replace(ours, settings=settings), name, None).inserted == 5
