"""/metrics, /healthz and /readyz, of real tables and real processes."""

from __future__ import annotations

import http.client
import json
import re
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from prometheus_client.parser import text_string_to_metric_families as parse_older

from horizon import clock
from horizon.counters import families
from horizon.errors import HorizonError, PortInUseError, SettingsError
from horizon.events import sources
from horizon.observe.metrics import exposition, place, refresh, shipper
from horizon.observe.metrics.figures import QUICK, SLOW
from horizon.observe.metrics.gauges import Gauge
from horizon.observe.metrics.refresh import Group, Tables
from horizon.observe.metrics.server import listen
from horizon.pipeline import stages
from horizon.postgres.database import Database, Role
from horizon.settings import Settings
from tests.parts import system_program
from tests.servers.collector import Collector
from tests.servers.smtp_recorder import SmtpRecorder
from tests.world import DAY, World

RULES = Path(__file__).parents[2] / "deploy" / "prometheus"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
Figures = dict[tuple[str, frozenset[tuple[str, str]]], float]


class Port:
    def __init__(self, settings: Settings) -> None:
        self.server = listen(settings, "127.0.0.1", 0)
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))

    def ask(self, path: str, accept: str = "*/*") -> tuple[int, str, str]:
        connection = http.client.HTTPConnection(
            "127.0.0.1", self.server.server_address[1], timeout=20
        )
        try:
            connection.request("GET", path, headers={"Accept": accept})
            answer = connection.getresponse()
            return answer.status, str(answer.getheader("content-type")), answer.read().decode()
        finally:
            connection.close()

    def figures(self) -> Figures:
        """Parsed by the client library's strict parser: by name and labels."""
        status, kind, text = self.ask("/metrics")
        assert (status, kind) == (200, OPENMETRICS)
        assert text.endswith("# EOF\n")
        return {
            (one.name, frozenset(one.labels.items())): one.value
            for family in text_string_to_metric_families(text)
            for one in family.samples
        }


@contextmanager
def serving(settings: Settings) -> Iterator[Port]:
    port = Port(settings)
    port.thread.start()
    try:
        yield port
    finally:
        port.server.shutdown()
        port.server.server_close()
        port.thread.join()


def value(figures: Figures, name: str, **labels: str) -> float:
    return figures[name, frozenset(labels.items())]


@pytest.fixture
def busy(world: World, tmp_path: Path) -> World:
    """Two were written to, one bounced, one said no; another campaign has its people waiting."""
    world.now = clock.now() - timedelta(minutes=1)
    for name in ("ann", "bob", "bad"):
        world.person(name, 13 * DAY)
    world.person("sue", 13 * DAY, consent=False)
    rules = [{"at": "rcpt", "match": "bad@", "answer": "550 5.1.1 no such user"}]
    with SmtpRecorder(tmp_path, rules) as recorder:
        settings = world.horizon.settings.changed(SMTP_HOST="127.0.0.1", SMTP_PORT=recorder.port)
        world.horizon = replace(world.horizon, settings=settings, role="worker")
        stages.run_all(world.horizon)
    return world


def test_the_figures_are_the_tables(busy: World) -> None:
    with serving(busy.horizon.settings) as port:
        figures = port.figures()
    for row in busy.rows("SELECT campaign, status, count(*)::int AS n FROM messages GROUP BY 1, 2"):
        labels = {"campaign": row.campaign, "status": row.status}
        assert value(figures, "horizon_messages", **labels) == row.n
    assert value(figures, "horizon_messages", campaign="miss_you", status="sent") == 2
    assert value(figures, "horizon_messages", campaign="miss_you", status="bounced") == 1
    assert value(figures, "horizon_suppressions", reason="hard_bounce") == 1
    assert value(figures, "horizon_sends_total", channel="email", result="sent") == 2
    assert value(figures, "horizon_sends_total", channel="email", result="refused") == 1
    assert value(figures, "horizon_send_duration_seconds_count", channel="email") == 3
    assert value(figures, "horizon_provider_connects_total", channel="email", result="done") >= 1
    assert value(figures, "horizon_provider_connections", channel="email") == 0
    assert value(figures, "horizon_stage_runs_total", stage="score", result="done") == 1
    assert value(figures, "horizon_stage_duration_seconds_count", stage="score") == 1
    assert value(figures, "horizon_stage_last_run_unfinished", stage="score") == 0
    assert value(figures, "horizon_processes", role="worker") == 1
    assert value(figures, "horizon_processes", role="collector") == 0
    assert value(figures, "horizon_database_up") == 1
    assert value(figures, "horizon_database_server_sessions") >= 1
    (run,) = busy.rows("SELECT started_at FROM runs WHERE stage = 'score'")
    told = value(figures, "horizon_stage_last_success_timestamp_seconds", stage="score")
    assert told == pytest.approx(run.started_at.timestamp(), abs=0.001)


