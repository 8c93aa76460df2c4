"""What the shipper may not be sure of: a lost answer, a file that is another one, half a request."""

from __future__ import annotations

import shutil
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from horizon.observe.shipper import bulk, position, reader, rules, run
from horizon.observe.shipper.position import Position
from horizon.observe.shipper.reader import Reader
from tests.integration.test_ship_faults import (
    TOO_MANY,
    counts,
    following,
    line,
    log,
    settings_for,
    ship,
    until,
)
from tests.servers.bulk_endpoint import BulkEndpoint

__all__ = ["log"]


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules, "WAIT_FIRST_S", 0.01)
    monkeypatch.setattr(rules, "WAIT_LONGEST_S", 0.05)


def write(path: Path, numbers: range) -> None:
    path.write_text("".join(line(n) for n in numbers))


@pytest.mark.parametrize("lost", [1, 2])
def test_after_a_lost_answer_a_data_stream_that_rolled_over_is_asked_first(
    log: Path, lost: int
) -> None:
    """It took the lines, and its new part would take them once more."""

    def say(path: str, status: int, answer: Any) -> tuple[int, Any]:
        bulk_now = "_bulk" in path
        return (0, None) if bulk_now and endpoint.requests <= lost else (status, answer)

    with BulkEndpoint(say=say) as endpoint:
        endpoint.rolls_over = True
        write(log, range(5))
        settings = settings_for(log, endpoint.url, ES_DATA_STREAM="on")
        shipper = run.Shipper(settings, once=True, stop=threading.Event())
        # One that has been well for a while has no doubt left from its start.
        shipper._doubtful = 0
        assert shipper.run().there == 5
        assert (endpoint.doubled, len(endpoint.documents)) == (0, 5)


def test_the_doubt_of_a_start_lasts_until_nothing_more_is_there(
    log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Batch after batch that another sent before it died."""
    monkeypatch.setattr(reader, "CHUNK_BYTES", 200)
    with BulkEndpoint() as endpoint:
        endpoint.rolls_over = True
        write(log, range(60))
        settings = settings_for(log, endpoint.url, ES_DATA_STREAM="on")
        assert ship(settings).indexed == 60
        batches, endpoint.searches = endpoint.requests, 0
        assert batches > 3 * run.UNDER_WAY
        (settings.home / "shipper" / "position.json").unlink()
        with log.open("a") as file:
            file.write("".join(line(n) for n in range(60, 100)))
        done = ship(settings)
        assert (done.there, done.indexed, endpoint.doubled) == (60, 40, 0)
        # A refresh and a search each; those that were under way meanwhile are asked for as well.
        assert endpoint.searches <= 2 * (batches + 3 * run.UNDER_WAY), "and then it ends"
    assert counts(endpoint) == list(range(100))


def test_a_file_that_begins_alike_takes_no_other_s_place(log: Path) -> None:
    """Rotated files that were copied elsewhere and back: only what continues is the same file."""
    with BulkEndpoint() as endpoint:
        write(log, range(10))
        settings = settings_for(log, endpoint.url)
        ship(settings)
        shutil.copy(log, log.with_name("cdp_events.log.1"))
        older = log.with_name("cdp_events.log.2")
        older.write_text(line(0) + "".join(line(n) for n in range(100, 120)))
        log.unlink()
        write(log, range(200, 203))
        assert ship(settings).indexed == 21 + 3
        assert sorted(counts(endpoint)) == sorted(
            [0, *range(10), *range(100, 120), *range(200, 203)]
        )


def test_a_file_that_two_looks_miss_is_not_gone(log: Path, tmp_path: Path) -> None:
    """A look may fall between two renames; the third in a row that misses it counts what is lost."""
    write(log, range(10))
    followed = Reader(log, Position(target="here"))
    followed.glance()
    (place,) = followed.position.places
    place.offset = 100
    aside = tmp_path / "aside"
    for _ in range(2):
        log.rename(aside)
        followed.glance()
        followed.glance()
        assert (followed.position.places, followed.position.lost_files) == ([place], 0)
        aside.rename(log)
        followed.glance()
        assert place.missed == 0
    log.rename(aside)
    for _ in range(3):
        followed.glance()
    assert followed.position.places == []
    assert followed.position.lost_files == 1
    assert followed.position.lost_bytes == aside.stat().st_size - 100


def test_an_overloaded_server_is_not_asked_for_the_other_half(log: Path) -> None:
    sizes: list[int] = []

    def whole(number: int, size: int) -> int:
        sizes.append(size)
        return {1: 413, 2: 503}.get(number, 200)

    with BulkEndpoint(whole=whole) as endpoint:
        write(log, range(8))
        assert ship(settings_for(log, endpoint.url)).indexed == 8
        assert counts(endpoint) == list(range(8))
    assert [size / sizes[0] for size in sizes] == [1, 0.5, 1], "the first half, then all once more"


def test_whoever_gets_on_is_as_patient_as_in_the_beginning(
    log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that takes a line at a time is slow, and not away."""
    monkeypatch.setattr(run, "ATTEMPTS_ONCE", 3)
    with BulkEndpoint(
        lambda document, request: TOO_MANY if document["count"] >= request else None
    ) as endpoint:
        write(log, range(10))
        assert ship(settings_for(log, endpoint.url)).indexed == 10
    with BulkEndpoint(lambda *_: TOO_MANY) as endpoint:
        with pytest.raises(bulk.GaveUpError):
            ship(settings_for(log, endpoint.url))
        assert endpoint.requests == 3
    assert position.folder(settings_for(log, endpoint.url)).exists()


def test_a_connection_that_idled_too_long_is_no_server_that_is_away(
    log: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with BulkEndpoint() as endpoint:
        endpoint._server.RequestHandlerClass.timeout = 0.2
        write(log, range(1))
        with following(settings_for(log, endpoint.url)):
            for number in range(1, 4):
                until(lambda number=number: len(endpoint.documents) == number)
                time.sleep(0.5)
                with log.open("a") as file:
                    file.write(line(number))
            until(lambda: len(endpoint.documents) == 4)
    assert "does not answer" not in capsys.readouterr().err
