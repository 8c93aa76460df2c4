"""Consent as it is kept, derived and written down."""

from __future__ import annotations

import itertools
import json
import re
import shlex
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from horizon.cli import main as cli
from horizon.events.nodes import node_of
from horizon.postgres.database import Connection, Database, Role
from tests.world import DAY, NOW, World

Cli = Callable[..., int]
NODES = [UUID(int=1), UUID(int=2)]
ADDRESSES = [UUID(int=11), UUID(int=12), None]


@pytest.fixture
def horizon_cli(monkeypatch: pytest.MonkeyPatch, world: World) -> Cli:
    """The command in this process, in the world's installation."""
    chosen = world.horizon.settings
    for name in ("PG_DSN", "HORIZON_HOME", "LOG_PATH"):
        monkeypatch.setenv(name, str(getattr(chosen, name)))
    return lambda *words: cli.run([str(word) for word in words])


class Record(NamedTuple):
    node: UUID
    address: UUID | None
    granted: bool
    time: datetime


def state_of(history: list[Record], nodes: set[UUID], address: UUID, as_of: datetime) -> str | None:
    """The rule in plain Python: each of the person's nodes, and the address, must have said yes
    last; a refusal counts whenever it came, and before a yes of its time."""
    heard = [one for one in history if one.time <= as_of or not one.granted]
    voices: dict[object, tuple[datetime, bool]] = {}
    for one in heard:
        said = (one.time, not one.granted)
        subjects: list[object] = []
        if one.node in nodes:
            subjects.append(one.node)
        if one.address == address or (one.node in nodes and one.address is None):
            subjects.append("address")
        for subject in subjects:
            voices[subject] = max(voices.get(subject, said), said)
    if not voices:
        return "no_consent"
    return "refused" if any(refused for _, refused in voices.values()) else None


RECORDS = st.builds(
    Record,
    node=st.sampled_from([*NODES, UUID(int=3), ADDRESSES[0]]),
    address=st.sampled_from(ADDRESSES),
    granted=st.booleans(),
    time=st.integers(-3, 3).map(lambda hours: NOW + timedelta(hours=hours)),
)


@pytest.fixture(scope="module")
def ledger(module_database: Database) -> Any:
    """Two nodes of one profile; what a test writes it rolls back."""
    with module_database.connect(Role.WORKER) as tx:
        profile = tx.execute(
            "INSERT INTO profiles (created_at) VALUES (%s) RETURNING profile_id", [NOW]
        ).fetchone()
        assert profile is not None
        tx.cursor().executemany(
            "INSERT INTO nodes (node, kind, value, profile_id, first_seen) VALUES (%s, 'user_id', %s, %s, %s)",
            [(node, str(node), profile.profile_id, NOW) for node in NODES],
        )
        yield tx, profile.profile_id
        tx.rollback()


def _derived(tx: Connection, profile: int, records: list[Record]) -> tuple[str | None, list[Any]]:
    with tx.transaction(force_rollback=True):
        tx.cursor().executemany(
            "INSERT INTO consents (node, address_hash, granted, time, purpose, channel, way)"
            " VALUES (%s, %s, %s, %s, 'marketing', 'email', 'import')",
            records,
        )
        (found,) = tx.execute(
            "SELECT reason FROM refusal(%s, %s, 'example.com', 'marketing', 'email', %s)",
            [profile, ADDRESSES[0], NOW],
        ).fetchall()
        view = tx.execute(
            "SELECT subject, granted, time FROM current_consents ORDER BY subject"
        ).fetchall()
    return found.reason, [tuple(row) for row in view]


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(records=st.lists(RECORDS, max_size=7), shuffled=st.randoms(use_true_random=False))
def test_the_state_is_the_fold_of_the_history_in_whatever_order_it_came(
    records: list[Record], shuffled: Any, ledger: Any
) -> None:
    tx, profile = ledger
    other = list(records)
    shuffled.shuffle(other)
    address = ADDRESSES[0]
    assert address is not None
    expected = state_of(records, set(NODES), address, NOW)
    voices: dict[UUID, tuple[datetime, bool]] = {}
    for one in records:
        said = (one.time, not one.granted)
        for subject in {one.node, one.address} - {None}:
            assert subject is not None
            voices[subject] = max(voices.get(subject, said), said)
    view = [(who, not refused, time) for who, (time, refused) in sorted(voices.items())]
    for order in (records, other):
        assert _derived(tx, profile, order) == (expected, view)


