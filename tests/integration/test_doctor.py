"""`horizon doctor`: each check in a state where it fails, and the sentence that it says then."""

from __future__ import annotations

import http.server
import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from horizon import clock
from horizon.doctor import configuration, database, folders, listeners, mail, names, ports, search
from horizon.doctor.clocks import compare
from horizon.doctor.examine import CHECKS, examine, run_checks
from horizon.doctor.finding import Case, Finding, Verdict, ok
from horizon.events.secrets import new_secret
from horizon.events.sources import add_source, find_source
from horizon.observe.lineage.queue import queue_of
from horizon.pipeline import processes
from horizon.pipeline.installation import Installation
from horizon.pipeline.runner import Stage
from horizon.postgres.database import Database, Role, closing_connection
from horizon.settings import Settings
from horizon.stage import StageResult
from tests.e2e.horizon_command import Command
from tests.parts import certificate
from tests.search_server import SearchServer
from tests.servers.dns import DnsServer, Say
from tests.servers.http_recorder import HttpRecorder, answer
from tests.servers.smtp_recorder import SmtpRecorder

SECRET = "s3cret-7"


@pytest.fixture
def case(home: Path, tmp_path: Path, free_port: Callable[[], int]) -> Case:
    """An installation without a database, which most checks do not ask."""
    names = ("COLLECTOR_PORT", "API_PORT", "METRICS_PORT", "CATCHER_SMTP_PORT", "CATCHER_PAGE_PORT")
    values: dict[str, object] = {name: free_port() for name in names}
    places = {"HORIZON_HOME": str(home), "LOG_PATH": str(tmp_path / "logs" / "cdp_events.log")}
    return Case(Settings().changed(**values, **places), clock.now(), {}, tmp_path)


@pytest.fixture
def stored(settings: Settings, tmp_path: Path) -> Case:
    """One with a database."""
    return Case(settings, clock.now(), {}, tmp_path)


def changed(case: Case, **values: object) -> Case:
    return Case(case.settings.changed(**values), case.clock, case.environ, case.folder)


def bad(findings: Iterator[Finding] | list[Finding]) -> list[Finding]:
    found = list(findings)
    for one in found:
        assert SECRET not in one.found + one.todo
        assert (one.verdict == Verdict.OK) == (not one.todo), one
        assert not one.todo or one.todo[0].isupper(), one
    return [one for one in found if one.verdict != Verdict.OK]


def says(
    findings: Iterator[Finding] | list[Finding], verdict: Verdict, found: str, todo: str
) -> None:
    hits = [one for one in bad(findings) if found in one.found]
    assert len(hits) == 1, hits
    assert hits[0].verdict == verdict
    assert todo in hits[0].todo


PROBLEM, WARNING = Verdict.PROBLEM, Verdict.WARNING


# settings


def test_a_laptop_s_settings_are_well(case: Case) -> None:
    assert bad(configuration.check_settings(case)) == []


@pytest.mark.parametrize(
    ("values", "verdict", "found", "todo"),
    [
        ({"LISTEN_HOST": "0.0.0.0"}, PROBLEM, "PUBLIC_URL is not set", "Set PUBLIC_URL"),
        ({"PUBLIC_URL": "http://shop.example"}, WARNING, "in the clear", "Set PUBLIC_URL to an https://"),
        ({"METRICS_HOST": "0.0.0.0"}, WARNING, "/metrics asks for no password", "METRICS_HOST to 127.0.0.1"),
        ({"SMTP_HOST": "mx.example"}, PROBLEM, "the example's postal address", "Set POSTAL_ADDRESS"),
        ({"SMTP_HOST": "mx.example"}, PROBLEM, "nobody can unsubscribe", "Set TRACKING_URL"),
        ({"SMTP_HOST": "mx.example"}, WARNING, "speak for the example shop", "Set MAIL_FROM, BRAND"),
        ({"SMTP_HOST": "mx.example", "PUBLIC_URL": "http://a.example"}, WARNING, "one-click", "https://"),
    ],
)  # fmt: skip
def test_settings_that_are_wrong_together(
    case: Case, values: dict[str, str], verdict: Verdict, found: str, todo: str
) -> None:
    says(configuration.check_settings(changed(case, **values)), verdict, found, todo)


