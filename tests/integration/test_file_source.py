"""Files into the database: the CDNOW purchases, a file that comes again, bad lines, bad files."""

from __future__ import annotations

import json
import os
from collections import Counter
from contextlib import closing
from datetime import UTC, datetime
from decimal import Decimal
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from horizon.errors import HorizonError, MappingError, UsageError
from horizon.keys import Keys
from horizon.postgres.database import Connection, Database, Role
from horizon.postgres.era import current_era
from horizon.sources import lines
from horizon.sources.cdnow import master_file
from horizon.sources.file_progress import Counts, FileKey
from horizon.sources.files import FileResult, ingest_file
from horizon.sources.lines import Position
from horizon.sources.mapping import load_mapping
from horizon.sources.stored import LocalFile
from tests.ingesting import RECEIVED, Ingest, rows

MAPPING = """
format = "csv"
user_id_column = "who"
time_column = "when"
time_format = "%Y-%m-%d"
time_zone = "UTC"
event = "Order Completed"
properties = { total = { column = "sum", type = "float" } }
"""


@pytest.fixture
def ingest(ingest: Ingest) -> Ingest:
    """By MAPPING where no other is given."""
    return lambda path, mapping=MAPPING, **values: ingest(path, mapping, **values)


def shop_file(folder: Path, *data: str, header: str = "who,when,sum") -> Path:
    path = folder / "shop.csv"
    path.write_text("\n".join([header, *data]) + "\n")
    return path


def test_cdnow_comes_in_whole_and_once(database: Database, keys: Keys, tmp_path: Path) -> None:
    path = master_file()
    with database.transaction(Role.WORKER) as tx:
        era = current_era(tx)

    def run() -> FileResult:
        with closing(LocalFile(str(path))) as stored:
            return ingest_file(
                database, stored, load_mapping("cdnow"), source_name="cdnow", node_key=keys.node,
                era=era, now=RECEIVED,
            )  # fmt: skip

    first = run()
    assert (first.read, first.inserted, first.rejected) == (69_659, 69_659, 0)
    [found] = rows(
        database,
        "SELECT count(*), count(DISTINCT user_id) AS people, count(DISTINCT nodes) AS nodes,"
        " min(time) AS begin, max(time) AS last, sum((properties::json->>'quantity')::int) AS cds,"
        " sum((properties::json->>'total')::numeric) AS dollars, bool_and(activity) AS activity"
        " FROM events",
    )
    # The file read a second way, by hand.
    cells = [line.split() for line in path.read_text().splitlines()[1:]]
    assert found["count"] == len(cells) == 69_659
    assert found["people"] == found["nodes"] == len({who for who, *_ in cells}) == 23_570
    assert found["cds"] == sum(int(cds) for _, _, cds, _ in cells)
    assert found["dollars"] == sum(Decimal(dollars) for *_, dollars in cells)
    assert found["begin"] == datetime(1997, 1, 1, 5, tzinfo=UTC)  # midnight in New York
    assert found["last"] == datetime(1998, 6, 30, 4, tzinfo=UTC)
    assert found["activity"] is True

    second = run()
    assert (second.read, second.inserted, second.duplicates) == (69_659, 0, 69_659)
    assert rows(database, "SELECT count(*) FROM events") == [{"count": 69_659}]


def test_cdnow_file_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "files", missing)
    with pytest.raises(HorizonError, match="pip install --no-deps lifetimes"):
        master_file()


def test_repeated_lines_are_separate_events_with_their_line_numbers(
    ingest: Ingest, database: Database, tmp_path: Path
) -> None:
    path = shop_file(tmp_path, "anna,2025-01-02,5", "", "anna,2025-01-02,5")
    result = ingest(path)
    assert (result.read, result.inserted) == (2, 2)
    ids = rows(database, "SELECT message_id FROM events ORDER BY 1")
    assert [row["message_id"] for row in ids] == [
        f"{result.digest[:32]}:2", f"{result.digest[:32]}:4",
    ]  # fmt: skip


def test_same_file_under_another_name_adds_nothing_but_another_source_does(
    ingest: Ingest, tmp_path: Path
) -> None:
    path = shop_file(tmp_path, "anna,2025-01-02,5")
    assert ingest(path).inserted == 1
    assert ingest(path.rename(tmp_path / "copy.csv")).inserted == 0
    assert ingest(tmp_path / "copy.csv", source_name="market").inserted == 1