def test_the_outbox_by_state_and_how_long_it_has_waited(busy: World) -> None:
    for name in ("cam", "dan", "eve", "fay", "gil"):
        busy.person(name, 13 * DAY)
    stages.score(busy.horizon)
    busy.runner.run(stages.alert_stage(busy.horizon.settings))
    stages.plan_campaign(busy.horizon, "miss_you")
    now = clock.now()
    set_ = [
        ("due_at = 'infinity'",), ("due_at = %s", now + timedelta(hours=1)),
        ("due_at = %s", now - timedelta(hours=2)), ("state = 'claimed', due_at = %s", now + DAY),
        ("state = 'sending', due_at = %s", now + DAY),
    ]  # fmt: skip
    with busy.horizon.database.transaction(Role.OWNER) as tx:
        ids = [row.message_id for row in tx.execute("SELECT message_id FROM outbox").fetchall()]
        assert len(ids) == 5
        for message_id, (text, *values) in zip(ids, set_, strict=True):
            query = f"UPDATE outbox SET {text} WHERE message_id = %s"
            tx.execute(query.encode(), [*values, message_id])
    with serving(busy.horizon.settings) as port:
        figures = port.figures()
    for state in ("planned", "due", "claimed", "sending", "held"):
        found = value(figures, "horizon_outbox_messages", campaign="miss_you", state=state)
        assert found == 1, state
    waited = value(figures, "horizon_outbox_oldest_due_seconds", campaign="miss_you")
    assert 7200 <= waited < 7260


def test_the_watermark_s_lag_in_events_and_seconds(busy: World) -> None:
    late = clock.now() - timedelta(minutes=5)
    busy.put(busy.track("ann", DAY), busy.track("bob", DAY), received_at=late)
    with serving(busy.horizon.settings) as port:
        figures = port.figures()
    # What Horizon wrote when it sent is unread too: two sent, one bounced.
    assert value(figures, "horizon_watermark_lag_events", stage="identity") == 5
    assert 300 <= value(figures, "horizon_watermark_lag_seconds", stage="identity") < 360
    busy.horizon.runner.run(stages.identity_stage(busy.horizon.keys, busy.horizon.settings))
    with serving(busy.horizon.settings) as port:
        figures = port.figures()
    assert value(figures, "horizon_watermark_lag_events", stage="identity") == 0
    assert value(figures, "horizon_watermark_lag_seconds", stage="identity") == 0


