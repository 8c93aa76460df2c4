"""The double opt-in: a wish from anywhere, one mail a day to its address, a yes by its owner."""

from __future__ import annotations

import itertools
import json
import threading
from collections import Counter
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from horizon.campaigns import opt_in
from horizon.cli import main as cli
from horizon.delivery import templating
from horizon.events.nodes import node_of
from horizon.pipeline import stages
from horizon.postgres.database import Connection, Database, Role, closing_connection
from tests.world import DAY, NOW, World

HOUR = timedelta(hours=1)


def wish(
    world: World, address: object = "ann@example.com", *, ago: timedelta = HOUR,
    preferences: Any = None, locale: str = "en-GB", **more: Any,
) -> dict[str, Any]:  # fmt: skip
    """A form's identify, as a browser sends it."""
    return {
        "type": "identify", "anonymousId": "browser-1", "traits": {"email": address},
        "timestamp": (world.now - ago).isoformat(),
        "context": {"locale": locale, "consent": {"categoryPreferences":
            {"marketing.email": True} if preferences is None else preferences}}, **more,
    }  # fmt: skip


def ask(world: World, *wishes: dict[str, Any]) -> int:
    world.put(*(wishes or (wish(world),)), kind="public")
    return int(world.identify_all().figures["opt_ins"])


def decided(world: World) -> Counter[str]:
    rows = world.rows("SELECT coalesce(reason, status) AS verdict FROM messages")
    return Counter(row.verdict for row in rows)


def address_of(world: World, address: str = "ann@example.com") -> UUID:
    return node_of(world.horizon.keys.node, "email", address)


def test_a_browser_s_wish_is_an_opt_in_and_no_consent(world: World) -> None:
    assert ask(world, wish(world, " Ann@example.com ", locale="de-DE")) == 1
    assert world.rows("SELECT FROM consents") == []
    (row,) = world.rows("SELECT * FROM opt_ins")
    assert row.address_hash == address_of(world)
    assert row.to_addr == "Ann@example.com"
    assert (row.purpose, row.channel, row.language) == ("marketing", "email", "de")
    assert row.wording == (
        "Ich möchte per E-Mail erhalten: Neuigkeiten und Angebote. Ich kann das jederzeit widerrufen."
    )
    assert row.asked_at == world.now - HOUR
    assert ask(world, wish(world, messageId="m0")) == 0  # the same event once more


def test_only_a_purpose_that_there_is_by_mail_and_a_yes(world: World) -> None:
    everything = {"marketing.email": False, "tracking.email": True, "sport.email": True,
                  "marketing.sms": True, "tracking.push": "true"}  # fmt: skip
    assert ask(world, wish(world, preferences=everything)) == 1
    assert [row.purpose for row in world.rows("SELECT purpose FROM opt_ins")] == ["tracking"]
    assert [row.granted for row in world.rows("SELECT granted FROM consents")] == [False]


@pytest.mark.parametrize(
    "preferences", ["yes", ["marketing.email"], 3, {"marketing.email": "true"}]
)
def test_what_is_no_wish_stops_nobody(preferences: Any, world: World) -> None:
    assert ask(world, wish(world, preferences=preferences), wish(world, "bob@example.com")) == 1


@pytest.mark.parametrize("address", [None, 3, ["ann@example.com"], "plain", "a b@example.com"])
def test_without_an_address_nobody_can_be_asked(address: object, world: World) -> None:
    assert ask(world, wish(world, address)) == 0


def test_a_trusted_source_grants_at_once(world: World) -> None:
    world.put(world.identify("ann", email="ann@example.com", consent=True))
    assert world.identify_all().figures["opt_ins"] == 0
    assert len(world.rows("SELECT FROM consents WHERE granted")) == 1


def test_its_mail_is_planned_once_and_says_what_the_template_needs(world: World) -> None:
    ask(world)
    assert world.plan("confirm_consent").figures == {"planned": 1, "skipped": 0, "reasons": {}}
    assert world.plan("confirm_consent").figures["planned"] == 0
    (row,) = world.rows("SELECT * FROM messages")
    (waits,) = world.rows("SELECT opt_in_id FROM opt_ins")
    assert (row.campaign, row.to_addr, row.domain) == (
        "confirm_consent", "ann@example.com", "example.com",
    )  # fmt: skip
    assert (row.node, row.profile_id, row.address_hash) == (address_of(world), 0, address_of(world))
    assert row.variables == {
        "purpose_title": "News and offers", "language": "en", "opt_in_id": str(waits.opt_in_id),
        "wording": "I agree to receive by e-mail: News and offers. I can withdraw this at any time.",
    }  # fmt: skip
    assert len(world.rows("SELECT FROM outbox WHERE state = 'planned'")) == 1
    template = templating.load_template("confirm_consent")
    assert template.digest == row.template_digest
    own = set(row.variables) - {"opt_in_id"} | {"confirm_url"}
    assert template.variables - {"brand", "postal_address"} == own == opt_in.VARIABLES


