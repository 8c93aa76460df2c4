"""A disk that is full in the midst of a line: what is tried again stands on a line of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

from horizon.observe.lineage.courier import Courier, Delivered
from horizon.observe.lineage.delivery import FileTarget, NullTarget
from horizon.observe.lineage.queue import LOOK_BYTES, Queue, append_whole

FULL = """
import resource, sys
from pathlib import Path
from horizon.observe.lineage.courier import Courier
from horizon.observe.lineage.delivery import AwayError, FileTarget, NullTarget
from horizon.observe.lineage.queue import Queue
path = Path(sys.argv[2])
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    if sys.argv[1] == "file":
        for number in range(100):
            FileTarget(path).send(b'{"number": %d, "text": "%s"}' % (number, b"x" * 50))
            print(number)
    else:
        Courier(Queue(path), NullTarget(), dict).flush()
except AwayError as exc:
    sys.exit(str(exc))
"""


def on_a_full_disk(what: str, path: Path) -> str:
    """What was written there, after the sentence that it is full."""
    done = subprocess.run(
        [sys.executable, "-c", FULL, what, str(path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "(File too large): free some disk" in done.stderr
    return done.stdout


def test_a_file_of_events_holds_whole_lines(tmp_path: Path) -> None:
    path = tmp_path / "lineage.jsonl"
    sent = on_a_full_disk("file", path).split()
    assert len(sent) > 5
    FileTarget(path).send(b'{"number": %d}' % len(sent))
    told = [json.loads(line)["number"] for line in path.read_text().splitlines()]
    assert told == list(range(len(sent) + 1))


def test_what_was_refused_is_kept_in_whole_lines(tmp_path: Path) -> None:
    queue = Queue(tmp_path / "queue")
    for number in range(30):
        queue.append(b"no line of ours %d" % number)
    on_a_full_disk("refused", queue.folder)
    assert 0 < queue.waiting() < 30
    waiting = queue.waiting()
    courier = Courier(queue, NullTarget(), dict)  # type: ignore[arg-type]
    assert courier.flush() == Delivered(0, waiting)
    kept = [json.loads(line)["line"] for line in courier.refused_path.read_text().splitlines()]
    assert kept == [f"no line of ours {number}" for number in range(30)]


def test_half_a_line_is_cut_away_however_long(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    for whole in (b"", b"one\ntwo\n"):
        for half in (b"h", b"h" * LOOK_BYTES, b"h" * (3 * LOOK_BYTES + 1)):
            path.write_bytes(whole + half)
            append_whole(path, b"next\n")
            assert path.read_bytes() == whole + b"next\n"


def test_a_file_of_events_is_for_whom_the_umask_lets(tmp_path: Path) -> None:
    path = tmp_path / "lineage.jsonl"
    before = os.umask(0o027)
    try:
        FileTarget(path).send(b"{}")
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o640


def test_a_pipe_takes_events(tmp_path: Path) -> None:
    path, read = tmp_path / "pipe", list[bytes]()
    os.mkfifo(path)
    reader = threading.Thread(target=lambda: read.append(path.read_bytes()), daemon=True)
    reader.start()
    FileTarget(path).send(b"{}")
    reader.join(10)
    assert read == [b"{}\n"]