def test_a_collector_counts_and_a_kill_takes_back_nothing(settings: Settings, world: World) -> None:
    with world.horizon.database.transaction(Role.WORKER) as tx:
        key = sources.add_source(tx, "shop", "server")
    good = {"type": "track", "userId": "ann", "event": "x", "messageId": "1"}
    with serving(settings) as port:
        with Collector(settings) as collector:
            for _ in range(2):
                assert (
                    collector.post("/v1/batch", {"batch": [good, {"type": "nonsense"}]}, key).status
                    == 200
                )
            assert collector.post("/v1/batch", {"batch": []}, "wrong").status == 401
            assert collector.ask("GET", "/nobody/ann@example.com").status == 404
            assert collector.ask("GET", f"/v1/projects/{key}/settings").status == 403
            assert collector.ask("GET", f"/analytics.js/v1/{key}/analytics.min.js").status == 200
            time.sleep(0.5)
            figures = port.figures()
            assert value(figures, "horizon_processes", role="collector") == 1
            assert value(figures, "horizon_collector_waiting_events") >= 0
            collector.end(9)
        for _ in range(2):
            assert value(figures, "horizon_events_total", result="accepted") == 1
            assert value(figures, "horizon_events_total", result="duplicate") == 1
            assert value(figures, "horizon_events_total", result="rejected") == 2
            assert value(figures, "horizon_commits_total", result="done") == 2
            assert value(figures, "horizon_commit_duration_seconds_count") == 2
            assert value(figures, "horizon_commit_events_sum") == 2
            assert value(figures, "horizon_http_requests_total", route="events", status="200") == 2
            assert value(figures, "horizon_http_requests_total", route="events", status="401") == 1
            assert value(figures, "horizon_http_requests_total", route="other", status="404") == 1
            for route, status in (("settings", "403"), ("bundle", "200")):
                labels = {"route": route, "status": status}
                assert value(figures, "horizon_http_requests_total", **labels) == 1
            count = value(figures, "horizon_http_request_duration_seconds_count", route="events")
            assert count == 3
            figures = port.figures()
        assert value(figures, "horizon_processes", role="collector") == 0
        with Collector(settings) as collector:  # goes on where the killed one stopped
            collector.post("/v1/batch", {"batch": [{**good, "messageId": "2"}]}, key)
        assert value(port.figures(), "horizon_events_total", result="accepted") == 2


def test_no_label_is_a_person_a_domain_or_an_address(busy: World) -> None:
    known = {"role", "stage", "campaign", "state", "status", "reason", "channel", "result", "route",
             "place", "group", "version", "le"}  # fmt: skip
    with serving(busy.horizon.settings) as port:
        figures = port.figures()
    assert {label for _, labels in figures for label, _ in labels} <= known
    assert not [key for key in figures if "@" in str(key) or "example.com" in str(key)]


def test_who_asks_for_plain_text_gets_it(settings: Settings, world: World) -> None:
    with serving(settings) as port:
        _, kind, text = port.ask("/metrics", "text/plain; version=0.0.4")
        assert kind.startswith("text/plain; version=0.0.4")
        assert "# EOF" not in text
        assert list(parse_older(text))
        wanted = f"{OPENMETRICS};q=0.6,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
        assert port.ask("/metrics", wanted)[1] == OPENMETRICS
        assert port.ask("/elsewhere")[0] == 404
        assert port.ask("/healthz") == (200, "application/json", '{"status": "ok"}\n')


def _ready(port: Port) -> tuple[int, list[str]]:
    status, _, text = port.ask("/readyz")
    return status, json.loads(text)["reasons"]


def test_ready_says_what_is_missing(settings: Settings, world: World) -> None:
    with serving(settings) as port:
        assert _ready(port) == (
            503,
            ["no stage has run yet: wait for the first, or see `horizon status`"],
        )
    stages.run_all(world.horizon)
    with serving(settings) as port:
        assert _ready(port) == (200, [])
    with world.horizon.database.transaction(Role.OWNER) as tx:
        tx.execute(
            "UPDATE runs SET started_at = started_at - interval '10 minutes' WHERE stage = 'score'"
        )
    with serving(settings) as port:
        status, (reason,) = _ready(port)
    assert status == 503
    assert re.fullmatch(r"stage score last succeeded 60\d s ago: see `horizon status`", reason)


def test_without_a_database_the_rest_is_told(settings: Settings, free_port: object) -> None:
    away = settings.changed(PG_DSN="postgresql://nobody@127.0.0.1:1/none")
    with serving(away) as port:
        figures = port.figures()
        assert value(figures, "horizon_database_up") == 0
        assert value(figures, "horizon_disk_free_bytes", place="home") > 0
        assert not [name for name, _ in figures if name.startswith("horizon_messages")]
        assert _ready(port) == (503, ["the database does not answer: see `horizon doctor`"])


