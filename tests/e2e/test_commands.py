"""What a person types, and what a person can get wrong: one sentence that says what to do."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from horizon.settings import Settings
from tests.e2e.horizon_command import Command
from tests.world import DAY, World


@pytest.fixture
def command(tmp_path: Path, settings: Settings) -> Command:
    return Command(tmp_path, settings)


def _refused(done: object, *words: str, code: int) -> None:
    assert done.returncode == code, done.stderr  # type: ignore[attr-defined]
    said = done.stderr.strip()  # type: ignore[attr-defined]
    assert said.startswith("horizon: ")
    assert "Traceback" not in said
    assert said.count("\n") == 0
    for word in words:
        assert word in said


def test_a_database_that_is_not_there(command: Command, free_port: Callable[[], int]) -> None:
    dsn = f"postgresql://nobody:hidden@127.0.0.1:{free_port()}/none"
    done = command("score", PG_DSN=dsn)
    _refused(done, "PG_DSN", code=1)
    assert "hidden" not in done.stderr


def test_a_dsn_that_is_none(command: Command) -> None:
    _refused(command("score", PG_DSN="postgres//x y z"), "PG_DSN", "postgresql://", code=1)


@pytest.mark.parametrize(
    ("name", "value"),
    [("WINDOW_DAYS", "soon"), ("SCORE_HIGH", "7"), ("COLLECTOR_PORT", "99999"), ("ENGINE", "abacus"),
     ("PUBLIC_URL", "shop.example"), ("SMTP_PORT", "")],
)  # fmt: skip
def test_a_malformed_setting_is_named(command: Command, name: str, value: str) -> None:
    _refused(command("status", **{name: value}), name, code=2)


def test_an_unknown_setting_is_named(command: Command) -> None:
    (command.folder / "horizon.toml").write_text("WINDOW_DAYS = 7\nWINDOW_DAY = 7\n")
    _refused(command("status"), "WINDOW_DAY", code=2)


def test_a_mapping_that_cannot_be_read(command: Command, tmp_path: Path) -> None:
    (tmp_path / "m.toml").write_text("format = [")
    (tmp_path / "f.csv").write_text("a,b\n1,2\n")
    _refused(command("ingest", "f.csv", "--mapping", "m.toml"), "m.toml", code=2)
    _refused(command("ingest", "f.csv", "--mapping", "nowhere.toml"), "nowhere.toml", code=2)
    _refused(command("ingest", "nowhere.csv", "--mapping", "cdnow"), "nowhere.csv", code=2)


def test_a_time_that_is_none(command: Command) -> None:
    done = command("score", "--now", "yesterday")
    assert done.returncode == 2
    assert "1998-06-30" in done.stderr


def test_a_mail_server_that_refuses(
    command: Command, world: World, free_port: Callable[[], int]
) -> None:
    world.person("ann", 13 * DAY)
    world.score()
    world.alert()
    world.plan()
    done = command("send", SMTP_HOST="127.0.0.1", SMTP_PORT=str(free_port()))
    _refused(done, "SMTP_HOST", "1 message waits", code=1)
    assert [row.status for row in world.rows("SELECT status FROM messages")] == ["planned"]


def test_a_second_up_on_the_same_home(command: Command) -> None:
    with command.up() as first:
        _refused(command("up"), f"process {first.pid}", "HORIZON_HOME", code=1)


@pytest.mark.parametrize(
    "name",
    ["COLLECTOR_PORT", *(pytest.param(f"CATCHER_{which}_PORT", marks=pytest.mark.slow)
                         for which in ("SMTP", "PAGE"))],
)  # fmt: skip
def test_a_port_in_use(command: Command, name: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        _refused(command("up", **{name: port}), port, name, code=1)


def test_up_takes_events_and_ends_on_ctrl_c(command: Command, world: World) -> None:
    import base64
    import urllib.request

    added = command("source", "add", "shop")
    key = added.stdout.split(": ")[1].split()[0]
    body = json.dumps({"batch": [world.track("ann", DAY)]}).encode()
    with command.up() as process:
        request = urllib.request.Request(
            f"http://127.0.0.1:{command.environment['COLLECTOR_PORT']}/v1/batch", body,
            {"Authorization": "Basic " + base64.b64encode(f"{key}:".encode()).decode()},
        )  # fmt: skip
        with urllib.request.urlopen(request, timeout=10) as answer:
            assert json.load(answer) == {"success": True, "rejected": []}
    assert process.returncode == 0
    assert len(world.rows("SELECT FROM events WHERE user_id = 'ann'")) == 1


def test_psql_and_dsn_answer(command: Command, world: World) -> None:
    world.put(world.track("ann", 7 * DAY))
    world.score()
    query = "SELECT user_id, score FROM current_scores ORDER BY score DESC LIMIT 5"
    done = command("psql", "-At", "-c", query)
    assert done.stdout == "ann|0.5\n", done.stderr
    assert command("dsn").stdout.strip() == world.horizon.settings.PG_DSN


def test_the_day_by_hand(command: Command, world: World) -> None:
    """Score, alert, plan and send one after the other, as somebody tries it out."""
    world.person("ann", 13 * DAY)
    now = world.now.isoformat()
    assert "1 high" in command("score", "--now", now).stdout
    assert "1 alert created" in command("alert", "--now", now).stdout
    assert (
        "0 alerts created, 1 skipped" in command("alert", "--now", now, "--threshold", "0.5").stdout
    )
    done = command("campaign", "run", "nobody")
    _refused(done, "good_activity, miss_you", code=2)
    listed = json.loads(command("message", "list", "--json").stdout)
    assert listed == []
    assert json.loads(command("status", "--json").stdout)[0]["messages"] == []


def test_help_groups_commands_by_what_one_wants(command: Command) -> None:
    shown = command("--help").stdout
    for panel in (
        "Start, stop, look",
        "Bring events in",
        "Score, alert, write to people",
        "Keep the data",
    ):
        assert panel in shown


def test_a_command_that_does_not_exist_is_wrong_use(command: Command) -> None:
    assert command("scroe").returncode == 2


def test_a_list_shows_whole_ids_and_names_a_typo(command: Command, world: World) -> None:
    world.person("ann", 13 * DAY)
    world.score()
    world.alert()
    world.plan()
    (row,) = world.rows("SELECT message_id FROM messages")
    listed = command("message", "list").stdout.splitlines()
    assert len(listed) == 2
    assert str(row.message_id) in listed[1]
    assert "ann@example.com" in listed[1]
    assert command("message", "list", "--status", "unknown").stdout == "No message is unknown.\n"
    assert command("message", "list", "--status", "snet").returncode == 2


def test_a_database_of_that_name_is_not_made_by_looking(command: Command, world: World) -> None:
    for words in (("status",), ("dsn",), ("score",), ("message", "list")):
        _refused(command(*words, "--database", "typo"), "typo", "horizon init", code=1)
    assert world.rows("SELECT FROM pg_database WHERE datname = 'typo'") == []


def test_other_keys_than_the_database_s_are_refused(
    command: Command, world: World, tmp_path: Path
) -> None:
    assert command("status").returncode == 0
    _refused(command("status", HORIZON_HOME=str(tmp_path / "elsewhere")), "HORIZON_HOME", code=1)


def test_a_backup_is_for_its_owner_alone_and_overwrites_nothing(
    command: Command, tmp_path: Path
) -> None:
    assert command("backup", "kept").returncode == 0
    assert (tmp_path / "kept").stat().st_mode & 0o077 == 0
    _refused(command("backup", "kept"), "kept", "another file", code=2)


def test_the_same_file_is_known_under_another_mapping(command: Command, tmp_path: Path) -> None:
    mapping = 'format = "csv"\nuser_id_column = "who"\ntime_column = "at"\ntime_format = "%Y-%m-%d"\ntime_zone = "UTC"\nevent = "Bought"\n'
    (tmp_path / "a.toml").write_text(mapping)
    (tmp_path / "b.toml").write_text(mapping.replace("Bought", "Paid"))
    (tmp_path / "f.csv").write_text("who,at\nann,2026-01-02\n")
    assert "1 new event," in command("ingest", "f.csv", "--mapping", "a.toml").stdout
    assert "0 new events, 1 known" in command("ingest", "f.csv", "--mapping", "b.toml").stdout


def test_alerts_of_a_rehearsed_future_are_not_raised_today(command: Command, world: World) -> None:
    world.put(world.track("ann", 7 * DAY))
    command("score", "--now", "2999-01-01")
    _refused(command("alert"), "2999-01-01", "horizon score", code=2)
