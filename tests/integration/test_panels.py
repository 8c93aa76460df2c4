"""Every panel's search on a real server shows what its SQL gives on the tables."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from horizon import clock
from horizon.delivery.feedback import record_feedback
from horizon.errors import HorizonError, TransportError, UsageError
from horizon.log import LineFile, log_to
from horizon.observe.kibana.panels import PANELS
from horizon.observe.shipper.run import Shipper
from horizon.pipeline import stages
from horizon.pipeline.intake import ingest_file
from horizon.postgres.database import Role
from tests.panel_bars import VERSIONS, drawn, same_bars
from tests.panel_bars import wanted as wanted_bars
from tests.panel_rows import same, searched, tabled
from tests.search_server import SearchServer
from tests.servers.smtp_recorder import SmtpRecorder
from tests.world import DAY, World

pytestmark = pytest.mark.slow


def check(server: SearchServer, world: World) -> dict[str, int]:
    """The number of each panel's rows."""
    settings = world.horizon.settings.changed(ES_URL=server.url)
    Shipper(settings, once=True, stop=threading.Event()).run()
    server.ask("POST", "/cdp_events/_refresh")
    counted = {}
    for panel in PANELS:
        answer = server.search("cdp_events", panel.body)
        found = searched(panel, answer)
        with world.horizon.database.transaction(Role.READER) as tx:
            wanted = tabled(panel, tx)
        assert same(panel, found, wanted), f"{panel.name}: {found} on the server, {wanted} in SQL"
        for version in VERSIONS:
            bars = drawn(panel, answer, version)
            assert same_bars(bars, wanted_bars(panel, wanted)), f"{panel.name}: {bars}"
        counted[panel.name] = len(found)
    return counted


SCRIPT = [
    {"at": "rcpt", "match": "bob@", "answer": "550 5.1.1 no such user"},
    {"at": "rcpt", "match": "carl@", "answer": "550 5.7.1 not you"},
    {"at": "content", "match": "emma@", "action": "close", "record": True},
]

MAPPING = """
format = "csv"
user_id_column = "who"
time_column = "when"
time_format = "%Y-%m-%d"
time_zone = "UTC"
event = "Order Completed"
"""


def test_the_panels_show_what_the_tables_have(
    search_server: SearchServer, world: World, tmp_path: Path
) -> None:
    """All that can happen to a run and to a mail, and another database in the same log."""
    with SmtpRecorder(tmp_path, SCRIPT) as recorder:
        settings = world.horizon.settings.changed(SMTP_HOST="127.0.0.1", SMTP_PORT=recorder.port)
        world = World(replace(world.horizon, settings=settings))
        _live(world, recorder)
    other = log_to(LineFile(settings.log_path, always={"database": "other"}))
    other.info("score_detail", stage="score", histogram=[7] * 20, top=[])
    other.info("alert", stage="alert", created=100, skipped=100, duration_s=99.0, lag_s=99.0)
    other.info("email", stage="email", campaign_id="miss_you", sent=9, skipped=9, failed=9)
    counted = check(search_server, world)
    assert min(counted.values()) > 0, "each of them shows something"
    rows = {
        panel.name: searched(panel, search_server.search("cdp_events", panel.body))
        for panel in PANELS
    }
    assert rows["mails"] == [
        {"campaign": "good_activity", "sent": 1, "skipped": 0, "failed": 0, "unknown": 0},
        {"campaign": "miss_you", "sent": 3, "skipped": 1, "failed": 2, "unknown": 1},
    ]
    assert [(row["created"], row["skipped"]) for row in rows["alerts"]] == [(0, 7), (7, 0)]
    assert {row["stage"]: row["errors"] for row in rows["stage_errors"]} == {
        "alert": 1, "campaign": 1, "email": 1,
    }  # fmt: skip
    assert "@" not in str(rows["top_users"])


def _live(world: World, recorder: SmtpRecorder) -> None:
    """Two runs of the pipeline, each with its mishap."""
    for user in ("ann", "bob", "carl", "dora", "emma"):
        world.person(user, 13 * DAY)
    world.person("olaf@example.com", 12 * DAY, email="olaf@example.com")
    world.person("nora", 13 * DAY, consent=None)
    world.person("adam", DAY)
    recorder.stop()
    with pytest.raises(TransportError):
        stages.run_all(world.horizon, world.now)
    recorder.restart()
    time.sleep(1.1)  # "the newest score" is by the second
    world.put(world.track("adam", timedelta(hours=1)))
    world.rows(
        "UPDATE campaigns SET template = 'nowhere' WHERE campaign = 'confirm_consent' RETURNING 1"
    )
    with pytest.raises(HorizonError, match="confirm_consent"):
        stages.run_all(world.horizon, world.now)
    with pytest.raises(UsageError):  # the scores are of later
        world.runner.run(stages.alert_stage(world.horizon.settings), world.now - DAY)
    (dora,) = world.rows("SELECT message_id FROM messages WHERE to_addr LIKE 'dora@%'")
    with world.horizon.database.transaction(Role.WORKER) as tx:
        assert record_feedback(tx, dora.message_id, "bounced", clock.now()) == "recorded"
    bought, mapping = recorder.path.with_name("bought.csv"), recorder.path.with_name("shop.toml")
    bought.write_text("who,when\ngina,2026-06-01\nhugo,2026-06-02\n")
    mapping.write_text(MAPPING)
    ingest_file(world.horizon, str(bought), str(mapping))