@pytest.mark.parametrize(
    ("language", "words"), [("en", "Was this you?"), ("de", "Waren Sie das?")]
)  # fmt: skip
def test_the_mail_in_both_languages(language: str, words: str) -> None:
    mail = templating.load_template("confirm_consent").render({
        "brand": "Shop", "postal_address": "1 Street", "wording": "I agree.", "language": language,
        "confirm_url": "https://x.example/y/abc", "purpose_title": "News",
    })  # fmt: skip
    for text in (mail.html, mail.text):
        assert words in text
        assert "https://x.example/y/abc" in text
        assert "I agree." in text
        assert "1 Street" in text
    assert ('lang="de"' in mail.html) == (language == "de")


def test_one_mail_a_day_an_address_whatever_asks(world: World) -> None:
    wishes = [wish(world, address) for address in ("ann@example.com", "ANN@example.com")]
    ask(world, *wishes, wish(world, preferences={"tracking.email": True}, anonymousId="other"))
    world.plan("confirm_consent")
    assert decided(world) == {"planned": 1, "asked_today": 2}
    world.now += 23 * HOUR
    ask(world)
    world.plan("confirm_consent")
    assert decided(world) == {"planned": 1, "asked_today": 3}
    world.now += 2 * HOUR
    ask(world)
    world.plan("confirm_consent")
    assert decided(world) == {"planned": 2, "asked_today": 3}


def test_who_may_not_be_written_to_is_not_asked(world: World) -> None:
    reasons = {
        "ann": ("*", "hard_bounce"), "bob": ("*", "complaint"), "cat": ("*", "unsubscribed"),
        "dan": ("marketing", "manual"), "eve": ("marketing", "unsubscribed"), "fay": ("tracking", "manual"),
    }  # fmt: skip
    with world.horizon.database.transaction(Role.WORKER) as tx:
        tx.cursor().executemany(
            "INSERT INTO suppressions VALUES (%s, %s, %s, %s)",
            [
                (address_of(world, f"{name}@example.com"), *why, NOW)
                for name, why in reasons.items()
            ],
        )
        tx.execute("INSERT INTO suppressed_domains VALUES ('barred.example', 'manual', %s)", [NOW])
    ask(
        world,
        *(wish(world, f"{name}@example.com") for name in reasons),
        wish(world, "x@barred.example"),
    )
    world.plan("confirm_consent")
    rows = world.rows("SELECT to_addr, coalesce(reason, status) AS verdict FROM messages")
    assert {row.to_addr.split("@")[0]: row.verdict for row in rows} == {
        "ann": "hard_bounce", "bob": "complaint", "cat": "unsubscribed", "dan": "manual",
        "eve": "planned", "fay": "planned", "x": "domain_manual",
    }  # fmt: skip


def test_a_consent_that_stands_is_not_asked_for_again(world: World) -> None:
    world.person("ann", 13 * DAY)
    world.person("bob", 13 * DAY)
    world.put(world.identify("bob", 2 * DAY, email="bob@example.com", consent=False))
    ask(
        world,
        wish(world),
        wish(world, "bob@example.com"),
        wish(world, preferences={"tracking.email": True}),
    )
    world.plan("confirm_consent")
    assert decided(world) == {"consent_stands": 1, "planned": 2}


def test_an_old_wish_is_not_answered(world: World) -> None:
    ask(world, wish(world, ago=3 * DAY), wish(world, "bob@example.com", ago=2 * DAY - HOUR))
    world.plan("confirm_consent")
    assert decided(world) == {"asked_long_ago": 1, "planned": 1}


def test_so_many_an_hour_and_the_others_wait(world: World) -> None:
    world = World(_with(world, OPT_INS_PER_HOUR=3))
    ask(
        world,
        *(wish(world, f"p{n}@example.com", ago=HOUR - n * timedelta(seconds=1)) for n in range(8)),
    )
    assert world.plan("confirm_consent").figures["planned"] == 3
    assert world.plan("confirm_consent").figures["planned"] == 0
    world.now += timedelta(minutes=59)
    assert world.plan("confirm_consent").figures["planned"] == 0
    world.now += timedelta(minutes=2)
    assert world.plan("confirm_consent").figures["planned"] == 3
    world.now += 2 * DAY
    world.plan("confirm_consent")
    assert decided(world) == {"planned": 6, "asked_long_ago": 2}
    first = world.rows(
        "SELECT to_addr FROM messages WHERE status = 'planned' ORDER BY planned_at LIMIT 3"
    )
    assert {row.to_addr for row in first} == {f"p{n}@example.com" for n in range(3)}