def test_a_purpose_is_added_named_and_listed(
    horizon_cli: Cli, world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    assert horizon_cli("consent", "purpose", "add", "newsletter", "--title", "Our letter") == 0
    assert horizon_cli("consent", "purpose", "add", "newsletter", "--title-de", "Unser Brief") == 0
    capsys.readouterr()
    assert horizon_cli("consent", "purpose", "list", "--json") == 0
    rows = {row["purpose"]: row for row in json.loads(capsys.readouterr().out)}
    assert set(rows) == {"marketing", "tracking", "newsletter"}
    assert rows["newsletter"]["title"] == "Our letter"
    assert rows["newsletter"]["title_de"] == "Unser Brief"
    assert rows["marketing"]["title_de"] == "Neuigkeiten und Angebote"
    assert horizon_cli("consent", "purpose", "add", "News Letter") == 2
    assert "lower-case" in capsys.readouterr().err
    actions = world.rows("SELECT action, object FROM audit")
    assert [tuple(row) for row in actions] == [
        ("purpose:added", "newsletter"), ("purpose:retitled", "newsletter"),
    ]  # fmt: skip


def test_consent_that_is_set_by_hand_decides_and_tells_who_did_it(
    horizon_cli: Cli, world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    world.person("ann", 13 * DAY, consent=False)
    world.score()
    words = ("--purpose", "marketing", "--channel", "email", "--wording", "Said so on the phone")
    assert horizon_cli("consent", "set", "Ann@example.com", "--grant", *words) == 0
    assert "may be sent" in capsys.readouterr().out
    world.now = world.rows("SELECT max(time) AS time FROM consents")[0].time
    world.alert()
    assert world.plan().figures["planned"] == 1

    assert horizon_cli("consent", "set", "ann@example.com", "--refuse", *words) == 0
    assert "refused" in capsys.readouterr().out
    for who in ("ann", "ann@example.com"):
        assert horizon_cli("consent", "show", who, "--json") == 0
        (shown,) = json.loads(capsys.readouterr().out)
        assert shown["user_id"] == "ann"
        states = {(row["purpose"], row["channel"]): row["state"] for row in shown["state"]}
        assert states == {("marketing", "email"): "refused", ("tracking", "email"): "none"}
        assert [(row["said"], row["way"]) for row in shown["history"]] == [
            ("no", "identify"), ("yes", "manual"), ("no", "manual"),
        ]  # fmt: skip
        assert shown["history"][0]["actor"] == "person"
        assert shown["history"][1]["actor"].startswith("cli:")
        assert shown["history"][1]["wording"] == "Said so on the phone"
    (audit, _) = world.rows("SELECT * FROM audit WHERE action = 'consent:set' ORDER BY audit_id")
    assert audit.object == str(node_of(world.horizon.keys.node, "email", "ann@example.com"))
    assert "ann@" not in json.dumps(audit.details)


def test_what_is_set_for_an_address_of_nobody_counts_once_somebody_has_it(
    horizon_cli: Cli, world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("--purpose", "marketing", "--wording", "w")
    assert horizon_cli("consent", "set", "bob@example.com", "--grant", *words) == 0
    assert horizon_cli("consent", "show", "bob@example.com") == 0
    said = capsys.readouterr().out
    assert "nobody known has" in said
    assert "granted" in said
    world.now = world.rows("SELECT max(time) AS time FROM consents")[0].time
    world.person("bob", 13 * DAY, consent=None)
    world.score()
    world.alert()
    assert world.plan().figures["planned"] == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("consent", "show", "nobody"), "Nobody is known as 'nobody'"),
        (("consent", "set", "plain", "--grant", "--purpose", "marketing", "--wording", "w"), "Nobody is known as 'plain'"),
        (("consent", "set", "a@example.com", "--grant", "--purpose", "x", "--wording", "w"), "no purpose 'x'"),
        (("consent", "set", "a@example.com", "--grant", "--purpose", "marketing", "--channel", "E Mail", "--wording", "w"), "no channel"),
        (("consent", "ask", "a@example.com", "--purpose", "x"), "no purpose 'x'"),
        (("consent", "ask", "plain"), "not an address"),
        (("suppression", "add"), "Name an address"),
        (("suppression", "add", "a@example.com", "--domain", "example.com"), "Name an address"),
        (("suppression", "add", "a@example.com", "--purpose", "x"), "no purpose 'x'"),
        (("suppression", "add", "--domain", "a b"), "not a domain"),
        (("suppression", "add", "--domain", "example.com", "--purpose", "marketing"), "every purpose"),
        (("suppression", "remove", "a@example.com"), "no such suppression"),
        (("suppression", "remove", "--domain", "example.com"), "no such suppression"),
    ],
)  # fmt: skip
def test_what_a_person_gets_wrong_is_one_sentence(
    words: tuple[str, ...], said: str, horizon_cli: Cli, world: World,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    assert horizon_cli(*words) == 2
    complaint = capsys.readouterr().err
    assert complaint.startswith("horizon: ")
    assert complaint.count("\n") == 1
    assert said in complaint
    assert world.rows("SELECT FROM audit") == []


def test_a_suppression_is_by_hash_and_holds_until_it_is_lifted(
    horizon_cli: Cli, world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    for user in ("ann", "bob", "cat"):
        world.person(user, 13 * DAY, email=f"{user}@{user}.example.com")
    world.score()
    world.alert()
    assert horizon_cli("suppression", "add", " Ann@ann.example.com ") == 0
    assert horizon_cli("suppression", "add", "bob@bob.example.com", "--purpose", "marketing") == 0
    assert horizon_cli("suppression", "add", "--domain", "@CAT.example.com.") == 0
    assert horizon_cli("suppression", "add", "--domain", "cat.example.com") == 0
    assert "already" in capsys.readouterr().out
    assert world.plan().figures["reasons"] == {"domain_manual": 1, "manual": 2}

    hashed = str(node_of(world.horizon.keys.node, "email", "ann@ann.example.com"))
    assert horizon_cli("suppression", "list", "--json") == 0
    rows = json.loads(capsys.readouterr().out)
    assert {(row["address_or_domain"], row["purpose"]) for row in rows} == {
        (hashed, "*"), (str(node_of(world.horizon.keys.node, "email", "bob@bob.example.com")), "marketing"),
        ("cat.example.com", "*"),
    }  # fmt: skip
    for who, count in (("ann@ann.example.com", 1), ("cat.example.com", 1), ("dan@example.com", 0)):
        assert horizon_cli("suppression", "list", who, "--json") == 0
        assert len(json.loads(capsys.readouterr().out)) == count, who

    assert horizon_cli("suppression", "remove", "ann@ann.example.com") == 0
    assert (
        horizon_cli("suppression", "remove", "bob@bob.example.com", "--purpose", "marketing") == 0
    )
    assert horizon_cli("suppression", "remove", "--domain", "cat.example.com") == 0
    assert world.rows("SELECT address_hash FROM suppressions") == []
    assert world.rows("SELECT domain FROM suppressed_domains") == []
    trail = world.rows("SELECT action, object, details::text FROM audit ORDER BY audit_id")
    assert [row.action for row in trail] == ["suppression:added"] * 4 + ["suppression:removed"] * 3
    assert trail[0].object == hashed
    assert not [row for row in trail if "ann" in row.object + row.details]


def test_the_operator_s_word_takes_the_place_of_an_unsubscription(
    horizon_cli: Cli, world: World
) -> None:
    """An opt-in lifts the one and not the other."""
    node = node_of(world.horizon.keys.node, "email", "ann@example.com")
    with world.horizon.database.transaction(Role.WORKER) as tx:
        tx.cursor().executemany(
            "INSERT INTO suppressions VALUES (%s, %s, %s, %s)",
            [(node, "marketing", "unsubscribed", NOW), (node, "*", "complaint", NOW)],
        )
    for purpose in ("marketing", "*"):
        assert horizon_cli("suppression", "add", "ann@example.com", "--purpose", purpose) == 0
    found = {row.purpose: row.reason for row in world.rows("SELECT * FROM suppressions")}
    assert found == {"marketing": "manual", "*": "complaint"}


@pytest.mark.parametrize("role", [Role.EDGE, Role.WORKER, Role.CONSOLE, Role.READER])
@pytest.mark.parametrize(
    "statement",
    ["UPDATE consents SET granted = true", "UPDATE consents SET time = time",
     "DELETE FROM consents", "TRUNCATE consents"],
)  # fmt: skip
def test_nobody_rewrites_what_was_said(
    role: Role, statement: str, module_database: Database
) -> None:
    with (
        module_database.connect(role) as tx,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        tx.execute(statement.encode())


def test_a_history_is_shown_in_the_order_of_its_times(
    horizon_cli: Cli, world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    for days, said in itertools.product((3, 9, 6), (True, False)):
        world.put(world.identify("eve", days * DAY, email="eve@example.com", consent=said))
    world.identify_all()
    assert horizon_cli("consent", "show", "eve", "--json") == 0
    (shown,) = json.loads(capsys.readouterr().out)
    times = [row["time"] for row in shown["history"]]
    assert times == sorted(times)
    assert len(times) == 6
    # Of two answers of one time the refusal holds.
    assert {row["state"] for row in shown["state"]} == {"refused", "none"}


def test_the_guide_s_commands_work_as_they_stand(
    horizon_cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    Path("subscribers.csv").write_text("email,granted\ndan@example.com,yes\n")
    guide = (Path(__file__).parents[2] / "docs" / "guide.md").read_text()
    block = re.search(r"## Consent\n.*?```\n(.*?)```", guide, re.DOTALL)
    assert block is not None
    lines = block[1].splitlines()
    assert len(lines) >= 12
    for line in lines:
        name, *words = shlex.split(line)
        assert name == "horizon"
        assert horizon_cli(*words) == 0, line
    said = capsys.readouterr()
    assert said.err == ""
    assert "1 line read: 1 new consent" in said.out
