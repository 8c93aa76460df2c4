"""What the shipper does with every kind of bad luck, against a real HTTP server that refuses."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from horizon import clock
from horizon.errors import AlreadyRunningError, HorizonError, SettingsError
from horizon.log import LineFile
from horizon.observe.shipper import bulk, dead_letters, files, rules, run, schema
from horizon.observe.shipper.client import Client
from horizon.observe.shipper.position import Position
from horizon.observe.shipper.reader import Reader
from horizon.observe.shipper.run import TRYING, Shipped, Shipper
from horizon.observe.shipper.state import lag, read_status
from horizon.settings import Settings
from tests.parts import certificate
from tests.servers.bulk_endpoint import BulkEndpoint

TOO_MANY = (429, {"type": "rejected_execution_exception", "reason": "queue is full"})
READ_ONLY = (
    403,
    {
        "type": "cluster_block_exception",
        "reason": "index [cdp_events] blocked by: [FORBIDDEN/12/index read-only / allow delete (api)];",
    },
)
NO_TYPE = (400, {"type": "mapper_parsing_exception", "reason": "failed to parse field [user_id]"})
IMMENSE: tuple[int, dict[str, Any]] = (
    400,
    {
        "type": "illegal_argument_exception",
        "reason": "an immense term",
        "caused_by": {
            "type": "max_bytes_length_exceeded_exception",
            "reason": "bytes can be at most 32766",
        },
    },
)
CLOSED = (400, {"type": "index_closed_exception", "reason": "closed"})
NO_SHARDS = (400, {"type": "validation_exception", "reason": "maximum shards open"})
NO_WRITE_INDEX = (
    400,
    {
        "type": "illegal_argument_exception",
        "reason": "no write index is defined for alias [cdp_events]",
    },
)
BROKEN = (503, {"type": "unavailable_shards_exception", "reason": "primary shard is not active"})


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules, "WAIT_FIRST_S", 0.01)
    monkeypatch.setattr(rules, "WAIT_LONGEST_S", 0.05)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "logs" / "cdp_events.log"
    path.parent.mkdir()
    return path


@pytest.fixture
def endpoint() -> Iterator[BulkEndpoint]:
    with BulkEndpoint() as one:
        yield one


def line(n: int, **more: object) -> str:
    return (
        json.dumps(
            {"ts": "2026-05-05T01:02:03Z", "level": "INFO", "count": n, **more},
            separators=(",", ":"),
        )
        + "\n"
    )


def settings_for(log: Path, url: str, **more: object) -> Settings:
    return Settings(
        HORIZON_HOME=str(log.parents[1] / "home"), LOG_PATH=str(log), ES_URL=url
    ).changed(**more)


def ship(settings: Settings) -> Shipped:
    return Shipper(settings, once=True, stop=threading.Event()).run()


@contextmanager
def following(settings: Settings) -> Iterator[Shipper]:
    stop = threading.Event()
    shipper = Shipper(settings, once=False, stop=stop)
    thread = threading.Thread(target=shipper.run)
    thread.start()
    try:
        yield shipper
    finally:
        stop.set()
        thread.join(20)
        assert not thread.is_alive()


def until(what: Callable[[], Any], timeout_s: float = 15) -> None:
    deadline = time.monotonic() + timeout_s
    while not what():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.02)


def counts(endpoint: BulkEndpoint) -> list[int]:
    return sorted(document["count"] for document in endpoint.documents.values())


def letters(settings: Settings) -> list[dict[str, Any]]:
    path = settings.home / "shipper" / "dead-letters.jsonl"
    lines = path.read_bytes().split(b"\n") if path.exists() else []  # a line may hold U+0085
    return [json.loads(text) for text in lines if text]


@pytest.fixture
def three_files(log: Path) -> Path:
    for number, path in enumerate(
        (log.with_name("cdp_events.log.2"), log.with_name("cdp_events.log.1"), log)
    ):
        path.write_text("".join(line(10 * number + n) for n in range(10)))
    return log


def test_what_the_log_and_its_rotated_files_hold(three_files: Path, endpoint: BulkEndpoint) -> None:
    settings = settings_for(three_files, endpoint.url)
    assert ship(settings).indexed == 30
    assert counts(endpoint) == list(range(30))
    assert ship(settings).indexed == 0
    assert endpoint.there == 0, "nothing is sent twice"
    assert endpoint.puts[0] == "/_index_template/cdp_events"


def test_the_oldest_file_is_read_first(three_files: Path) -> None:
    """Read, not stored: two connections send side by side."""
    batches = list(Reader(three_files, Position(target="")).look(clock.now(), once=True))
    read = [json.loads(item.split(b"\n", 2)[1])["count"] for one in batches for item in one.items]
    assert read == list(range(30))


def test_lines_are_followed_through_rotation(log: Path, endpoint: BulkEndpoint) -> None:
    lines = LineFile(log, max_bytes=2_000, keep=50)
    with following(settings_for(log, endpoint.url)):
        for n in range(200):
            lines.msg(line(n).rstrip())
            time.sleep(0.002)
        until(lambda: len(endpoint.documents) == 200)
    assert counts(endpoint) == list(range(200))
    assert len(list(log.parent.glob("cdp_events.log.*"))) > 3


def test_a_log_that_comes_later_is_found(log: Path, endpoint: BulkEndpoint) -> None:
    log.parent.rmdir()
    with following(settings_for(log, endpoint.url)):
        time.sleep(0.3)
        LineFile(log).msg(line(1).rstrip())
        until(lambda: endpoint.documents)


def test_half_a_line_is_waited_for(log: Path, endpoint: BulkEndpoint) -> None:
    whole = line(7, note="x" * 50)
    log.write_text(line(1) + whole[:30])
    settings = settings_for(log, endpoint.url)
    with following(settings):
        until(lambda: endpoint.documents)
        time.sleep(0.3)
        assert counts(endpoint) == [1]
        with log.open("a") as file:
            file.write(whole[30:])
        until(lambda: len(endpoint.documents) == 2)
    assert counts(endpoint) == [1, 7]
    assert letters(settings) == []


def test_a_half_line_that_its_successor_cuts_away_is_never_seen(
    log: Path, endpoint: BulkEndpoint
) -> None:
    log.write_text(line(1) + line(2)[:25])
    settings = settings_for(log, endpoint.url)
    ship(settings)
    LineFile(log).msg(line(3).rstrip())
    ship(settings)
    assert counts(endpoint) == [1, 3]
    assert letters(settings) == []


def test_a_rotated_file_without_a_last_line_break_is_shipped_whole(
    log: Path, endpoint: BulkEndpoint
) -> None:
    log.with_name("cdp_events.log.1").write_text(line(1) + line(2).rstrip())
    log.write_text(line(3) + line(4).rstrip())
    ship(settings_for(log, endpoint.url))
    assert counts(endpoint) == [1, 2, 3], "the current file's last line is not ended yet"


@pytest.mark.parametrize("same_first_line", [False, True])
def test_a_truncated_log_is_read_from_its_start(
    log: Path, endpoint: BulkEndpoint, same_first_line: bool
) -> None:
    log.write_text("".join(line(n) for n in range(20)))
    settings = settings_for(log, endpoint.url)
    ship(settings)
    first = line(0) if same_first_line else ""
    with log.open("r+") as file:
        file.truncate(0)
        file.write(first + "".join(line(n) for n in range(100, 130)))
    ship(settings)
    assert counts(endpoint) == [*range(20), *range(100, 130)]


def test_a_copied_and_cut_log_is_not_shipped_twice(log: Path, endpoint: BulkEndpoint) -> None:
    log.write_text("".join(line(n) for n in range(20)))
    settings = settings_for(log, endpoint.url)
    ship(settings)
    with log.open("a") as file:
        file.write(line(20))
    log.with_name("cdp_events.log.1").write_bytes(log.read_bytes())
    with log.open("r+") as file:
        file.truncate(0)
        file.write(line(30))
    ship(settings)
    assert counts(endpoint) == [*range(21), 30]


def test_files_that_are_alike_are_still_two(log: Path, endpoint: BulkEndpoint) -> None:
    for path in (log, log.with_name("cdp_events.log.1")):
        path.write_text(line(1) + line(2))
    assert ship(settings_for(log, endpoint.url)).indexed == 4


def test_a_lost_position_doubles_nothing(log: Path, endpoint: BulkEndpoint) -> None:
    log.write_text("".join(line(n) for n in range(50)))
    settings = settings_for(log, endpoint.url)
    ship(settings)
    (settings.home / "shipper" / "position.json").write_text("{half")
    done = ship(settings)
    assert (done.indexed, done.there) == (0, 50)
    assert counts(endpoint) == list(range(50))


def test_what_cannot_be_a_document_is_a_dead_letter(
    log: Path, endpoint: BulkEndpoint, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = [b"\x00\xff\xfe binary \x80", b'{"ts":"2026-05-05T01:02:03Z","a":', b"[1,2]", b'{"level":"INFO"}', b'{"ts":"yesterday"}',
           b'{"ts":"2026-05-05T01:02:03Z","a":' + b"[" * 5000 + b"]" * 5000 + b"}"]  # fmt: skip
    log.write_bytes(line(1).encode() + b"\n".join([*bad, b"", b"  "]) + b"\n" + line(2).encode())
    settings = settings_for(log, endpoint.url)
    assert ship(settings).refused == len(bad)
    assert counts(endpoint) == [1, 2]
    reasons = [letter["reason"] for letter in letters(settings)]
    assert [reason[:10] for reason in reasons] == [
        "not UTF-8 ",
        "no JSON: I",
        "no JSON ob",
        "no time: t",
        "no time: t",
        "nested too",
    ]
    content = log.read_bytes()
    for letter, text in zip(letters(settings), bad, strict=True):
        assert letter["file"] == str(log)
        assert content[letter["offset"] :].startswith(text)
        assert letter["size_bytes"] == len(text)
    assert "lines cannot be shipped" in capsys.readouterr().err
    (settings.home / "shipper" / "position.json").unlink()
    assert ship(settings).there == 2
    assert len(letters(settings)) == len(bad), "a dead letter is written once"


@pytest.mark.parametrize(
    ("verdict", "said"),
    [
        (NO_TYPE, "refused: mapper_parsing_exception: failed to parse field [user_id]"),
        (
            IMMENSE,
            "refused: illegal_argument_exception: an immense term (bytes can be at most 32766)",
        ),
    ],
)
def test_one_refused_line_does_not_stop_the_rest(
    log: Path, verdict: tuple[int, dict[str, Any]], said: str
) -> None:
    with BulkEndpoint(
        lambda document, _: verdict if document["count"] % 10 == 3 else None
    ) as endpoint:
        log.write_text("".join(line(n) for n in range(40)))
        settings = settings_for(log, endpoint.url)
        done = ship(settings)
        assert (done.indexed, done.refused) == (36, 4)
        assert {letter["reason"] for letter in letters(settings)} == {said}
        assert ship(settings).refused == 0


@pytest.mark.parametrize(
    "verdict", [TOO_MANY, BROKEN, READ_ONLY, (429, READ_ONLY[1]), CLOSED, NO_SHARDS, NO_WRITE_INDEX]
)
def test_what_the_server_cannot_take_now_is_asked_again(
    log: Path, verdict: tuple[int, dict[str, str]]
) -> None:
    with BulkEndpoint(
        lambda document, request: verdict if request < 4 and document["count"] % 2 else None
    ) as endpoint:
        log.write_text("".join(line(n) for n in range(40)))
        settings = settings_for(log, endpoint.url)
        assert ship(settings).indexed == 40
        assert counts(endpoint) == list(range(40))
        assert (endpoint.requests, endpoint.there) == (4, 0), "only what was refused is asked again"
        assert letters(settings) == []


@pytest.mark.parametrize("status", [0, 401, 403, 429, 500, 503])
def test_a_request_without_success_is_asked_again(log: Path, status: int) -> None:
    with BulkEndpoint(whole=lambda request, _: status if request < 4 else 200) as endpoint:
        log.write_text("".join(line(n) for n in range(40)))
        done = ship(settings_for(log, endpoint.url))
        assert (done.indexed, done.there) == (
            (40, 0) if status else (0, 40)
        )  # 0: taken, and no answer
        assert counts(endpoint) == list(range(40))


@pytest.mark.parametrize("status", [400, 413])
def test_a_request_that_is_too_much_is_halved_down_to_the_line(log: Path, status: int) -> None:
    big = line(3, note="x" * 5000)
    with BulkEndpoint(whole=lambda _, size: status if size > 4000 else 200) as endpoint:
        log.write_text(
            "".join(line(n) for n in range(3)) + big + "".join(line(n) for n in range(4, 60))
        )
        settings = settings_for(log, endpoint.url)
        assert ship(settings).indexed == 59
        (letter,) = letters(settings)
        assert letter["reason"].startswith(f"refused: {status}")


@pytest.mark.parametrize("lines", [1, 2, 8])
def test_a_server_that_refuses_whatever_it_is_asked_gets_no_line_into_the_dead_letters(
    log: Path, lines: int
) -> None:
    bad = threading.Event()
    bad.set()
    with BulkEndpoint(whole=lambda *_: 400 if bad.is_set() else 200) as endpoint:
        log.write_text("".join(line(n) for n in range(lines)))
        settings = settings_for(log, endpoint.url)
        with pytest.raises(bulk.GaveUpError, match=r"answers 400 \(told to answer 400\)"):
            ship(settings)
        assert endpoint.requests < 40, "one line is asked for, not every one"
        assert letters(settings) == []
        bad.clear()
        assert ship(settings).indexed == lines


def mapping(**other: object) -> dict[str, Any]:
    """The index's, with some fields as another made them."""
    ours = schema.mappings()
    return {"mappings": {**ours, "properties": {**ours["properties"], **other}}}