def test_good_lines_are_kept_and_bad_ones_with_number_and_reason(
    ingest: Ingest, database: Database, tmp_path: Path
) -> None:
    path = shop_file(
        tmp_path, "anna,2025-01-02,5", "ben,yesterday,5", "clara,2025-01-02", ",2025-01-02,5",
        "dina,2025-01-02,much", "emil,2025-01-02,7",
    )  # fmt: skip
    with path.open("ab") as file:
        file.write(b"f\xefnn,2025-01-02,5\n" + b"x" * 1_100_000 + b"\n" + b"gr\0eta,2025-01-02,1\n")
    result = ingest(path)
    assert (result.read, result.inserted, result.rejected) == (9, 2, 7)
    kept = rows(database, "SELECT * FROM rejected_events ORDER BY position")
    assert [(row["position"], row["code"]) for row in kept] == [
        (3, "time"), (4, "columns"), (5, "no_user_anon_id"), (6, "property"), (8, "encoding"),
        (9, "too_long"), (10, "invalid_id"),
    ]  # fmt: skip
    assert kept[0]["message"] == (
        f"file {result.digest[:12]} ({path.name}), line 3: when is not a time like %Y-%m-%d"
    )
    assert kept[0]["body"] == "ben,yesterday,5"
    assert max(len(row["body"]) for row in kept) <= 32_768
    assert [row["position"] for row in kept if row["cut"]] == [9]

    again = ingest(path)
    assert (again.inserted, again.duplicates, again.rejected) == (0, 2, 7)
    assert len(rows(database, "SELECT FROM rejected_events")) == 7
    path.write_text(path.read_text(errors="replace") + "hana,2025-01-03,1\n")  # another file now
    ingest(path)
    assert len(rows(database, "SELECT FROM rejected_events")) > 7


def test_batches_are_committed_one_by_one_and_progress_is_told(
    ingest: Ingest, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lines, "BATCH_LINES", 10)
    path = shop_file(tmp_path, *(f"user {n},2025-01-02,{n}" for n in range(25)))
    seen: list[tuple[str, int, int]] = []
    size = path.stat().st_size

    def stop_at_the_second(*step: Any) -> None:
        seen.append(step)
        if len(seen) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ingest(path, on_progress=stop_at_the_second)
    assert rows(database, "SELECT count(*) FROM events") == [{"count": 20}]
    assert seen == [("checking", size, size), *[("reading", size, size)] * 2]
    result = ingest(path)
    assert (result.inserted, result.duplicates, result.went_on_after) == (5, 0, 21)


@pytest.mark.parametrize("finished", [False, True])
def test_a_batch_of_a_file_counts_from_where_it_stands_alone(
    worker: Connection, finished: bool
) -> None:
    """Where the lock failed, a second process would add the same lines' counts again."""
    key = FileKey(1, "digest", "mapping")
    key.begin(worker, RECEIVED, again=False)
    start, end = Position(0, 0), Position(100, 5)
    key.move(worker, start, end, Counts(inserted=5))
    if finished:
        key.finish(worker, RECEIVED)
    with pytest.raises(HorizonError, match="Another process"):
        key.move(worker, end if finished else start, end, Counts(inserted=5))
    assert key.begin(worker, RECEIVED, again=False).counts == Counts(inserted=5)


def test_another_mapping_reads_it_again_and_keeps_no_rejected_line_twice(
    ingest: Ingest, database: Database, tmp_path: Path
) -> None:
    path = shop_file(tmp_path, "anna,2025-01-02,5", "ben,yesterday,5", "clara,2025-01-02,much")
    assert ingest(path).rejected == 2
    result = ingest(path, MAPPING.replace('"float"', '"str"'))
    assert (result.inserted, result.duplicates, result.rejected) == (1, 1, 1)
    kept = rows(database, "SELECT position FROM rejected_events ORDER BY 1")
    assert [row["position"] for row in kept] == [3, 4]
    assert ingest(path, MAPPING.replace('"float"', '"str"')).finished_at == RECEIVED


