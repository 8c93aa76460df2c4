"""Counters outlive their processes, whatever ends them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from horizon.counters import NullCounters, folder_of, open_counters, read_counters
from horizon.counters import families as f
from horizon.counters.file import FileCounters
from horizon.counters.layout import FILE_BYTES, encode, entries
from horizon.observe.metrics.samples import cumulated
from horizon.settings import Settings

EVENTS = ("horizon_events", ("accepted",))

COUNTING = """
import sys, time
from horizon.counters import open_counters, families as f
from horizon.settings import Settings
counters = open_counters(Settings(HORIZON_HOME=sys.argv[1]), "collector")
counters.set(f.WAITING_EVENTS, 7)
print("begun", flush=True)
number = 0
while True:
    counters.add(f.EVENTS, 1, ("accepted",))
    counters.observe(f.COMMIT_SECONDS, 0.003)
    number += 1
    if number % 1000 == 0:
        print(number, flush=True)
"""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(HORIZON_HOME=str(tmp_path))


def _opened(settings: Settings, role: str = "collector") -> FileCounters:
    counters = open_counters(settings, role)
    assert isinstance(counters, FileCounters)
    return counters


def test_killed_at_any_moment_nothing_that_was_counted_is_lost(settings: Settings) -> None:
    before = 0.0
    for _ in range(5):
        process = subprocess.Popen(
            [sys.executable, "-c", COUNTING, settings.HORIZON_HOME],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        said = int(process.stdout.readline())
        counted, living = read_counters(folder_of(settings))
        assert living["collector"] == 1
        assert counted["horizon_collector_waiting_events", ()] == [7]
        process.send_signal(signal.SIGKILL)
        said = max([said, *(int(line) for line in process.stdout)])
        process.wait()
        process.stdout.close()
        counted, living = read_counters(folder_of(settings))
        assert living["collector"] == 0
        assert ("horizon_collector_waiting_events", ()) not in counted  # nobody waits any more
        (now,) = counted[EVENTS]
        assert before + said <= now <= before + said + 1001
        before = now
    # Five processes, one file: the next one goes on where the dead one stopped.
    assert [path.name for path in folder_of(settings).iterdir()] == ["collector-0.counts"]


def test_two_at_once_are_added_up_and_go_on_with_their_files(settings: Settings) -> None:
    one, other = _opened(settings), _opened(settings)
    one.add(f.EVENTS, 2, ("accepted",))
    other.add(f.EVENTS, 3, ("accepted",))
    one.set(f.WAITING_EVENTS, 10)
    other.set(f.WAITING_EVENTS, 20)
    counted, living = read_counters(folder_of(settings))
    assert counted[EVENTS] == [5]
    assert counted["horizon_collector_waiting_events", ()] == [30]
    assert living == {"collector": 2}
    one.close()
    again = _opened(settings)
    again.add(f.EVENTS, 1, ("accepted",))
    counted, living = read_counters(folder_of(settings))
    assert counted[EVENTS] == [6]
    assert counted["horizon_collector_waiting_events", ()] == [20]
    assert len(list(folder_of(settings).iterdir())) == 2


def test_of_times_the_newest_counts(settings: Settings) -> None:
    one, other = _opened(settings, "worker"), _opened(settings, "command")
    one.set(f.SENDER_RAN, 50)
    other.set(f.SENDER_RAN, 20)
    one.close()
    counted, _ = read_counters(folder_of(settings))
    assert counted["horizon_sender_last_run_timestamp_seconds", ()] == [50]


def test_threads_lose_nothing(settings: Settings) -> None:
    counters = _opened(settings)

    def count() -> None:
        for _ in range(5000):
            counters.add(f.EVENTS, 1, ("accepted",))
            counters.observe(f.SEND_SECONDS, 0.2, ("email",))

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    counted, _ = read_counters(folder_of(settings))
    assert counted[EVENTS] == [20_000]
    *buckets, total = counted["horizon_send_duration_seconds", ("email",)]
    assert sum(buckets) == 20_000
    assert total == pytest.approx(4000)


@given(st.lists(st.floats(0, 100), max_size=50))
def test_a_bucket_holds_what_is_at_most_its_bound(values: list[float]) -> None:
    counters = _in_memory()
    for value in values:
        counters.observe(f.COMMIT_SECONDS, value)
    if not values:
        return
    (slots,) = (
        list(counters._values[one.place : one.place + one.slots])
        for one in entries(bytes(counters._map))
    )
    for bound, count in cumulated(f.COMMIT_SECONDS, slots):
        assert count == sum(value <= float(bound) for value in values)


@pytest.mark.parametrize("spoilt", ["slots", "labels", "name"])
def test_an_entry_of_another_version_is_passed_over(spoilt: str) -> None:
    """Its bounds or labels meant something else: its numbers would be counted as others."""
    name = "horizon_was" if spoilt == "name" else f.COMMIT_SECONDS.name
    labels = ("old",) if spoilt == "labels" else ()
    slots = f.COMMIT_SECONDS.slots - (spoilt == "slots")
    ours = encode(f.EVENTS.name, ("accepted",), f.EVENTS.slots)
    for made in (encode(name, labels, slots) + ours, ours + encode(name, labels, slots)):
        head = b"HZNCNT1\n" + (16 + len(made)).to_bytes(8, "little")
        found = list(entries((head + made).ljust(FILE_BYTES, b"\0")))
        assert [(one.name, one.labels) for one in found] == [EVENTS]
        assert found[0].slots == f.EVENTS.slots


def _in_memory() -> FileCounters:
    return FileCounters(os.memfd_create("counters"))


@pytest.mark.parametrize(
    "spoilt",
    [
        b"",
        b"nothing of ours" * 40,
        b"HZNCNT1\n" + (2**40).to_bytes(8, "little"),
        b"HZNCNT1\n" + (40).to_bytes(8, "little") + b"\xff" * 24,
        b"HZNCNT1\n" + (40).to_bytes(8, "little") + encode("x", (), 1)[:24].replace(b'"', b"?"),
    ],
)
def test_a_file_that_is_none_is_begun_anew(settings: Settings, spoilt: bytes) -> None:
    path = folder_of(settings) / "collector-0.counts"
    path.parent.mkdir()
    path.write_bytes(spoilt.ljust(FILE_BYTES, b"\0"))
    assert read_counters(folder_of(settings))[0] == {}
    counters = _opened(settings)
    counters.add(f.EVENTS, 1, ("accepted",))
    assert read_counters(folder_of(settings))[0] == {EVENTS: [1]}


def test_a_full_file_counts_on_for_what_it_has(settings: Settings) -> None:
    counters = _opened(settings)
    counters.add(f.EVENTS, 1, ("accepted",))
    for number in range(20_000):
        counters.observe(f.SEND_SECONDS, 0.1, (f"channel-{number}",))
    counters.add(f.EVENTS, 1, ("accepted",))
    counted, _ = read_counters(folder_of(settings))
    assert counted[EVENTS] == [2]
    assert 500 < len(counted) < 20_000


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_home_that_cannot_be_written_stops_nobody(settings: Settings) -> None:
    settings.home.chmod(0o500)
    assert isinstance(open_counters(settings, "collector"), NullCounters)


def test_a_home_that_is_no_folder_stops_nobody(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    counters = open_counters(Settings(HORIZON_HOME=str(tmp_path / "file")), "collector")
    assert isinstance(counters, NullCounters)
    counters.add(f.EVENTS, 1, ("accepted",))
    assert "is not counted for /metrics" in capsys.readouterr().err


def test_every_family_has_help_and_labels_of_few_values() -> None:
    for family in f.FAMILIES:
        assert family.help.endswith(".")
        assert set(family.labels) <= {"route", "status", "result", "channel", "stage"}
        assert (family.kind == "histogram") == bool(family.buckets)
        assert list(family.buckets) == sorted(family.buckets)
        assert json.loads(json.dumps(family.name)).startswith("horizon_")