def _with(world: World, **changes: Any) -> Any:
    from dataclasses import replace

    return replace(world.horizon, settings=world.horizon.settings.changed(**changes))


def test_the_pipeline_plans_it_like_the_others(world: World) -> None:
    ask(world)
    with world.horizon.database.transaction(Role.WORKER) as tx:
        from horizon.campaigns import stage as campaigns

        assert "confirm_consent" in campaigns.active(tx)
    shown = stages.rehearse_campaign(world.horizon, "confirm_consent", world.now).decisions
    assert [(one["user_id"], one["status"]) for one in shown] == [("p0", "planned")]
    assert world.rows("SELECT FROM messages") == []
    assert world.rows("SELECT FROM opt_ins WHERE decided_at IS NOT NULL") == []


def test_the_operator_asks_by_hand(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("PG_DSN", "HORIZON_HOME", "LOG_PATH"):
        monkeypatch.setenv(name, str(getattr(world.horizon.settings, name)))
    for _ in range(2):
        assert cli.run(["consent", "ask", "ann@example.com", "--language", "de"]) == 0
    assert "confirm_consent" in capsys.readouterr().out
    world.now = world.rows("SELECT max(asked_at) AS at FROM opt_ins")[0].at
    world.plan("confirm_consent")
    assert decided(world) == {"planned": 1, "asked_today": 1}
    (row,) = world.rows("SELECT variables FROM messages WHERE status = 'planned'")
    assert row.variables["language"] == "de"
    audits = world.rows("SELECT * FROM audit")
    assert [row.action for row in audits] == ["consent:asked"] * 2
    assert "ann@" not in json.dumps([row.object for row in audits])


def _values(at: Any) -> dict[str, Any]:
    return {
        "campaign": "confirm_consent", "template": "t", "template_digest": "d", "quiet_days": 1,
        "correlation_id": uuid4(), "now": at, "clock": at,
    }  # fmt: skip


def _insert(tx: Connection, asks: list[tuple[UUID, Any]]) -> None:
    tx.cursor().executemany(
        "INSERT INTO opt_ins (node, address_hash, to_addr, purpose, channel, wording, asked_at)"
        " VALUES (%s, %s, 'ann@example.com', 'marketing', 'email', 'w', %s)",
        [(address, address, at) for address, at in asks],
    )


ADDRESSES = [UUID(int=n) for n in range(5)]


def _ask_and_plan(database: Database, at: Any, barrier: threading.Barrier) -> None:
    """A planner with wishes that no other one sees yet, and without the runner's stage lock."""
    with closing_connection(database.connect(Role.WORKER)) as tx, tx:
        _insert(tx, [(address, at) for address in ADDRESSES for _ in range(3)])
        barrier.wait()
        opt_in.plan(tx, _values(NOW), 1000)


def test_planners_at_once_make_one_mail_of_many_wishes(database: Database) -> None:
    barrier = threading.Barrier(6)
    threads = [
        threading.Thread(target=_ask_and_plan, args=(database, NOW - turn * HOUR, barrier))
        for turn in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with database.transaction(Role.OWNER) as tx:
        rows = tx.execute(
            "SELECT address_hash, count(*) FILTER (WHERE status = 'planned') AS mails,"
            " count(*) AS decided FROM messages GROUP BY 1"
        ).fetchall()
    assert {row.address_hash: (row.mails, row.decided) for row in rows} == dict.fromkeys(
        ADDRESSES, (1, 18)
    )


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    asks=st.lists(st.tuples(st.integers(0, 2), st.integers(0, 96)), max_size=12),
    runs=st.lists(st.integers(0, 120), min_size=1, max_size=8),
)
def test_no_address_gets_two_within_a_day_whenever_asks_and_runs_come(
    asks: list[tuple[int, int]], runs: list[int], module_database: Database
) -> None:
    with module_database.connect(Role.WORKER) as tx:
        _insert(tx, [(UUID(int=who), NOW + hours * HOUR) for who, hours in asks])
        for hours in runs:  # also backwards, as --now can be
            opt_in.plan(tx, _values(NOW + hours * HOUR), 1000)
        mails = tx.execute(
            "SELECT address_hash, planned_at FROM messages WHERE status = 'planned' ORDER BY 1, 2"
        ).fetchall()
        undecided = tx.execute("SELECT asked_at FROM opt_ins WHERE decided_at IS NULL").fetchall()
        tx.rollback()
    for one, other in itertools.pairwise(mails):
        if one.address_hash == other.address_hash:
            assert abs(other.planned_at - one.planned_at) >= DAY
    assert all(row.asked_at > NOW + max(runs) * HOUR for row in undecided)
