"""Consent and suppression from other systems' exports."""

from __future__ import annotations

import codecs
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from horizon.cli import main as cli
from horizon.consent.formats import Format, Kind
from horizon.consent.importer import Imported
from horizon.errors import DatabaseError, UsageError
from horizon.events.nodes import node_of
from horizon.pipeline.consents import given_of, import_consent
from tests.world import DAY, World

Import = Callable[..., Imported]


@pytest.fixture
def bring(world: World, tmp_path: Path) -> Import:
    """Imports text or bytes as a file would be; options as the command has them."""

    def run(
        body: str | bytes, chosen: str = "csv", *, encoding: str = "utf-8", dry_run: bool = False,
        wording: str | None = None, on_lines: Callable[[int], None] = lambda _: None, **more: Any,
    ) -> Imported:  # fmt: skip
        path = tmp_path / "export"
        path.write_bytes(body if isinstance(body, bytes) else body.encode())
        given = given_of(world.horizon, "marketing", "email", wording, **more)
        return import_consent(
            world.horizon, path, Format(chosen), given, encoding=encoding, dry_run=dry_run,
            on_lines=on_lines,
        )  # fmt: skip

    return run


def node(world: World, address: str) -> UUID:
    return node_of(world.horizon.keys.node, "email", address)


def said(world: World) -> dict[str, bool]:
    names = {
        node(world, f"{name}@example.com"): name for name in ("ann", "bob", "cat", "dan", "eve")
    }
    return {
        names[row.node]: row.granted for row in world.rows("SELECT node, granted FROM consents")
    }


def suppressed(world: World) -> dict[tuple[str, str], str]:
    names = {
        node(world, f"{name}@example.com"): name for name in ("ann", "bob", "cat", "dan", "eve")
    }
    return {
        (names[row.address_hash], row.purpose): row.reason
        for row in world.rows("SELECT * FROM suppressions")
    }


CSV = """email,purpose,channel,granted,time,wording,comment
Ann@example.com ,marketing,email,yes,2026-01-02T03:04:05Z,I agree,x
bob@example.com,,,0,2026-01-02 03:04:05+02:00,,
cat@example.com,tracking,email,TRUE,,,
"""


def test_csv_with_every_column(bring: Import, world: World) -> None:
    done = bring(CSV, wording="From the old shop")
    assert (done.lines, done.granted, done.refused, done.known, done.rejected) == (3, 2, 1, 0, 0)
    rows = {row.node: row for row in world.rows("SELECT * FROM consents")}
    ann = rows[node(world, "ann@example.com")]
    assert (ann.address_hash, ann.purpose, ann.channel) == (ann.node, "marketing", "email")
    assert (ann.granted, ann.way, ann.wording) == (True, "import", "I agree")
    assert ann.time == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert ann.actor.startswith("cli:")
    bob = rows[node(world, "bob@example.com")]
    assert (bob.granted, bob.purpose, bob.wording) == (False, "marketing", "From the old shop")
    assert bob.time == datetime(2026, 1, 2, 1, 4, 5, tzinfo=UTC)
    assert rows[node(world, "cat@example.com")].purpose == "tracking"


def test_the_same_file_changes_nothing(bring: Import, world: World) -> None:
    bring(CSV)
    before = world.rows("SELECT * FROM consents ORDER BY consent_id")
    done = bring(CSV)
    assert not done.changed
    assert (done.lines, done.known) == (3, 3)
    assert world.rows("SELECT * FROM consents ORDER BY consent_id") == before