def test_cells_may_hold_line_breaks_where_the_mapping_says_so(
    ingest: Ingest, database: Database, tmp_path: Path
) -> None:
    path = tmp_path / "shop.csv"
    path.write_text('who,when,note\nanna,2025-01-02,"one\n\n""two"""\nben,2025-01-03,x\n')
    mapping = MAPPING.replace('{ column = "sum", type = "float" }', '{ column = "note" }')
    assert ingest(path, mapping).rejected == 2  # its two halves
    result = ingest(path, mapping + "line_breaks = true", source_name="market")
    assert (result.inserted, result.rejected) == (2, 0)
    found = rows(
        database,
        "SELECT message_id, properties FROM events JOIN sources USING (source_id)"
        " WHERE sources.name = 'market' ORDER BY user_id",
    )
    assert [row["message_id"].partition(":")[2] for row in found] == ["2", "5"]
    assert json.loads(found[0]["properties"]) == {"total": 'one\n\n"two"'}


def test_header_crlf_bom_and_last_line_without_end(
    ingest: Ingest, database: Database, tmp_path: Path
) -> None:
    path = tmp_path / "windows.csv"
    path.write_bytes(b"\xef\xbb\xbfwho,when,sum\r\nzo\xc3\xab,2025-01-02,1\r\nben,2025-01-03,2")
    assert ingest(path).inserted == 2
    names = Counter(row["user_id"] for row in rows(database, "SELECT user_id FROM events"))
    assert names == {"zoë": 1, "ben": 1}


def test_file_without_header(ingest: Ingest, tmp_path: Path) -> None:
    path = shop_file(tmp_path, "anna,2025-01-02,5", header="ben,2025-01-02,6")
    columns = 'header = false\ncolumns = ["who", "when", "sum"]\n'
    assert ingest(path, columns + MAPPING).inserted == 2


def test_columns_replace_the_headers_names(ingest: Ingest, tmp_path: Path) -> None:
    path = shop_file(tmp_path, "anna,2025-01-02,5", header="a,a,a")
    assert ingest(path, 'columns = ["who", "when", "sum"]\n' + MAPPING).inserted == 1


UNREADABLE: list[tuple[bytes | None, type[HorizonError], str]] = [
    (None, UsageError, "No such file"),
    (b"", UsageError, "is empty"),
    (b"\x1f\x8b\x08\0\0\0", HorizonError, "ends in the middle of its gzip data"),
    (b"PK\x03\x04\0\0\0", UsageError, "is a zip archive: unpack it"),
    (b"PAR1", UsageError, "is a Parquet file, and shop.toml is for csv"),
    ("who,when,sum\n".encode("utf-16"), UsageError, "UTF-16"),
    (b"wh\xf6,when,sum\n", UsageError, "byte 3 is not utf-8.*set the mapping's encoding"),
    (b'"who,when,sum\n', UsageError, "first line"),
    (b"x" * 1_100_000, UsageError, "longer than"),
    (b"who;when;sum\n", MappingError, "user_id_column names the column who.*who;when;sum"),
    (b"who,when\nanna,2025-01-02\n", MappingError, "properties.total names the column sum"),
    (b"\xef\xbb\xbf", MappingError, "its columns are none"),
]


def test_file_that_cannot_be_read_writes_nothing(
    ingest: Ingest, database: Database, tmp_path: Path, subtests: pytest.Subtests
) -> None:
    path = tmp_path / "shop.csv"
    for content, error, said in UNREADABLE:
        with subtests.test(said):
            if content is not None:
                path.write_bytes(content)
            with pytest.raises(error, match=said) as caught:
                ingest(path)
            assert "\n" not in str(caught.value)
    assert rows(database, "SELECT FROM sources WHERE name = 'shop'") == []


def test_folder_and_pipe_are_no_files(ingest: Ingest, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is a folder"):
        ingest(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UsageError, match="not a file on disk"):
        ingest(tmp_path / "pipe")


def test_file_that_grows_while_it_is_read(ingest: Ingest, tmp_path: Path) -> None:
    path = shop_file(tmp_path, "anna,2025-01-02,5")

    def grow(*step: Any) -> None:
        with path.open("a") as file:
            file.write("ben,2025-01-02,5\n")

    with pytest.raises(HorizonError, match="changed while it was read"):
        ingest(path, on_progress=grow)


def test_name_of_another_kind_of_source_is_refused(ingest: Ingest, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="choose another name"):
        ingest(shop_file(tmp_path, "anna,2025-01-02,5"), source_name="horizon")
