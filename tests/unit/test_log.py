"""The log holds whole lines, every one once, whoever writes, dies, rotates or runs out of disk."""

from __future__ import annotations

import json
import multiprocessing
import os
import resource
import signal
import threading
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from horizon.log import LineFile, Logger, log_to, open_log
from horizon.settings import Settings

SPAWN = multiprocessing.get_context("spawn")
FORK = multiprocessing.get_context("fork")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "logs" / "cdp_events.log"


def parsed(*paths: Path) -> list[dict[str, Any]]:
    """Every line of these files; fails on half a line."""
    lines = []
    for path in paths:
        text = path.read_text()
        assert text == "" or text.endswith("\n")
        lines += [json.loads(line) for line in text.split("\n")[:-1]]
    return lines


def test_a_line_has_the_seed_s_form(path: Path) -> None:
    log = log_to(LineFile(path)).bind(stage="score", component="scorer", correlation_id=UUID(int=1))
    log.info("score", window_days=14, users=202, high=14, medium=0, low=188)
    [line] = path.read_text().splitlines()
    assert line.startswith('{"ts":"20')
    assert line.endswith(
        '"level":"INFO","message":"score","stage":"score","component":"scorer",'
        '"correlation_id":"00000000-0000-0000-0000-000000000001",'
        '"window_days":14,"users":202,"high":14,"medium":0,"low":188}'
    )
    stamp = datetime.strptime(json.loads(line)["ts"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    assert abs((datetime.now(UTC) - stamp).total_seconds()) < 5


def test_debug_is_left_out_and_levels_are_named(path: Path) -> None:
    log = log_to(LineFile(path))
    for write in (log.debug, log.info, log.warning, log.error, log.critical):
        write("said")
    assert [line["level"] for line in parsed(path)] == ["INFO", "WARNING", "ERROR", "CRITICAL"]


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.dictionaries(
        st.text(min_size=1).filter(lambda name: name not in {"ts", "level", "message", "event"}),
        st.one_of(
            st.text(st.characters(codec=None)),  # lone surrogates too
            st.floats(),
            st.integers(),
            st.binary(),
            st.none(),
            st.uuids(),
            st.datetimes(timezones=st.just(UTC)),
            st.sets(st.integers()),
            st.builds(object),
        ),
    )
)
def test_any_fields_make_one_line_that_parses(path: Path, fields: dict[str, Any]) -> None:
    path.unlink(missing_ok=True)
    log_to(LineFile(path)).bind(**fields).info("said")
    [line] = parsed(path)
    assert line["message"] == "said"


def write_many(path: Path, writer: int, lines: int, max_bytes: int) -> None:
    log = log_to(LineFile(path, max_bytes=max_bytes, keep=200))
    for number in range(lines):
        log.info("written", writer=writer, number=number, padding="é" * 50)


def test_eight_processes_and_rotation_lose_and_double_nothing(path: Path) -> None:
    lines, max_bytes = 500, 20_000
    writers = [
        FORK.Process(target=write_many, args=(path, writer, lines, max_bytes))
        for writer in range(8)
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
        assert writer.exitcode == 0
    files = list(path.parent.glob("cdp_events.log*"))
    assert len(files) > 10
    assert all(file.stat().st_size < max_bytes + 300 for file in files)
    found = Counter((line["writer"], line["number"]) for line in parsed(*files))
    assert found == Counter((writer, number) for writer in range(8) for number in range(lines))


def test_rotation_keeps_the_newest_in_order(path: Path) -> None:
    lines = LineFile(path, max_bytes=1, keep=3)
    for number in range(6):
        lines.msg(json.dumps(number))
    kept = [path, *(path.with_name(f"cdp_events.log.{n}") for n in (1, 2, 3))]
    assert [file.read_text() for file in kept] == ["5\n", "4\n", "3\n", "2\n"]
    assert sorted(path.parent.glob("cdp_events.log*")) == sorted(kept)


def test_lines_held_together_are_written_at_once_and_in_order(path: Path) -> None:
    lines = LineFile(path)
    log = log_to(lines)
    with lines.together():
        log.info("first")
        with lines.together():  # a stage within a batch
            log.info("second")
        log.info("third")
        assert not path.exists()
    assert [line["message"] for line in parsed(path)] == ["first", "second", "third"]


def test_lines_held_together_are_written_when_the_batch_fails(path: Path) -> None:
    lines = LineFile(path)
    with pytest.raises(ZeroDivisionError), lines.together():
        log_to(lines).info("before")
        _ = 1 / 0
    assert [line["message"] for line in parsed(path)] == ["before"]


def test_another_thread_s_lines_are_not_held(path: Path) -> None:
    lines = LineFile(path)
    with lines.together():
        log_to(lines).info("held")
        other = threading.Thread(target=log_to(lines).info, args=["at once"])
        other.start()
        other.join()
        assert [line["message"] for line in parsed(path)] == ["at once"]
    assert [line["message"] for line in parsed(path)] == ["at once", "held"]


def test_a_full_device_stops_nothing_and_is_said_once(
    capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "cdp_events.log"
    path.symlink_to("/dev/full")
    log = log_to(LineFile(path))
    log.info("one")
    log.info("two")
    said = capfd.readouterr().err
    assert said.count("\n") == 1
    assert "log lines are being lost" in said
    assert "No space left on device" in said


def fill_up(path: Path, limit_bytes: int) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, limit_bytes))
    log = log_to(LineFile(path))
    for number in range(100):
        log.info("written", number=number)


def test_a_full_disk_leaves_no_half_line(path: Path) -> None:
    """The limit cuts a write in two, as a disk does that fills up."""
    writer = SPAWN.Process(target=fill_up, args=(path, 1000))
    writer.start()
    writer.join(60)
    assert writer.exitcode == 0
    lines = parsed(path)
    assert 5 < len(lines) < 20
    log_to(LineFile(path)).info("space again")
    assert parsed(path)[-1]["message"] == "space again"


def test_nobody_at_stderr_stops_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with Path(os.devnull).open() as read_only:
        monkeypatch.setattr("sys.stderr", read_only)
        log_to(LineFile(tmp_path / "file" / "cdp_events.log")).info("one")


def write_until_killed(path: Path) -> None:
    lines = LineFile(path)
    log = log_to(lines)
    while True:
        with lines.together():
            for _ in range(200):
                log.info("written", padding="x" * 5000)  # 1 MB a write


def test_a_writer_killed_within_its_write_spoils_no_line(path: Path) -> None:
    for _ in range(5):
        writer = FORK.Process(target=write_until_killed, args=(path,))
        writer.start()
        time.sleep(0.1)
        assert writer.pid is not None
        os.kill(writer.pid, signal.SIGKILL)
        writer.join()
        log_to(LineFile(path)).info("next")
    found = Counter(line["message"] for line in parsed(*path.parent.glob("cdp_events.log*")))
    assert found["next"] == 5


def test_half_a_line_does_not_rotate_away(path: Path) -> None:
    path.parent.mkdir()
    path.write_text('{"ts":1}\n{"ts"')
    LineFile(path, max_bytes=1).msg('{"ts":2}')
    assert path.with_name("cdp_events.log.1").read_text() == '{"ts":1}\n'


@pytest.mark.parametrize("half", ['{"ts"', '{"ts":"2026-01-01T00:00:00Z","mess', "{"])
def test_half_a_line_is_cut_off_by_the_next_writer(half: str, path: Path) -> None:
    log = log_to(LineFile(path))
    log.info("whole")
    with path.open("a") as file:
        file.write(half)
    log.info("next")
    assert [line["message"] for line in parsed(path)] == ["whole", "next"]


def test_a_file_that_is_no_log_of_ours_keeps_what_it_has(tmp_path: Path) -> None:
    path = tmp_path / "letter.txt"
    path.write_text("dear reader")
    log_to(LineFile(path)).info("said")
    assert path.read_text().startswith("dear reader")


def test_a_log_that_was_taken_away_is_made_again(path: Path) -> None:
    log = log_to(LineFile(path))
    log.info("one")
    path.unlink()
    log.info("two")
    assert [line["message"] for line in parsed(path)] == ["two"]


def test_the_settings_say_where(tmp_path: Path) -> None:
    log: Logger = open_log(Settings(LOG_PATH=str(tmp_path / "a" / "b.log")))
    log.info("said")
    assert len(parsed(tmp_path / "a" / "b.log")) == 1