LONG = {"type": "long"}
NO_LONG = (400, {"type": "document_parsing_exception", "reason": "[1:9] failed to parse field [status] of type [long]"})  # fmt: skip
STRICT = (400, {"type": "strict_dynamic_mapping_exception", "reason": "introduction of [new] within [_doc] is not allowed"})  # fmt: skip


@pytest.mark.parametrize(
    ("told", "verdict"),
    [
        ({"cdp_events": mapping(status=LONG)}, NO_LONG),
        ({"cdp_events": mapping(status={"properties": {}})}, NO_LONG),
        ({".ds-cdp-000001": mapping(), ".ds-cdp-000002": mapping(status=LONG)}, NO_LONG),
        ({"cdp_events": {"mappings": {**schema.mappings(), "dynamic": "strict"}}}, STRICT),
        (None, NO_LONG),  # it may not be read
    ],
)
def test_an_index_that_is_made_otherwise_holds_the_log_back(
    log: Path, told: Any, verdict: tuple[int, dict[str, Any]]
) -> None:
    with BulkEndpoint(lambda *_: verdict if broken else None) as endpoint:
        broken, endpoint.mapping = True, told
        log.write_text("".join(line(n, status="sent") for n in range(20)))
        settings = settings_for(log, endpoint.url)
        with pytest.raises(
            bulk.GaveUpError, match=r"The index cdp_events has another schema .* or set ES_INDEX"
        ):
            ship(settings)
        assert letters(settings) == []
        broken = False
        assert ship(settings).indexed == 20