def test_a_rehearsal_counts_what_would_come_and_writes_nothing(
    bring: Import, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("horizon.consent.importer.BATCH", 2)
    body = CSV + CSV.split("\n", 1)[1]  # each line twice
    rehearsed = bring(body, dry_run=True)
    assert world.rows("SELECT FROM consents") == world.rows("SELECT FROM audit") == []
    assert not world.horizon.settings.log_path.exists()
    done = bring(body)
    assert done == rehearsed
    assert (done.granted, done.refused, done.known) == (2, 1, 3)


def test_without_a_time_a_yes_counts_once_and_a_no_with_each_file(
    bring: Import, world: World
) -> None:
    yes, no = "email,granted\nann@example.com,yes\n", "email,granted\nann@example.com,no\n"
    assert bring(yes).granted == 1
    assert bring(no).refused == 1
    # The old export once more, with one line more: it may not take Ann's refusal back.
    assert bring(yes + "bob@example.com,yes\n").granted == 1
    assert bring(no).refused == 0
    assert bring(no + "cat@example.com,no\n").refused == 2
    latest = world.rows(
        "SELECT granted FROM current_consents WHERE subject = %s", node(world, "ann@example.com")
    )
    assert [row.granted for row in latest] == [False]


def test_bad_lines_are_told_with_their_numbers_and_the_good_part_is_kept(
    bring: Import, world: World
) -> None:
    ahead = (datetime.now(UTC) + timedelta(days=3)).isoformat()
    body = (
        "email;purpose;granted;time\r\n"
        "ann@example.com;;yes;\r\n"
        "\r\n"
        "no address;;yes;\r\n"
        'bob@example.com;"marketing;yes;\r\n'
        "cat@example.com;;no;\r\n"
        "cat@example.com;;maybe;\r\n"
        "cat@example.com;sport;yes;\r\n"
        "cat@example.com;;yes;soon\r\n"
        f"cat@example.com;;yes;{ahead}\r\n"
        "cat@example.com;yes\r\n"
        '"dan@example.com";"marketing";"yes";"2026-01-01"\r\n'
    )
    done = bring(body)
    assert said(world) == {"ann": True, "cat": False, "dan": True}
    assert [number for number, _ in done.bad] == [4, 5, 7, 8, 9, 10, 11]
    words = ["address", "quotes", "granted", "purpose", "time", "future", "columns"]
    for (_, why), word in zip(done.bad, words, strict=True):
        assert word in why
        assert "@" not in why
    assert done.rejected == 7
    assert done.lines == 10


def test_a_quoted_cell_may_hold_line_breaks_and_lines_keep_their_numbers(
    bring: Import, world: World
) -> None:
    done = bring(
        'email,granted,wording\nann@example.com,yes,"I\nagree"\nx,yes,\nbob@example.com,no,\n'
    )
    assert [number for number, _ in done.bad] == [4]
    assert said(world) == {"ann": True, "bob": False}


@pytest.mark.parametrize(
    ("body", "encoding"),
    [
        (codecs.BOM_UTF8 + "email,granted,name\nann@example.com,yes,Jörg\n".encode(), "utf-8"),
        ("email,granted,name\nann@example.com,yes,Jörg\n".encode("utf-16"), "utf-8"),
        ("email;granted;name\rann@example.com;yes;Jörg\r".encode("cp1252"), "cp1252"),
        # A name's bytes are nobody's business here.
        ("email,granted,name\nann@example.com,yes,Jörg\n".encode("latin-1"), "utf-8"),
        (b"E-Mail,Opted in,Created at\nann@example.com,yes,2026-01-01\n", "utf-8"),
    ],
    ids=["bom", "utf-16", "cp1252", "latin-1", "other names"],
)
def test_encodings_and_names(body: bytes, encoding: str, bring: Import, world: World) -> None:
    done = bring(body, encoding=encoding)
    assert (done.granted, done.rejected) == (1, 0)
    assert said(world) == {"ann": True}


def test_an_address_in_another_encoding_is_a_bad_line(bring: Import) -> None:
    done = bring("email,granted\njörg@example.com,yes\nann@example.com,yes\n".encode("latin-1"))
    ((number, why),) = done.bad
    assert number == 2
    assert "--encoding" in why
    assert done.granted == 1


def test_an_import_that_the_database_stops_goes_on_when_it_is_run_again(
    bring: Import, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("horizon.consent.importer.BATCH", 10)
    body = "email,granted\n" + "".join(f"p{n}@example.com,yes\n" for n in range(100))

    def cut(count: int) -> None:
        if count == 50:
            world.rows(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE application_name = 'horizon_worker' AND datname = current_database()"
            )

    with pytest.raises(DatabaseError, match="run it again"):
        bring(body, on_lines=cut)
    assert len(world.rows("SELECT FROM consents")) == 50
    (line,) = world.horizon.settings.log_path.read_text().splitlines()
    assert json.loads(line)["status"] == "failed"
    done = bring(body)
    assert (done.granted, done.known) == (50, 50)


def listmonk_csv(*rows: tuple[str, str]) -> str:
    head = "uuid,email,name,attributes,status,created_at,updated_at\n"
    return head + "".join(
        f'ea06b2e7,{name}@example.com,"{name}, of X","{{""city"": ""Bengaluru""}}",{status},'
        f"2020-02-10 23:07:16.199433 +0100 CET,2021-02-10 23:07:16.199433 +0100 +0100\n"
        for name, status in rows
    )


def subscriber(name: str, status: str, **lists: str) -> dict[str, Any]:
    """As `/api/subscribers` tells of one."""
    return {
        "id": 1, "created_at": "2020-02-10T23:07:16.199433+01:00",
        "updated_at": "2020-03-10T23:07:16.199433+01:00", "uuid": "ea06b2e7",
        "email": f"{name}@example.com", "name": name, "attribs": {"city": "Bengaluru"},
        "status": status,
        "lists": [
            {"subscription_status": state, "subscription_created_at": "2020-02-11T23:07:16+01:00",
             "subscription_updated_at": "2020-02-12T23:07:16+01:00", "subscription_meta": {},
             "id": 1, "name": title, "type": "public", "tags": [], "created_at": "2019-01-01T00:00:00Z"}
            for title, state in lists.items()
        ],
    }  # fmt: skip


def test_listmonk_s_csv_says_nothing_of_lists(bring: Import, world: World) -> None:
    body = listmonk_csv(("ann", "enabled"), ("bob", "blocklisted"), ("cat", "disabled"))
    done = bring(body, "listmonk")
    assert (done.granted, done.suppressed) == (0, 1)
    assert done.left == {"without a list": 1, "disabled": 1}
    assert suppressed(world) == {("bob", "*"): "manual"}

    done = bring(body, "listmonk", subscription="confirmed")
    assert (done.granted, done.known) == (1, 1)
    assert said(world) == {"ann": True}
    (row,) = world.rows("SELECT time FROM consents")
    assert row.time == datetime(2021, 2, 10, 22, 7, 16, 199433, tzinfo=UTC)


def test_listmonk_s_json_grants_refuses_and_suppresses(bring: Import, world: World) -> None:
    results = [
        subscriber("ann", "enabled", News="confirmed"),
        subscriber("bob", "enabled", News="confirmed", Offers="unsubscribed"),
        subscriber("cat", "enabled", News="unconfirmed"),
        subscriber("dan", "blocklisted", News="confirmed"),
        subscriber("eve", "disabled", News="confirmed"),
        {"email": "x@example.com", "status": "strange"},
        "no subscriber",
    ]
    body = json.dumps(
        {"data": {"results": results, "query": "", "total": 7, "per_page": 20, "page": 1}}
    )
    done = bring(body, "listmonk")
    assert said(world) == {"ann": True, "bob": False}
    assert suppressed(world) == {("bob", "marketing"): "unsubscribed", ("dan", "*"): "manual"}
    # Dan's confirmed list is none any more: he is blocklisted.
    assert done.left == {"unconfirmed": 1, "disabled": 1}
    assert [number for number, _ in done.bad] == [6, 7]
    assert {row.time for row in world.rows("SELECT time FROM consents")} == {
        datetime(2020, 2, 12, 22, 7, 16, tzinfo=UTC)
    }
    assert not bring(body, "listmonk").changed
    assert bring(body, "listmonk", only_list="News", dry_run=True).granted == 1


def test_who_came_back_is_not_suppressed_again_by_the_old_export(
    bring: Import, world: World
) -> None:
    body = json.dumps({"data": {"results": [subscriber("bob", "enabled", News="unsubscribed")]}})
    bring(body, "listmonk")
    world.rows("DELETE FROM suppressions RETURNING 1")
    bring("email,granted,time\nbob@example.com,yes,2026-01-01\n")
    assert bring(body, "listmonk").suppressed == 0
    assert suppressed(world) == {}


BOUNCES = """address,code,error,created_at
ann@example.com,550,"5.1.1 The email account that you tried to reach does not exist","Thu, 13 Oct 2011 18:02:00 UTC"
bob@example.com,550,No such mailbox,"Thu, 13 Oct 2011 18:02:00 UTC"
cat@example.com,550,5.7.1 Blocked: unknown user reputation,
dan@example.com,552,5.2.2 Mailbox full,
eve@example.com,550,,
"""


def test_mailgun_s_bounces_suppress_only_invalid_addresses(bring: Import, world: World) -> None:
    done = bring(BOUNCES, "mailgun")
    assert suppressed(world) == {("ann", "*"): "hard_bounce", ("bob", "*"): "hard_bounce"}
    assert done.left == {"bounces for another reason": 3}
    (row, _) = world.rows("SELECT created_at FROM suppressions")
    assert row.created_at == datetime(2011, 10, 13, 18, 2, tzinfo=UTC)
    items = [
        {"address": "eve@example.com", "code": "550", "error": "No such mailbox",
         "created_at": "Fri, 21 Oct 2011 11:02:55 GMT", "MessageHash": "x"},
        {"address": "ann@example.com", "code": 550, "error": "smtp; 550-5.1.1 no"},
    ]  # fmt: skip
    done = bring(json.dumps({"items": items, "paging": {"first": "https://x"}}), "mailgun")
    assert (done.suppressed, done.known) == (1, 1)


def test_mailgun_s_unsubscribes_by_tag_and_complaints(bring: Import, world: World) -> None:
    body = 'address,tags,created_at\nann@example.com,*,\nbob@example.com,"marketing,sport",\ncat@example.com,,\n'
    done = bring(body, "mailgun")
    assert done.left == {"tags that are no purpose": 1}
    items = [
        {
            "address": "dan@example.com",
            "tags": ["*"],
            "created_at": "Fri, 21 Oct 2011 11:02:55 GMT",
        },
        {"address": "eve@example.com", "tag": "tracking"},
    ]
    bring(json.dumps({"items": items}), "mailgun")
    assert suppressed(world) == {
        ("ann", "*"): "unsubscribed", ("bob", "marketing"): "unsubscribed",
        ("cat", "*"): "unsubscribed", ("dan", "*"): "unsubscribed", ("eve", "tracking"): "unsubscribed",
    }  # fmt: skip
    world.rows("DELETE FROM suppressions RETURNING 1")
    with pytest.raises(UsageError, match="--kind complaints"):
        bring("address,created_at\nann@example.com,\n", "mailgun")
    bring("address,created_at\nann@example.com,\n", "mailgun", kind=Kind.COMPLAINTS)
    bring(json.dumps([{"address": "bob@example.com"}]), "mailgun", kind=Kind.COMPLAINTS)
    assert suppressed(world) == {("ann", "*"): "complaint", ("bob", "*"): "complaint"}


def test_what_is_imported_decides_when_a_campaign_is_planned(bring: Import, world: World) -> None:
    bring("email,granted,time\nann@example.com,yes,2026-01-01\nbob@example.com,yes,2026-01-01\n")
    bring("address,created_at\nbob@example.com,\n", "mailgun", kind=Kind.COMPLAINTS)
    for user in ("ann", "bob", "cat", "dan"):
        world.person(user, 13 * DAY, consent=True if user == "dan" else None)
    bring("email,granted,time\ndan@example.com,no,2026-06-01\n")
    world.score()
    world.alert()
    world.plan()
    decided = {
        row.to_addr: row.reason for row in world.rows("SELECT to_addr, reason FROM messages")
    }
    assert decided == {
        "ann@example.com": None, "bob@example.com": "complaint",
        "cat@example.com": "no_consent", "dan@example.com": "refused",
    }  # fmt: skip


def test_the_log_has_one_line_without_an_address(bring: Import, world: World) -> None:
    bring(CSV + "what@\n")
    (line,) = [
        json.loads(text) for text in world.horizon.settings.log_path.read_text().splitlines()
    ]
    assert (line["stage"], line["component"], line["message"]) == ("consent", "importer", "consent")
    counted = {name: line[name] for name in ("format", "count", "granted", "refused", "rejected")}
    assert counted == {"format": "csv", "count": 4, "granted": 2, "refused": 1, "rejected": 1}
    assert "@" not in json.dumps(line)
    (audit,) = world.rows("SELECT * FROM audit")
    assert audit.action == "consent:imported"
    assert "@" not in json.dumps(audit.details) + audit.object


@pytest.mark.parametrize(
    ("body", "words", "told"),
    [
        (b"", ("--format", "csv"), "empty"),
        (b"name,granted\nx,yes\n", ("--format", "csv"), "no column 'email'"),
        (b"\x1f\x8b\x08", ("--format", "csv"), "unpack"),
        (b'{"items": 3}', ("--format", "mailgun"), "JSON"),
        (b'{"data": {}}', ("--format", "listmonk"), "JSON"),
        (b"[", ("--format", "listmonk"), "JSON"),
        (b"email,granted\n", ("--format", "csv", "--purpose", "sport"), "no purpose 'sport'"),
        (b"email,granted\n", ("--format", "csv", "--channel", "x y"), "no channel"),
        (b"email,granted\n", ("--format", "csv", "--encoding", "klingon"), "encoding"),
        (b"email,granted\n", ("--format", "csv", "--encoding", "hex"), "encoding"),
        (None, ("--format", "csv"), "no file"),
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_used_is_one_sentence(
    body: bytes | None, words: tuple[str, ...], told: str, world: World, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    for name in ("PG_DSN", "HORIZON_HOME", "LOG_PATH"):
        monkeypatch.setenv(name, str(getattr(world.horizon.settings, name)))
    path = tmp_path / "export"
    if body is not None:
        path.write_bytes(body)
    assert cli.run(["consent", "import", str(path), *words]) == 2
    complaint = capsys.readouterr().err
    assert complaint.count("\n") == 1
    assert told in complaint
    assert world.rows("SELECT FROM audit") == []


def test_the_command_tells_what_it_did(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    for name in ("PG_DSN", "HORIZON_HOME", "LOG_PATH"):
        monkeypatch.setenv(name, str(getattr(world.horizon.settings, name)))
    path = tmp_path / "old.csv"
    path.write_text(CSV + "what\n")
    words = ["consent", "import", str(path), "--format", "csv"]
    assert cli.run([*words, "--dry-run"]) == 0
    assert "Nothing was written" in capsys.readouterr().out
    assert cli.run(words) == 0
    told = capsys.readouterr().out
    assert "4 lines read: 2 new consents, 1 new refusal, 0 new suppressions" in told
    assert "line 5: it has 1 columns, the header 7" in told
    assert cli.run(words) == 0
    assert "nothing is new, 3 known already" in capsys.readouterr().out


def test_many_lines_take_seconds(bring: Import, world: World) -> None:
    """About 1 s on two busy cores; the limit is for a machine that is six times as slow."""
    rows = "".join(f"person{n}@example.com,yes,2026-01-01T00:00:00Z\n" for n in range(25_000))
    start = datetime.now(UTC)
    done = bring("email,granted,time\n" + rows)
    took = datetime.now(UTC) - start
    assert done.granted == 25_000
    print(f"25,000 lines in {took.total_seconds():.1f} s")
    assert took < timedelta(seconds=7)