def test_a_setting_that_is_nearly_one(case: Case) -> None:
    case = Case(case.settings, case.clock, {"SMTP_PASWORD": SECRET, "HOME": "/x", "PATH": "/y"})
    says(configuration.check_settings(case), WARNING, "SMTP_PASWORD", "Write SMTP_PASSWORD")
    assert len(bad(configuration.check_settings(case))) == 1


def test_a_secret_s_file_that_others_read(case: Case, tmp_path: Path) -> None:
    secret = tmp_path / "smtp"
    secret.write_text(SECRET)
    secret.chmod(0o644)
    case = Case(case.settings, case.clock, {"SMTP_PASSWORD_FILE": str(secret)}, tmp_path)
    says(
        configuration.check_settings(case),
        WARNING,
        "other accounts can read it",
        f"chmod 600 {secret}",
    )
    secret.chmod(0o600)
    assert bad(configuration.check_settings(case)) == []
    (tmp_path / "horizon.toml").write_text(f'SMTP_PASSWORD = "{SECRET}"')
    (tmp_path / "horizon.toml").chmod(0o644)
    says(configuration.check_settings(case), WARNING, "horizon.toml holds a secret", "chmod 600")


def test_settings_that_cannot_be_read_are_the_one_finding(tmp_path: Path) -> None:
    (found,) = examine({"SMTP_PORT": "many"}, tmp_path)
    assert (found.verdict, found.part) == (PROBLEM, "settings")
    assert found.found == "SMTP_PORT is 'many'."
    assert found.todo == "It should be a port from 1 to 65535."


# folders


def test_a_home_and_a_log_that_are_well(case: Case) -> None:
    assert bad(folders.check_folders(case)) == []


