"""The queue on disk: order kept, nothing lost, whoever is killed."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from horizon.observe.lineage import queue as module
from horizon.observe.lineage.queue import Place, Queue, other_queues, queue_of
from horizon.settings import Settings

WRITER = """
import sys
from pathlib import Path
from horizon.observe.lineage.queue import Queue
queue = Queue(Path(sys.argv[1]))
number = int(sys.argv[2])
while True:
    queue.append(b"%d " % number + b"x" * 3000)
    print(number, flush=True)
    number += 1
"""

EACH = 100
AT_ONCE = f"""
import sys
from pathlib import Path
from horizon.observe.lineage import queue as module
module.PART_BYTES = 50_000
queue = module.Queue(Path(sys.argv[1]))
for number in range({EACH}):
    queue.append(b"%d %d " % (int(sys.argv[2]), number) + b"x" * 20_001)
"""


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PART_BYTES", 100)


def taken(queue: Queue) -> list[bytes]:
    lines = []
    for line, place in queue.lines():
        lines.append(line)
        queue.done(place)
    return lines


@given(
    st.lists(
        st.one_of(
            st.binary(max_size=60).filter(lambda line: b"\n" not in line),
            st.sampled_from(["take", "take one", "tidy", "half"]),
        ),
        max_size=40,
    )
)
@hypothesis_settings(deadline=None)
def test_what_is_appended_is_taken_once_in_its_order(steps: list[bytes | str]) -> None:
    with TemporaryDirectory() as folder:
        queue = Queue(Path(folder) / "queue")
        put: list[bytes] = []
        got: list[bytes] = []
        for step in steps:
            if isinstance(step, bytes):
                queue.append(step)
                put.append(step)
            elif step == "take":
                got += taken(queue)
            elif step == "take one":
                for line, place in queue.lines():
                    got.append(line)
                    queue.done(place)
                    break
            elif step == "tidy" and queue.folder.exists():
                queue.tidy()
            elif step == "half" and queue.parts():
                with list(queue.parts().values())[-1].open("ab") as part:
                    part.write(b"half a li")
        assert got + taken(queue) == put


def test_what_was_taken_leaves_the_disk(tmp_path: Path) -> None:
    queue = Queue(tmp_path)
    for number in range(50):
        queue.append(b"%d" % number * 20)
    assert len(queue.parts()) > 5
    taken(queue)
    queue.tidy()
    assert queue.parts() == {}
    queue.append(b"next")
    assert taken(queue) == [b"next"]


def test_how_far_it_was_taken_needs_no_room(tmp_path: Path) -> None:
    """On a full disk too, since that is how room comes back."""
    queue = Queue(tmp_path)
    queue.append(b"one")
    sent = tmp_path / "sent"
    before = sent.stat()
    queue.done(Place(12, 345))
    assert queue.place() == Place(12, 345)
    assert (sent.stat().st_ino, sent.stat().st_size) == (before.st_ino, before.st_size)


def test_each_target_has_a_queue_of_its_own(tmp_path: Path) -> None:
    settings = Settings().changed(HORIZON_HOME=str(tmp_path))
    targets = [
        "http://127.0.0.1:5000", "http://127.0.0.1:5001", "console", "file:lineage.jsonl",
        f"file:{tmp_path}/lineage.jsonl", "file:/" + "deep/" * 100 + "lineage.jsonl",
    ]  # fmt: skip
    chosen = [settings.changed(LINEAGE_TO=target) for target in targets]
    for one in chosen:
        queue_of(one).append(b"line")
    assert len({queue_of(one).folder for one in chosen}) == len(targets)
    assert all(len(other_queues(one)) == len(targets) - 1 for one in chosen)
    # A key in the path or the query is renewed now and then: the server is the same.
    keyed = settings.changed(LINEAGE_TO="http://127.0.0.1:5000/api?key=1")
    assert queue_of(keyed).folder == queue_of(chosen[0]).folder
    assert "key" not in queue_of(keyed).name
    assert queue_of(chosen[0]).name.startswith("http-127.0.0.1-5000-")


def test_an_unreadable_place_begins_again(tmp_path: Path) -> None:
    queue = Queue(tmp_path)
    queue.append(b"one")
    (tmp_path / "sent").write_text("")
    assert queue.place() == Place()
    assert taken(queue) == [b"one"]


def test_a_new_part_s_name_is_on_disk_before_its_first_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue = Queue(tmp_path / "queue")
    both = [queue.folder, tmp_path]
    synced: list[tuple[Path, int]] = []

    def fsync(file: int) -> None:
        folder = next(one for one in both if one.stat().st_ino == os.fstat(file).st_ino)
        sizes = [path.stat().st_size for path in queue.parts().values()]
        synced.append((folder, len(sizes)))
        assert sizes[-1] == 0, "the name comes before the line"
        sync(file)

    sync = os.fsync
    monkeypatch.setattr(os, "fsync", fsync)
    for _ in range(6):
        queue.append(b"x" * 60)  # two a part
    assert synced == [(folder, number) for number in (1, 2, 3) for folder in both]
    queue.parts()[3].write_bytes(b"")  # as where a writer is killed before it could
    queue.append(b"again")
    assert synced[6:] == [(folder, 3) for folder in both]


def test_writers_at_once_lose_and_tear_nothing(tmp_path: Path) -> None:
    """Four processes append while a fifth takes and tidies."""
    queue = Queue(tmp_path / "queue")
    queue.append(b"9 0 ")
    writers = [
        subprocess.Popen([sys.executable, "-c", AT_ONCE, str(queue.folder), str(number)])
        for number in range(4)
    ]
    got: list[bytes] = []
    while any(writer.poll() is None for writer in writers):
        got += taken(queue)
        queue.tidy()
        time.sleep(0.005)
    assert [writer.returncode for writer in writers] == [0] * 4
    got += taken(queue)
    assert all(len(line) == 4 + len(line.split()[1]) + 20_000 for line in got[1:])
    for number in range(4):
        told = [int(line.split()[1]) for line in got[1:] if line.startswith(b"%d " % number)]
        assert told == list(range(EACH))


@pytest.mark.slow
def test_a_killed_writer_loses_and_tears_nothing(tmp_path: Path) -> None:
    """20 kills at random moments: what was said to be appended is there, whole, in its order."""
    queue = Queue(tmp_path / "queue")
    number, said = 0, []
    for _ in range(20):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(queue.folder), str(number)],
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert writer.stdout is not None
        said.append(int(writer.stdout.readline()))
        time.sleep(random.uniform(0, 0.05))
        writer.send_signal(signal.SIGKILL)
        said += [int(line) for line in writer.stdout.read().split()]
        writer.wait()
        writer.stdout.close()
        found = [int(line.split()[0]) for line, _ in queue.lines()]
        assert all(len(line) > 3000 for line, _ in queue.lines())
        assert found == list(range(len(found)))
        assert set(said) <= set(found)
        number = len(found)
    assert number > 20