@pytest.mark.parametrize(
    "told",
    [
        {"cdp_events": mapping()},
        {"cdp_events": mapping(stage=LONG)},  # not what the server says of it
        {".ds-cdp-000001": mapping(user_id=LONG), ".ds-cdp-000002": mapping()},
        {"cdp_events": {"mappings": {}}},
        {},
        [],
        {"cdp_events": 7},
    ],
)
def test_a_line_is_to_blame_where_the_index_has_our_field(log: Path, told: Any) -> None:
    """Also where all that a request holds are such lines."""
    with BulkEndpoint(lambda *_: NO_TYPE) as endpoint:
        endpoint.mapping = told
        log.write_text("".join(line(n) for n in range(3)))
        settings = settings_for(log, endpoint.url)
        assert ship(settings).refused == 3
        assert len(letters(settings)) == 3


def test_a_page_in_place_of_an_answer_is_no_line_s_fault(log: Path) -> None:
    """Of a proxy that is set up wrongly, say: the log waits until it is mended."""
    with BulkEndpoint(
        whole=lambda number, _: 400 if number < 5 else 200,
        say=lambda _, status, body: (status, "<html>Bad Request" if status == 400 else body),
    ) as endpoint:
        log.write_text("".join(line(n) for n in range(8)))
        settings = settings_for(log, endpoint.url)
        assert ship(settings).indexed == 8
        assert letters(settings) == []