def test_a_folder_that_is_a_file(case: Case, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    told = folders.check_folders(changed(case, LOG_PATH=str(tmp_path / "file" / "log")))
    says(told, PROBLEM, f"{tmp_path / 'file'} is no folder", "set LOG_PATH")


def test_a_read_only_folder(case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shut = tmp_path / "shut"
    shut.mkdir(mode=0o500)
    if os.geteuid() == 0:  # whom no mode stops: ask as somebody else would
        mode = lambda path, wanted: bool(Path(path).stat().st_mode >> 6 & wanted == wanted)  # noqa: E731
        monkeypatch.setattr(os, "access", mode)
    told = list(folders.check_folders(changed(case, LOG_PATH=str(shut / "cdp_events.log"))))
    says(told, PROBLEM, f"{shut} cannot be written", "set LOG_PATH to a folder of yours")


def test_a_folder_that_takes_no_file_whoever_asks(case: Case) -> None:
    told = list(folders.check_folders(changed(case, LOG_PATH="/proc/nope/cdp_events.log")))
    says(told, PROBLEM, "/proc cannot be written", "set LOG_PATH to a folder of yours")


def test_keys_that_are_missing_damaged_or_open(case: Case) -> None:
    folder = case.settings.home / "keys"
    (folder / "NODE_KEY").chmod(0o644)
    says(folders.check_folders(case), PROBLEM, "other accounts can open", "chmod -R go=")
    (folder / "NODE_KEY").write_text("half")
    says(folders.check_folders(case), PROBLEM, "NODE_KEY", "FILE.keys")
    empty = changed(case, HORIZON_HOME=str(case.settings.home / "new"))
    says(folders.check_folders(empty), WARNING, "is not there yet", "`horizon init`")


def test_a_disk_that_fills(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folders, "WARNING_BYTES", 2**62)
    says(folders.check_folders(case), WARNING, "GB left", "Free some")
    monkeypatch.setattr(folders, "PROBLEM_BYTES", 2**62)
    says(folders.check_folders(case), PROBLEM, "GB left", "Free some")


# clock


@pytest.mark.parametrize(
    ("apart_s", "verdict", "found"),
    [(2, Verdict.OK, "agrees"), (-20, WARNING, "20 s behind"), (90, PROBLEM, "90 s ahead of")],
)
def test_a_clock_that_is_off(apart_s: float, verdict: Verdict, found: str) -> None:
    now = datetime(2026, 6, 15, 12, tzinfo=UTC)
    told = compare("the database's", now, now + timedelta(seconds=apart_s))
    assert (told.verdict, found in told.found) == (verdict, True)


# database


TURNED_OFF = {
    "fsync",
    "full_page_writes",
    "max_wal_size",
    "shared_buffers",
}  # for speed, by the tests' server


def test_a_database_that_is_well_but_for_what_the_tests_turned_off(
    horizon: Installation, stored: Case
) -> None:
    told = list(database.check_database(stored))
    assert [one.verdict for one in told if "migrations are applied" in one.found] == [Verdict.OK]
    assert [one.found for one in told if one.part == "clock"] == ["agrees with the database's"]
    says(
        told, PROBLEM, "fsync is off: an event that was answered 200 may be lost", "Set fsync = on"
    )
    says(told, PROBLEM, "full_page_writes is off", "Set full_page_writes = on")
    says(told, WARNING, "shared_buffers is 128 MB", "at least 256 MB")
    assert len(bad(told)) == len(TURNED_OFF)


@pytest.mark.parametrize(
    ("dsn", "found", "todo"),
    [
        (
            f"postgresql://nobody:{SECRET}@127.0.0.1:1/none",
            "does not answer",
            "Start its server, or set PG_DSN to where it runs",
        ),
        ("postgres//x y z", "PG_DSN cannot be read", "It should look like postgresql://"),
    ],
)
def test_a_database_that_is_not_there(case: Case, dsn: str, found: str, todo: str) -> None:
    says(database.check_database(changed(case, PG_DSN=dsn)), PROBLEM, found, todo)


def test_an_embedded_database_that_is_not_made_yet(case: Case) -> None:
    says(
        database.check_database(changed(case, PG_DSN=None)),
        WARNING,
        "there is none yet",
        "`horizon init`",
    )


def test_a_database_without_our_tables(stored: Case, database_without: str) -> None:
    told = list(database.check_database(changed(stored, PG_DSN=database_without)))
    says(told, PROBLEM, "it is not set up", "Type `horizon init`")


@pytest.fixture
def database_without(database: Database) -> Iterator[str]:
    empty = database.named("without_tables")
    empty.make()
    yield empty.dsn
    empty.drop()


@pytest.mark.parametrize(
    ("spoil", "found", "todo"),
    [
        ("UPDATE migrations SET sha256 = 'x' WHERE name LIKE '0002%'", "0002_events.sql is not the one", "Use the Horizon that made it"),
        ("DELETE FROM migrations WHERE name LIKE '0006%'", "1 migrations are not applied", "`horizon init`"),
        ("UPDATE eras SET system_identifier = '7'", "copied from another server", "`horizon restore --adopt`"),
        ("UPDATE installation SET node_key_check = 'x'", "made with other keys", "FILE.keys"),
    ],
)  # fmt: skip
def test_a_database_that_is_not_this_horizon_s(
    horizon: Installation, stored: Case, spoil: str, found: str, todo: str
) -> None:
    with horizon.database.transaction(Role.OWNER) as tx:
        tx.execute(spoil.encode())
    says(database.check_database(stored), PROBLEM, found, todo)


def test_a_transaction_that_is_open_for_long(
    horizon: Installation, stored: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "LONGEST_S", 0.2)
    with closing_connection(horizon.database.connect(Role.WORKER)) as other:
        other.execute("SELECT")
        time.sleep(0.3)
        late = Case(stored.settings, clock.now(), {}, stored.folder)
        told = list(database.check_database(late))
        says(told, WARNING, "(horizon_worker, idle in transaction)", "pg_terminate_backend(")


def test_identities_that_nobody_can_sign(horizon: Installation, stored: Case) -> None:
    with horizon.database.transaction(Role.OWNER) as tx:
        add_source(tx, "shop", "public")
        add_source(tx, "app", "public")
        add_source(tx, "back", "server")
        app = find_source(tx, "app")
        assert app is not None
        now = clock.now()
        new_secret(tx, app.source_id, horizon.keys.link, now=now, old_until=now)
    asked = changed(stored, VERIFIED_ONLY="user_id")
    said = [one.found for one in database.check_database(asked) if "has no secret" in one.found]
    assert len(said) == 1
    assert said[0].startswith("VERIFIED_ONLY names user_id, and source shop has no secret: ")
    assert "has no secret" not in str(list(database.check_database(stored)))


def test_a_clock_that_was_set_back(horizon: Installation, stored: Case) -> None:
    horizon.runner.run(Stage("score", "scorer", lambda *_: StageResult({})))
    with horizon.database.transaction(Role.OWNER) as tx:
        tx.execute("UPDATE runs SET started_at = started_at + interval '1 hour'")
    says(database.check_database(stored), PROBLEM, "the clock was set back", "NTP")


@pytest.mark.parametrize(
    ("name", "value", "verdict", "found"),
    [
        ("fsync", "off", PROBLEM, "fsync is off"),
        ("full_page_writes", "off", PROBLEM, "full_page_writes is off"),
        ("synchronous_commit", "off", PROBLEM, "synchronous_commit is off"),
        ("autovacuum", "off", WARNING, "autovacuum is off"),
        ("shared_buffers", "16384", WARNING, "shared_buffers is 128 MB"),
        ("max_wal_size", "1024", WARNING, "max_wal_size is 1024 MB"),
    ],
)
def test_a_server_s_settings(name: str, value: str, verdict: Verdict, found: str) -> None:
    well = {"fsync": "on", "full_page_writes": "on", "synchronous_commit": "on",
            "autovacuum": "on", "shared_buffers": "131072", "max_wal_size": "4096"}  # fmt: skip
    assert list(database.judge_settings(well)) == []
    says(database.judge_settings({**well, name: value}), verdict, found, "et")


# ports


def test_ports_that_are_free(case: Case) -> None:
    assert bad(ports.check_ports(case)) == []


@pytest.mark.parametrize(
    "name", ["COLLECTOR_PORT", "API_PORT", "METRICS_PORT", "CATCHER_SMTP_PORT", "CATCHER_PAGE_PORT"]
)
def test_a_port_that_another_program_has(case: Case, name: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = changed(case, **{name: other.getsockname()[1]})
        told = ports.check_ports(taken)
        says(told, PROBLEM, "another program listens", f"set {name} to a free port")


def test_another_program_does_not_pass_for_ours(case: Case) -> None:
    with _web_server() as port, processes.only_one(case.settings.home):
        told = list(ports.check_ports(changed(case, COLLECTOR_PORT=port)))
    says(told, PROBLEM, f"what listens on port {port} does not answer as ours", "COLLECTOR_PORT")


class _web_server:  # noqa: N801
    def __enter__(self) -> int:
        self._server = http.server.ThreadingHTTPServer(
            ("127.0.0.1", 0), http.server.BaseHTTPRequestHandler
        )
        threading.Thread(target=self._server.serve_forever, args=(0.01,)).start()
        return int(self._server.server_address[1])

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


def test_a_child_that_does_not_listen(case: Case) -> None:
    with processes.only_one(case.settings.home):
        told = bad(ports.check_ports(case))
    assert len(told) == 5
    assert all("`horizon up` runs, and nobody listens on port" in one.found for one in told)


def test_an_address_that_is_not_ours(case: Case) -> None:
    told = ports.check_ports(changed(case, METRICS_HOST="192.0.2.1"))
    says(told, PROBLEM, "192.0.2.1 is no address to listen on here", "METRICS_HOST")


# mail server


def at(case: Case, port: int, **more: object) -> Case:
    return changed(case, SMTP_HOST="127.0.0.1", SMTP_PORT=port, **{"SMTP_TIMEOUT_S": 10, **more})


def test_a_mail_server_that_lets_us_in(case: Case, tmp_path: Path) -> None:
    with SmtpRecorder(tmp_path, auth=f"shop:{SECRET}") as recorder:
        told = list(mail.check_mail_server(
            at(case, recorder.port, SMTP_USER="shop", SMTP_PASSWORD=SECRET)
        ))  # fmt: skip
        assert recorder.messages() == []
    assert bad(told) == []
    assert f"127.0.0.1:{recorder.port} answers and lets shop in" in told[0].found


def test_a_wrong_password(case: Case, tmp_path: Path) -> None:
    with SmtpRecorder(tmp_path, auth="shop:other") as recorder:
        told = mail.check_mail_server(
            at(case, recorder.port, SMTP_USER="shop", SMTP_PASSWORD=SECRET)
        )
        says(told, PROBLEM, "does not let shop in (535", "Set SMTP_USER and SMTP_PASSWORD")


def test_an_expired_certificate(
    case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expired = certificate(tmp_path / "old", days=-1)
    monkeypatch.setenv("SSL_CERT_FILE", str(expired[0]))
    with SmtpRecorder(tmp_path, starttls=expired) as recorder:
        told = mail.check_mail_server(at(case, recorder.port))
        says(told, PROBLEM, "proves nothing (certificate has expired)", "renew it")


def test_a_certificate_that_soon_ends(
    case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    soon = certificate(tmp_path / "soon", days=5)
    monkeypatch.setenv("SSL_CERT_FILE", str(soon[0]))
    with SmtpRecorder(tmp_path, starttls=soon) as recorder:
        told = list(mail.check_mail_server(at(case, recorder.port)))
    says(told, WARNING, "its certificate ends in ", "renew it")


def test_a_certificate_of_another_name(
    case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = certificate(tmp_path / "other", name="DNS:mx.elsewhere.example")
    monkeypatch.setenv("SSL_CERT_FILE", str(other[0]))
    with SmtpRecorder(tmp_path, starttls=other) as recorder:
        told = mail.check_mail_server(at(case, recorder.port))
        says(told, PROBLEM, "proves nothing (IP address mismatch", "Set SMTP_HOST to the name")


def test_a_mail_server_without_tls_gets_no_password(
    case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mail, "LOOPBACK", frozenset())  # as if it were far away
    with SmtpRecorder(tmp_path, auth=f"shop:{SECRET}") as recorder:
        far = at(case, recorder.port, SMTP_USER="shop", SMTP_PASSWORD=SECRET)
        says(mail.check_mail_server(far), PROBLEM, "a password never travels without", "STARTTLS")


def test_a_mail_server_that_is_not_there(case: Case, free_port: Callable[[], int]) -> None:
    told = mail.check_mail_server(at(case, free_port()))
    says(told, PROBLEM, "does not answer (Connection refused)", "Look at SMTP_HOST and SMTP_PORT")
    nowhere = changed(case, SMTP_HOST="mx.invalid", SMTP_PORT=25)
    says(mail.check_mail_server(nowhere), PROBLEM, "mx.invalid:25 does not answer", "spelling")
    assert bad(mail.check_mail_server(changed(case, CATCHER_SMTP_PORT=free_port()))) == []


def test_a_mail_server_that_hangs_or_hangs_up(case: Case, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        told = mail.check_mail_server(at(case, silent.getsockname()[1], SMTP_TIMEOUT_S=0.5))
        says(told, PROBLEM, "timed out)", "Many networks close port 25")
    with SmtpRecorder(tmp_path, [{"at": "connect", "action": "close"}]) as recorder:
        told = mail.check_mail_server(at(case, recorder.port))
        says(told, PROBLEM, "does not answer", "Look at SMTP_HOST")


class _Bare(threading.Thread):
    """Speaks SMTP and offers nothing."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.socket = socket.create_server(("127.0.0.1", 0))

    def run(self) -> None:
        line, _ = self.socket.accept()
        with line, self.socket:
            line.sendall(b"220 here\r\n")
            for answer in (b"250 here\r\n", b"250 ok\r\n", b"221 bye\r\n"):
                line.recv(1000)
                line.sendall(answer)


def test_what_a_far_mail_server_does_not_offer(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    bare = _Bare()
    bare.start()
    monkeypatch.setattr(Settings, "mails_leave", property(lambda _: True))
    told = list(mail.check_mail_server(at(case, bare.socket.getsockname()[1])))
    says(told, WARNING, "it offers no TLS", "STARTTLS")
    says(
        told, WARNING, "PIPELINING: each message then costs one round trip more", "another provider"
    )
    bare.join(5)


# DNS

GOOD = {
    "shop.example": {"MX": ["10 mx.shop.example."], "TXT": ['"v=spf1 include:mailgun.org " "~all"', '"other"']},
    "_dmarc.shop.example": {"TXT": ['"v=DMARC1; p=quarantine"']},
}  # fmt: skip


def asked(case: Case, zone: dict[str, object], **more: object) -> list[Finding]:
    with DnsServer(zone) as server:  # type: ignore[arg-type]
        values = {"SMTP_HOST": "smtp.mailgun.org", "MAIL_FROM": "Shop <hello@shop.example>",
                  "DNS_SERVERS": server.address, **more}  # fmt: skip
        return list(names.check_names(changed(case, **values)))


def test_a_domain_that_is_well(case: Case) -> None:
    told = asked(case, GOOD)
    assert bad(told) == []
    assert any("selector that only a sent mail tells" in one.found for one in told)
    # A subdomain is under its parent's DMARC.
    below = {**GOOD, "mail.shop.example": GOOD["shop.example"]}
    assert bad(asked(case, below, MAIL_FROM="a@mail.shop.example")) == []


@pytest.mark.parametrize(
    ("records", "rules", "verdict", "found", "todo"),
    [
        ({"TXT": ['"v=spf1 include:mailgun.org ~all"']}, None, PROBLEM, "has no MX", "Publish an MX"),
        ({"MX": ["0 ."]}, None, PROBLEM, "takes no mail (null MX)", "Set MAIL_FROM"),
        ({"TXT": ['"hello"']}, None, PROBLEM, "has no SPF record", '"v=spf1 include:mailgun.org ~all"'),
        ({"TXT": ['"v=spf1 a -all"', '"v=spf1 mx -all"']}, None, PROBLEM, "has 2 SPF records", "Make one"),
        ({"TXT": ['"v=spf1 +all"']}, None, PROBLEM, "lets everybody send", "~all or -all"),
        ({"TXT": ['"v=spf1 a -all"']}, None, PROBLEM, "does not name your provider", "Add include:mailgun.org"),
        ({}, [], PROBLEM, "has no DMARC record", "v=DMARC1; p=none"),
        ({}, ['"v=DMARC1; p=none"', '"v=DMARC1; p=reject"'], PROBLEM, "several DMARC records", "Publish one"),
        ({}, ['"v=DMARC1; p=none"'], WARNING, "only watches (p=none)", "p=quarantine"),
    ],
)  # fmt: skip
def test_a_domain_that_is_not(
    case: Case,
    records: dict[str, list[str]],
    rules: list[str] | None,
    verdict: Verdict,
    found: str,
    todo: str,
) -> None:
    zone = dict(GOOD)
    zone["shop.example"] = (
        records if "TXT" in records and "MX" in found else {**GOOD["shop.example"], **records}
    )
    if rules is not None:
        zone["_dmarc.shop.example"] = {"TXT": rules}
    says(asked(case, zone), verdict, found, todo)


def test_a_name_server_that_says_nothing(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(names, "ANSWER_S", 0.5)
    says(
        asked(case, {"shop.example": Say.SILENCE}), WARNING, "cannot be asked about", "DNS_SERVERS"
    )
    says(
        asked(case, GOOD, DNS_SERVERS="nowhere"),
        PROBLEM,
        "DNS_SERVERS has 'nowhere'",
        "It should look",
    )


def test_a_laptop_asks_nobody(case: Case) -> None:
    with DnsServer({}) as server:
        assert bad(names.check_names(changed(case, DNS_SERVERS=server.address))) == []
        assert server.asked == []


# search server


def served(case: Case, *answers: bytes) -> list[Finding]:
    with HttpRecorder(answers) as recorder:
        url = f"http://elastic:{SECRET}@127.0.0.1:{recorder.port}"
        return list(search.check_search_server(changed(case, ES_URL=url)))


def said(value: object, status: int = 200) -> bytes:
    return answer(status, {"Content-Type": "application/json"}, json.dumps(value).encode())


GREEN = said({"status": "green"})
NO_INDEX = said({"error": {"type": "index_not_found_exception"}}, 404)


def disks(used: float) -> bytes:
    total = {"total_in_bytes": 1000, "available_in_bytes": round(1000 * (1 - used))}
    return said({"nodes": {"x": {"name": "n1", "fs": {"total": total}}}})


ABOUT = said({"version": {"number": "2.19.1", "distribution": "opensearch"}})


def test_a_search_server_that_is_well(case: Case) -> None:
    told = served(case, GREEN, NO_INDEX, disks(0.5), ABOUT)
    assert bad(told) == []
    assert "answers: opensearch 2.19.1" in told[0].found
    assert told[1].found == "0 log lines wait"


BLOCKED = said({"cdp_events": {"settings": {"index.blocks.read_only_allow_delete": "true"}}})


@pytest.mark.parametrize(
    ("answers", "verdict", "found", "todo"),
    [
        ([answer(401)], PROBLEM, "does not let us in (401)", "ES_API_KEY"),
        ([answer(404)], PROBLEM, "is no search server: it answers 404", "ES_URL"),
        ([answer(503)], PROBLEM, "is ill: it answers 503", "Look at its log"),
        ([said({"status": "red"}), NO_INDEX, disks(0)], PROBLEM, "is red", "allocation/explain"),
        (
            [GREEN, BLOCKED, disks(0)],
            PROBLEM,
            "takes no lines (read_only_allow_delete)",
            "Free disk",
        ),
        ([GREEN, answer(403), disks(0)], PROBLEM, "may not see index cdp_events", "the rights"),
        (
            [GREEN, NO_INDEX, disks(0.9)],
            WARNING,
            "the disk of its node n1 is 90% full",
            "Free some",
        ),
        ([GREEN, NO_INDEX, disks(0.97)], PROBLEM, "is 97% full", "read-only"),
    ],
)
def test_a_search_server_that_is_not(
    case: Case, answers: list[bytes], verdict: Verdict, found: str, todo: str
) -> None:
    says(served(case, *answers), verdict, found, todo)


def test_a_search_server_that_is_not_there(case: Case, free_port: Callable[[], int]) -> None:
    url = f"http://elastic:{SECRET}@127.0.0.1:{free_port()}"
    told = search.check_search_server(changed(case, ES_URL=url))
    says(told, PROBLEM, "does not answer (Connection refused)", "Start it, or set ES_URL")


def test_a_log_that_waits_to_be_shipped(case: Case) -> None:
    log = case.settings.log_path
    log.parent.mkdir()
    log.write_text(f'{{"ts":"{clock.utc_text(case.clock - timedelta(hours=1))}","level":"INFO"}}\n')
    told = served(case, GREEN, NO_INDEX, disks(0), ABOUT)
    says(told, WARNING, "1 log line waits, the oldest for 3,60", "`horizon ship`")


@pytest.mark.slow
def test_a_real_search_server(
    case: Case, opensearch: SearchServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "DISK_WARNING", 1.1)  # this machine's own disk may be full
    there = changed(case, ES_URL=opensearch.url)
    assert "answers: opensearch 2" in next(search.check_search_server(there)).found
    opensearch.ask(
        "PUT", "/cdp_events", {"settings": {"index.blocks.read_only_allow_delete": True}}
    )
    told = list(search.check_search_server(there))
    says(
        told, PROBLEM, "index cdp_events takes no lines (read_only_allow_delete)", "lifts the block"
    )


# lineage


def test_lineage_that_is_off_or_goes_to_a_file(case: Case, tmp_path: Path) -> None:
    assert bad(listeners.check_lineage(case)) == []
    assert bad(listeners.check_lineage(changed(case, LINEAGE_TO=f"file:{tmp_path}/l.jsonl"))) == []
    told = listeners.check_lineage(changed(case, LINEAGE_TO=f"file:{tmp_path}/new/l.jsonl"))
    says(told, PROBLEM, f"there is no folder {tmp_path}/new", "Make it")
    told = listeners.check_lineage(changed(case, LINEAGE_TO=f"file:{tmp_path}"))
    says(told, PROBLEM, f"{tmp_path} cannot be written", "Set LINEAGE_TO")


def test_a_lineage_server(case: Case, free_port: Callable[[], int]) -> None:
    away = changed(case, LINEAGE_TO=f"http://127.0.0.1:{free_port()}")
    says(listeners.check_lineage(away), PROBLEM, "does not answer", "events wait on disk")
    late = {"Date": "Mon, 15 Jun 2020 12:00:00 GMT"}
    with HttpRecorder([answer(405, late), answer(401)]) as recorder:
        there = changed(
            case, LINEAGE_TO=f"http://127.0.0.1:{recorder.port}", LINEAGE_API_KEY=SECRET
        )
        says(listeners.check_lineage(there), PROBLEM, "ahead of the lineage server's", "NTP")
        says(listeners.check_lineage(there), PROBLEM, "does not let us in (401)", "LINEAGE_API_KEY")
        assert [one.method for one in recorder.requests] == ["GET", "GET"]


def test_lineage_that_waits(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listeners, "MOST_WAITING_BYTES", 6_000)
    waiting = changed(case, LINEAGE_TO="console")
    queue_of(waiting.settings).append(b"x" * 6000)
    says(listeners.check_lineage(waiting), WARNING, "6,001 bytes of events wait", "none is dropped")
    elsewhere = listeners.check_lineage(changed(case, LINEAGE_TO="http://127.0.0.1:9"))
    says(
        elsewhere, WARNING, "1 events wait for what LINEAGE_TO was before", "flush --queue console"
    )


# all of it


def test_a_check_that_hangs_or_breaks_hides_no_other(case: Case) -> None:
    def hang(_: Case) -> Iterator[Finding]:
        time.sleep(3)
        yield ok("slow", "late")

    def broken(_: Case) -> Iterator[Finding]:
        raise ZeroDivisionError(SECRET)

    began = time.monotonic()
    told = run_checks(
        case, {"slow": hang, "broken": broken, "well": lambda _: [ok("well", "it is")]}, 0.5
    )
    assert time.monotonic() - began < 2
    assert [(one.part, one.verdict) for one in told] == [
        ("slow", PROBLEM), ("broken", PROBLEM), ("well", Verdict.OK),
    ]  # fmt: skip
    says(told, PROBLEM, "no answer within 0.5 s", "can be reached from here")
    says(told, PROBLEM, "the check itself failed (ZeroDivisionError)", "Tell Horizon's makers")


def test_every_check_is_run(settings: Settings, horizon: Installation, tmp_path: Path) -> None:
    environ = {name: str(getattr(settings, name)) for name in ("PG_DSN", "HORIZON_HOME", "LOG_PATH", "METRICS_PORT",
               "COLLECTOR_PORT", "API_PORT", "CATCHER_SMTP_PORT", "CATCHER_PAGE_PORT")}  # fmt: skip
    told = examine(environ, tmp_path)
    assert {"settings", "home", "keys", "log", "disk", "database", "clock", "ports", "mail server", "DNS",
            "search server", "lineage"} <= {one.part for one in told}  # fmt: skip
    assert {one.found.partition(":")[0].partition(" ")[0] for one in bad(told)} == TURNED_OFF
    assert len(CHECKS) >= 7


def test_the_command_ends_with_1_for_a_problem_and_0_for_warnings(
    stored: Case, horizon: Installation, tmp_path: Path
) -> None:
    command = Command(tmp_path, stored.settings, SMTP_PASSWORD=SECRET)
    done = command("doctor", "--json")
    assert done.returncode == 1
    told = {one["part"]: one for one in reversed(json.loads(done.stdout))}
    assert told["database"]["todo"] == "Set fsync = on in postgresql.conf and reload."
    assert set(told["ports"]) == {"part", "verdict", "found", "todo"}
    assert SECRET not in done.stdout + done.stderr
    del command.environment["PG_DSN"]
    command.environment["HORIZON_HOME"] = str(tmp_path / "new")
    done = command("doctor")
    assert done.returncode == 0, done.stdout
    assert "Type `horizon init`." in done.stdout
    assert "0 problems, 2 warnings" in done.stdout
    assert not (tmp_path / "new").exists()  # it makes nothing