def test_what_is_dear_is_read_seldom(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """What took 50 ms is read again after 2.5 s, so that it takes 2 % of a core at most."""
    reads = []

    def slowly(*_: object) -> list[object]:
        reads.append(time.monotonic())
        time.sleep(0.05)
        return []

    monkeypatch.setattr(refresh, "read_figures", slowly)
    dear = Group("slow", Tables(database, SLOW, timeout_s=5), every_s=0.1)
    ended = time.monotonic() + 1
    while time.monotonic() < ended:
        dear.samples(1)
    assert len(reads) == 1
    assert dear._next_s - reads[0] > 2.4
    monkeypatch.setattr(refresh, "read_figures", lambda *_: reads.append(0.0) or [])
    cheap = Group("quick", Tables(database, QUICK, timeout_s=5), every_s=0.1)
    ended = time.monotonic() + 3
    while len(reads) < 3 and time.monotonic() < ended:
        cheap.samples(1)
    assert len(reads) >= 3


def test_the_shipper_s_lag(settings: Settings, world: World) -> None:
    stages.run_all(world.horizon)
    written = settings.log_path.read_bytes()
    with serving(settings) as port:
        assert not [name for name, _ in port.figures() if "shipper" in name]
    with serving(settings.changed(ES_URL="http://127.0.0.1:1")) as port:
        figures = port.figures()
    assert value(figures, "horizon_shipper_lag_bytes") == len(written)
    assert value(figures, "horizon_shipper_lag_lines") == written.count(b"\n")
    assert 0 <= value(figures, "horizon_shipper_lag_seconds") < 60
    assert value(figures, "horizon_shipper_running") == 0


def test_who_scrapes_does_not_wait_for_a_slow_database(busy: World) -> None:
    with (
        busy.horizon.database.transaction(Role.OWNER) as tx,
        serving(busy.horizon.settings) as port,
    ):
        tx.execute("LOCK TABLE messages IN ACCESS EXCLUSIVE MODE")
        began = time.monotonic()
        figures = port.figures()
        assert time.monotonic() - began < 5
        assert value(figures, "horizon_database_up") == 1
        assert not [name for name, _ in figures if name == "horizon_messages"]


def test_a_port_that_is_taken_or_shared_is_told(settings: Settings) -> None:
    with serving(settings) as port:
        taken = int(port.server.server_address[1])
        with pytest.raises(PortInUseError, match="set METRICS_PORT to a free port"):
            listen(settings, "127.0.0.1", taken)
    with pytest.raises(HorizonError, match="set METRICS_HOST to an address of this machine"):
        listen(settings, "192.0.2.1", 0)
    with pytest.raises(SettingsError, match=r"METRICS_PORT and COLLECTOR_PORT are both 8100"):
        settings.changed(METRICS_PORT=8100, COLLECTOR_PORT=8100)


def test_the_rules_name_metrics_that_there_are() -> None:
    known = {figure.gauge.name for figure in (*QUICK, *SLOW)}
    known |= {gauge.name for gauge in _gauges()}
    for family in families.FAMILIES:
        known |= {family.name, f"{family.name}_total", f"{family.name}_bucket"}
    text = (RULES / "rules.yml").read_text()
    for name in re.findall(r"\bhorizon_\w+", text):
        assert name in known, name


def _gauges() -> Iterator[Gauge]:
    for module in (exposition, place, refresh, shipper):
        yield from (one for one in vars(module).values() if isinstance(one, Gauge))


def test_every_alert_says_what_to_do() -> None:
    alerts = (RULES / "rules.yml").read_text().split("- alert: ")[1:]
    assert len(alerts) > 15
    tested = (RULES / "rules_test.yml").read_text()
    for alert in alerts:
        name = alert.split()[0]
        assert "          action: " in alert, name
        assert "severity: " in alert, name
        assert tested.count(f"alertname: {name}") == 2, name  # silent once, and fired once


@pytest.mark.slow
def test_promtool_agrees(busy: World) -> None:
    promtool = system_program(["promtool"], "prometheus")
    with serving(busy.horizon.settings) as port:
        _, _, text = port.ask("/metrics", "text/plain")
    for words, given in (
        (["check", "metrics"], text),
        (["check", "rules", "rules.yml"], ""),
        (["test", "rules", "rules_test.yml"], ""),
    ):
        done = subprocess.run(
            [promtool, *words], cwd=RULES, input=given, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert not done.stderr, done.stderr