def test_a_server_that_stays_away_ends_once_with_a_sentence(
    log: Path, free_port: Callable[[], int], capsys: pytest.CaptureFixture[str]
) -> None:
    log.write_text(line(1))
    settings = settings_for(log, f"http://127.0.0.1:{free_port()}")
    with pytest.raises(
        bulk.GaveUpError,
        match=r"The search server at 127.0.0.1:\d+ does not answer \(Connection refused\)",
    ):
        ship(settings)
    # The command ends with that sentence: once is enough, and nothing is promised for later.
    assert capsys.readouterr().err == f"horizon: {TRYING}\n"
    waiting = lag(settings, datetime(2026, 5, 5, 1, 3, 3, tzinfo=UTC))
    assert (waiting.lines, waiting.seconds, waiting.running) == (1, 60.0, False)
    assert waiting.bytes == log.stat().st_size


def test_away_for_long_memory_is_bounded_and_lag_shows(
    log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    away = threading.Event()
    away.set()
    monkeypatch.setattr("horizon.observe.shipper.reader.CHUNK_BYTES", 20_000)
    with BulkEndpoint(whole=lambda *_: 0 if away.is_set() else 200) as endpoint:
        lines = LineFile(log, max_bytes=100_000, keep=100)
        settings = settings_for(log, endpoint.url)
        with following(settings) as shipper, lines.together():
            for n in range(20_000):
                lines.msg(line(n).rstrip())
        with following(settings) as shipper:
            until(lambda: (status := read_status(settings)) is not None and status.server == "away")
            time.sleep(0.5)
            assert len(shipper._pending) <= run.UNDER_WAY
            seen = lag(settings)
            assert (seen.lines, seen.running) == (20_000, True)
            assert seen.status is not None
            assert "does not answer" in seen.status.said
            assert seen.seconds > 0
            away.clear()
            until(lambda: len(endpoint.documents) == 20_000)
            until(lambda: lag(settings).lines == 0)
            until(lambda: (status := read_status(settings)) is not None and status.server == "well")
    assert counts(endpoint) == list(range(20_000))


def test_what_rotation_takes_away_unshipped_is_counted_and_said(
    log: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    away = threading.Event()
    away.set()
    monkeypatch.setattr(run, "TELL_EVERY_S", 0.05)
    monkeypatch.setattr(run, "LOOK_EVERY_S", 0.05)
    with BulkEndpoint(whole=lambda *_: 0 if away.is_set() else 200) as endpoint:
        settings = settings_for(log, endpoint.url)
        lines = LineFile(log, max_bytes=1_000, keep=1)
        lines.msg(line(0).rstrip())
        with following(settings):
            until(lambda: endpoint.requests > 1)
            for n in range(1, 200):
                lines.msg(line(n).rstrip())
                time.sleep(0.01)
            away.clear()
            until(lambda: 199 in counts(endpoint))
            until(lambda: lag(settings).lost_files)
        seen = lag(settings)
        missing = 200 - len(endpoint.documents)
        assert seen.lost_files >= 1
        assert 0 < seen.lost_bytes <= missing * len(line(199))
        assert "rotation took" in capsys.readouterr().err


def test_what_rotation_takes_is_counted_too_while_nobody_was_reached_yet(
    log: Path, free_port: Callable[[], int]
) -> None:
    settings = settings_for(log, f"http://127.0.0.1:{free_port()}")
    lines = LineFile(log, max_bytes=1_000, keep=1)
    with following(settings):
        for n in range(150):
            lines.msg(line(n).rstrip())
            time.sleep(0.01)
        until(lambda: lag(settings).lost_files)
    assert lag(settings).lost_bytes > 0


def test_a_second_shipper_is_told_so(log: Path, endpoint: BulkEndpoint) -> None:
    settings = settings_for(log, endpoint.url)
    with following(settings):
        until(lambda: endpoint.puts)
        with pytest.raises(
            AlreadyRunningError, match=f"A shipper runs already \\(process {os.getpid()}"
        ):
            ship(settings)


def test_two_shippers_of_two_homes_double_nothing(log: Path, endpoint: BulkEndpoint) -> None:
    lines = LineFile(log, max_bytes=5_000, keep=100)
    one = settings_for(log, endpoint.url)
    with following(one), following(one.changed(HORIZON_HOME=str(log.parents[1] / "other"))):
        for n in range(300):
            lines.msg(line(n).rstrip())
            time.sleep(0.001)
        until(lambda: len(endpoint.documents) == 300 and endpoint.there == 300)
    assert counts(endpoint) == list(range(300))


def test_a_line_of_10_mb_arrives_and_one_of_40_is_a_dead_letter(
    log: Path, endpoint: BulkEndpoint
) -> None:
    with log.open("w") as file:
        file.write(
            line(1) + line(2, note="x" * 10_000_000) + line(3, note="y" * 40_000_000) + line(4)
        )
    settings = settings_for(log, endpoint.url)
    ship(settings)
    assert counts(endpoint) == [1, 2, 4]
    (letter,) = letters(settings)
    assert letter["reason"] == "longer than 16 MiB"
    assert letter["cut"] is True
    assert letter["size_bytes"] == len(line(3, note="y" * 40_000_000))


def test_garbage_without_an_end_waits_and_does_not_fill_memory(
    log: Path, endpoint: BulkEndpoint
) -> None:
    odd = os.urandom(1000).replace(b"\n", b"") + "\x85".encode()
    log.write_bytes(line(1).encode() + odd * 40_000)
    settings = settings_for(log, endpoint.url)
    ship(settings)
    assert (counts(endpoint), letters(settings)) == ([1], [])
    with log.open("ab") as file:
        file.write(b"\n" + line(2).encode())
    ship(settings)
    assert counts(endpoint) == [1, 2]
    assert [letter["reason"] for letter in letters(settings)] == ["longer than 16 MiB"]


def test_a_log_folder_without_permission_is_one_sentence(
    log: Path, endpoint: BulkEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    log.write_text(line(1))
    settings = settings_for(log, endpoint.url)

    def forbidden(path: Path) -> list[str]:
        raise PermissionError(13, "Permission denied", str(path))

    with monkeypatch.context() as patched:  # root may read everything
        patched.setattr(files.os, "listdir", forbidden)
        with pytest.raises(
            files.LogUnreadableError,
            match=r"logs cannot be read \(Permission denied\): let this account read",
        ):
            ship(settings)
        assert "cannot be read" in lag(settings).said
        with following(settings):
            until(lambda: endpoint.puts)
            time.sleep(0.1)
            patched.undo()
            until(lambda: endpoint.documents)


def test_sigterm_ends_it_cleanly_with_its_position_stored(
    log: Path, endpoint: BulkEndpoint
) -> None:
    log.write_text("".join(line(n) for n in range(1000)))
    settings = settings_for(log, endpoint.url)
    environment = {
        **os.environ,
        "HORIZON_HOME": settings.HORIZON_HOME,
        "LOG_PATH": str(log),
        "ES_URL": endpoint.url,
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "horizon.cli", "ship"], env=environment, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    until(lambda: len(endpoint.documents) == 1000)
    process.send_signal(signal.SIGTERM)
    said, complained = process.communicate(timeout=20)
    assert process.returncode == 0
    assert "Shipped 1,000 lines into cdp_events." in said
    assert complained == ""
    assert lag(settings).lines == 0
    assert ship(settings).there == 0


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({"ES_API_KEY": "id:key"}, "ApiKey aWQ6a2V5"),
        ({"ES_API_KEY": "aWQ6a2V5"}, "ApiKey aWQ6a2V5"),
        ({"ES_USER": "ann", "ES_PASSWORD": "pw"}, "Basic YW5uOnB3"),
    ],
)
def test_who_asks_is_said(
    log: Path, endpoint: BulkEndpoint, more: dict[str, str], expected: str
) -> None:
    log.write_text(line(1))
    ship(settings_for(log, endpoint.url, **more))
    assert {headers["Authorization"] for headers in endpoint.headers} == {expected}


def test_the_password_in_the_address_is_used_and_never_shown(
    log: Path, endpoint: BulkEndpoint
) -> None:
    log.write_text(line(1))
    settings = settings_for(log, endpoint.url.replace("//", "//ann:p%40ss@"))
    ship(settings)
    assert {headers["Authorization"] for headers in endpoint.headers} == {"Basic YW5uOnBAc3M="}
    kept = "".join(path.read_text() for path in (settings.home / "shipper").iterdir())
    assert "p%40ss" not in kept
    assert "p@ss" not in Client(settings).name


def test_tls_is_verified(log: Path, tmp_path: Path) -> None:
    import ssl

    cert, key = certificate(tmp_path / "server")
    log.write_text(line(1))
    endpoint = BulkEndpoint()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    endpoint._server.socket = context.wrap_socket(endpoint._server.socket, server_side=True)
    with endpoint:
        settings = settings_for(log, endpoint.url.replace("http:", "https:"))
        with pytest.raises(bulk.GaveUpError, match=r"proves nothing .*: set ES_CA"):
            ship(settings)
        assert ship(settings.changed(ES_CA=str(cert))).indexed == 1
        with pytest.raises(SettingsError, match=r"ES_CA: .* cannot be used"):
            Client(settings.changed(ES_CA=str(key)))


def test_a_password_does_not_leave_this_machine_without_tls(log: Path) -> None:
    settings = settings_for(log, "http://search.example:9200")
    Client(settings)
    for more in (
        {"ES_API_KEY": "a:b"},
        {"ES_USER": "ann"},
        {"ES_URL": "http://ann:pw@search.example"},
    ):
        with pytest.raises(SettingsError, match="ES_URL has no TLS"):
            Client(settings.changed(**more))


def test_what_cannot_be_written_is_one_sentence(log: Path, endpoint: BulkEndpoint) -> None:
    log.write_text(line(1))
    (log.parents[1] / "home").write_text("a file, and no folder")
    with pytest.raises(HorizonError, match=r"home/shipper cannot be written .*: free some disk"):
        ship(settings_for(log, endpoint.url))


def test_dead_letters_without_disk_wait(
    log: Path, endpoint: BulkEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    log.write_text("garbage\n" + line(1))
    settings = settings_for(log, endpoint.url)
    full = threading.Event()
    full.set()
    plain = dead_letters.DeadLetters._append

    def append(self: dead_letters.DeadLetters, new: Sequence[dead_letters.DeadLetter]) -> None:
        if full.is_set():
            raise OSError(28, "No space left on device")
        plain(self, new)

    monkeypatch.setattr(dead_letters.DeadLetters, "_append", append)
    with following(settings):
        until(
            lambda: (status := read_status(settings)) is not None and "No space left" in status.said
        )
        assert lag(settings).lines == 2, "the position waits for the dead letter"
        full.clear()
        until(lambda: lag(settings).lines == 0)
    assert len(letters(settings)) == 1


def test_an_index_elsewhere_is_loaded_from_the_start(log: Path, endpoint: BulkEndpoint) -> None:
    log.write_text(line(1))
    settings = settings_for(log, endpoint.url)
    ship(settings)
    with BulkEndpoint() as other:
        assert ship(settings.changed(ES_URL=other.url)).indexed == 1


@pytest.mark.parametrize(
    ("path", "status", "body"),
    [
        ("_refresh", 503, {}),
        ("_refresh", 200, {"_shards": {"failed": 1}}),
        ("_search", 503, {}),
        ("_search", 200, {"timed_out": False, "_shards": {"failed": 1}}),
        ("_search", 200, {"timed_out": True, "_shards": {"failed": 0}}),
        ("_search", 200, []),
    ],
)
def test_what_a_data_stream_does_not_know_for_sure_is_not_sent_again(
    log: Path, path: str, status: int, body: object
) -> None:
    bad, looked = threading.Event(), []

    def say(asked: str, due: int, answer: Any) -> tuple[int, Any]:
        if path not in asked:
            return due, answer
        looked.append(asked)
        return (status, body) if bad.is_set() and len(looked) < 4 else (due, answer)

    with BulkEndpoint(say=say) as endpoint:
        log.write_text("".join(line(n) for n in range(10)))
        settings = settings_for(log, endpoint.url, ES_DATA_STREAM="on")
        assert ship(settings).indexed == 10
        (settings.home / "shipper" / "position.json").unlink()
        bad.set()
        looked.clear()
        assert ship(settings).there == 10
        assert (endpoint.requests, endpoint.there) == (1, 0), "no line was sent a second time"
        assert len(looked) == 4
        assert path != "_search" or "allow_partial_search_results=false" in looked[0]


@pytest.mark.parametrize(
    "body",
    [
        [],
        "a page",
        {"errors": True, "items": None},
        {"errors": True, "items": [7] * 10},
        {"errors": True, "items": [{"create": {"status": 201}}] * 9},
        {"errors": False, "items": [{"create": {"status": 201}}] * 9},
        {"errors": False},
    ],
)
def test_an_answer_that_is_none_is_asked_again(log: Path, body: object) -> None:
    with BulkEndpoint(
        say=lambda _, status, due: (status, body if endpoint.requests < 3 else due)
    ) as endpoint:
        log.write_text("".join(line(n) for n in range(10)))
        settings = settings_for(log, endpoint.url)
        done = ship(settings)
        assert (done.indexed, done.there, endpoint.requests) == (0, 10, 3)
        assert letters(settings) == []


def test_without_es_url_it_says_what_to_set(log: Path) -> None:
    with pytest.raises(SettingsError, match="ES_URL is not set: set it to"):
        ship(Settings(LOG_PATH=str(log), HORIZON_HOME=str(log.parent)))


def test_waits_double_and_end() -> None:
    waits = [rules.wait_s(attempt, 0) for attempt in range(1, 30)]
    assert waits == sorted(waits)
    assert waits[-1] == rules.WAIT_LONGEST_S
