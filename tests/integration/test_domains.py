"""Domains that take no mail: learnt from a real name server, beside the sending."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import dns.resolver
import pytest
from hypothesis import given
from hypothesis import strategies as st

from horizon.consent import book
from horizon.delivery.channels.smtp import domains
from horizon.delivery.channels.smtp import resolver as resolving
from horizon.delivery.channels.smtp.resolver import (
    Answer,
    DnsResolver,
    NullResolver,
    is_null_mx,
    open_resolver,
    parse_servers,
)
from horizon.errors import SettingsError
from horizon.pipeline import lookups, outgoing, stages
from horizon.postgres.database import Role
from horizon.settings import Settings
from tests.servers.dns import DnsServer, Say, Zone
from tests.servers.smtp_recorder import SmtpRecorder
from tests.world import DAY, NOW, World

ZONE: Zone = {
    "shop.example": ["10 mail.shop.example.", "20 other.example."],
    "nomail.example": ["0 ."],
    "odd.example": ["0 .", "10 mail.shop.example."],
    "bare.example": Say.ADDRESS,
    "six.example": Say.ADDRESS_6,
    "none.example": Say.NONE,
    "sick.example": Say.SERVFAIL,
    "xn--bcher-kva.example": ["0 ."],
    "silent.example": Say.SILENCE,
    "babble.example": Say.NONSENSE,
}


@pytest.fixture
def name_server() -> Iterator[DnsServer]:
    with DnsServer({**ZONE, "example.com": ["10 mail.example.com."]}) as server:
        yield server


@pytest.fixture
def looking(world: World, name_server: DnsServer, tmp_path: Path) -> Iterator[World]:
    """A world that sends to a recorder and asks the name server."""
    with SmtpRecorder(tmp_path) as recorder:
        yield world.sending(recorder.port, DNS_LOOKUPS="on", DNS_SERVERS=name_server.address)


def _person(world: World, user: str, domain: str) -> None:
    world.person(user, 13 * DAY, email=f"{user}@{domain}")


def _look(world: World, until: Callable[[], bool] = lambda: True) -> None:
    """Ask about what waits, and send nothing."""
    with lookups.beside(world.horizon, uuid4(), threading.Event()):
        deadline = time.monotonic() + 10
        while not until() and time.monotonic() < deadline:
            time.sleep(0.02)


def _stopped(world: World) -> dict[str, str]:
    rows = world.rows("SELECT domain, reason FROM suppressed_domains")
    return {row.domain: row.reason for row in rows}


def _answers(world: World) -> dict[str, str]:
    return {row.domain: row.answer for row in world.rows("SELECT domain, answer FROM domains")}


def _later(world: World, days: float = 7) -> None:
    with world.horizon.database.transaction(Role.OWNER) as tx:
        tx.execute("UPDATE domains SET asked_at = asked_at - %s * interval '1 day'", [days])


@pytest.mark.parametrize(
    ("domain", "answer"),
    [
        ("shop.example", Answer.TAKES_MAIL),
        ("nomail.example", Answer.NULL_MX),
        ("odd.example", Answer.TAKES_MAIL),
        ("bare.example", Answer.TAKES_MAIL),
        ("six.example", Answer.TAKES_MAIL),
        ("none.example", Answer.NOWHERE),
        ("there-is-none.example", Answer.NOWHERE),
        ("sick.example", Answer.UNANSWERED),
        ("silent.example", Answer.UNANSWERED),
        ("babble.example", Answer.UNANSWERED),
        ("bücher.example", Answer.NULL_MX),
        ("a..example", Answer.NOWHERE),
        (f"{'x' * 64}.example", Answer.NOWHERE),
        (".".join(["x" * 60] * 5), Answer.NOWHERE),
    ],
)
def test_what_a_domain_s_dns_says(
    name_server: DnsServer, monkeypatch: pytest.MonkeyPatch, domain: str, answer: Answer
) -> None:
    monkeypatch.setattr(resolving, "LONGEST_S", 0.5)
    resolver = DnsResolver(parse_servers(name_server.address))
    assert asyncio.run(resolver.ask(domain)) == answer


@given(
    st.lists(st.tuples(st.integers(0, 65535), st.sampled_from([".", "mx.example."])), max_size=4)
)
def test_only_the_single_record_of_rfc_7505_is_a_null_mx(records: list[tuple[int, str]]) -> None:
    said = [f"{preference} {host}" for preference, host in records]
    assert is_null_mx(said) == (records == [(0, ".")])


def test_servers_are_read_as_they_are_written() -> None:
    assert parse_servers("192.0.2.53, 192.0.2.54:5353,[2001:db8::53]:54,") == [
        ("192.0.2.53", 53), ("192.0.2.54", 5353), ("2001:db8::53", 54),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "text", ["ns.example", "192.0.2.53:0", "192.0.2.53:99999", "[x]:53", ":53"]
)
def test_a_server_that_cannot_be_read_says_how_to_write_it(text: str) -> None:
    with pytest.raises(SettingsError, match="DNS_SERVERS has"):
        parse_servers(text)


def test_a_machine_without_a_name_server_sends_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def none(*_: Any, **__: Any) -> None:
        raise dns.resolver.NoResolverConfiguration

    monkeypatch.setattr(dns.resolver.BaseResolver, "read_resolv_conf", none)
    resolver = open_resolver(Settings())
    assert isinstance(resolver, NullResolver)
    assert asyncio.run(resolver.ask("shop.example")) == Answer.UNANSWERED


@pytest.mark.parametrize(
    ("more", "asks"),
    [
        ({}, False),
        ({"SMTP_HOST": "127.0.0.1"}, False),
        ({"SMTP_HOST": "smtp.mailgun.org"}, True),
        ({"SMTP_HOST": "smtp.mailgun.org", "DNS_LOOKUPS": "off"}, False),
        ({"SMTP_HOST": "localhost", "DNS_LOOKUPS": "on"}, True),
    ],
)
def test_a_laptop_asks_nobody(more: dict[str, str], asks: bool) -> None:
    assert Settings().changed(**more).dns_lookups == asks


def test_a_domain_with_a_null_mx_is_written_to_no_more(looking: World) -> None:
    _person(looking, "ann", "nomail.example")
    _person(looking, "bob", "bücher.example")
    looking.planned("zed")
    _look(looking, lambda: len(_stopped(looking)) == 2)
    assert _stopped(looking) == {"nomail.example": "null_mx", "bücher.example": "null_mx"}
    outgoing.send(looking.horizon)
    assert looking.states() == {"ann": "skipped", "bob": "skipped", "zed": "sent"}
    rows = looking.rows("SELECT DISTINCT reason FROM messages WHERE status = 'skipped'")
    assert [row.reason for row in rows] == ["domain_null_mx"]


def test_planning_refuses_it_too(looking: World) -> None:
    _person(looking, "ann", "nomail.example")
    looking.planned("zed")
    outgoing.send(looking.horizon)
    _person(looking, "eve", "nomail.example")
    looking.now += DAY
    looking.score()
    looking.alert()
    assert looking.plan().figures["reasons"] == {"domain_null_mx": 1}


def test_what_nobody_knows_or_nobody_has_is_counted_and_blocks_nothing(
    looking: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resolving, "LONGEST_S", 0.5)
    for user, domain in [("ann", "sick.example"), ("bob", "silent.example"),
                         ("cat", "there-is-none.example"), ("dan", "none.example"),
                         ("eve", "nomail.example")]:  # fmt: skip
        _person(looking, user, domain)
    looking.planned("zed")
    run = uuid4()
    outgoing.send(looking.horizon, run)
    states = looking.states()
    assert {states[user] for user in ("ann", "bob", "cat", "dan", "zed")} == {"sent"}
    assert list(_stopped(looking)) == ["nomail.example"]
    assert _answers(looking) == {
        "sick.example": "unanswered", "silent.example": "unanswered", "example.com": "takes_mail",
        "there-is-none.example": "nowhere", "none.example": "nowhere",
        "nomail.example": "null_mx",
    }  # fmt: skip
    (row,) = looking.rows("SELECT figures, correlation_id FROM runs WHERE stage = 'domains'")
    assert row.correlation_id == run
    assert row.figures == {"asked": 6, "null_mx": 1, "freed": 0, "nowhere": 2, "unanswered": 2}


def test_a_campaign_that_is_run_at_once_asks_about_its_domains(
    looking: World, name_server: DnsServer
) -> None:
    looking.people(*(f"u{number}@d{number}.example" for number in range(80)))
    _person(looking, "ann", "nomail.example")
    looking.score()
    looking.alert()
    stages.run_campaign(looking.horizon, "miss_you", stop=threading.Event())
    assert len(set(name_server.names())) == len(name_server.names()) == 81
    assert _stopped(looking) == {"nomail.example": "null_mx"}


def test_a_domain_is_asked_once_a_week(looking: World, name_server: DnsServer) -> None:
    looking.planned("ann", "bob")
    for _ in range(2):
        _look(looking)
    assert name_server.names() == ["example.com"]
    _later(looking)
    _look(looking)
    assert name_server.names() == ["example.com"] * 2


def test_without_an_answer_it_is_asked_again_after_an_hour(
    looking: World, name_server: DnsServer
) -> None:
    name_server.zone["example.com"] = Say.SERVFAIL
    looking.planned("ann")
    for days in (0, 0.02, 0.03):  # 29 minutes, 43 more
        _later(looking, days)
        _look(looking)
    assert name_server.names() == ["example.com"] * 2


def test_no_answer_frees_no_domain(looking: World, name_server: DnsServer) -> None:
    _person(looking, "ann", "nomail.example")
    looking.planned()
    _look(looking, lambda: "nomail.example" in _stopped(looking))
    for said in (Say.SERVFAIL, Say.NONE):
        name_server.zone["nomail.example"] = said
        _later(looking)
        _look(looking)
    assert _stopped(looking) == {"nomail.example": "null_mx"}
    assert name_server.names() == ["nomail.example"] * 3


def test_of_two_senders_one_asks(looking: World, name_server: DnsServer) -> None:
    for number in range(40):
        name_server.zone[f"d{number}.example"] = ["10 mail.shop.example."]
        _person(looking, f"u{number}", f"d{number}.example")
    looking.planned()
    senders = [threading.Thread(target=_look, args=(looking,)) for _ in range(4)]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()
    assert sorted(name_server.names()) == sorted(f"d{number}.example" for number in range(40))


def test_a_domain_that_takes_mail_again_is_freed_and_the_operator_s_word_stays(
    looking: World, name_server: DnsServer
) -> None:
    _person(looking, "ann", "nomail.example")
    _person(looking, "bob", "shop.example")
    looking.planned("zed")
    with looking.horizon.database.transaction(Role.OWNER) as tx:
        tx.execute("INSERT INTO suppressed_domains VALUES ('shop.example', 'manual', now())")
    _look(looking, lambda: "nomail.example" in _stopped(looking))
    outgoing.send(looking.horizon)
    name_server.zone["nomail.example"] = ["10 mail.shop.example."]
    _look(looking)
    assert "nomail.example" in _stopped(looking)
    _later(looking)
    _look(looking, lambda: "nomail.example" not in _stopped(looking))
    assert _stopped(looking) == {"shop.example": "manual"}
    (row,) = looking.rows(
        "SELECT max((figures->>'freed')::int) AS freed FROM runs WHERE stage = 'domains'"
    )
    assert row.freed == 1


def test_the_operator_s_word_outlives_a_null_mx(looking: World, name_server: DnsServer) -> None:
    _person(looking, "ann", "nomail.example")
    looking.planned("zed")
    _look(looking, lambda: "nomail.example" in _stopped(looking))
    with looking.horizon.database.transaction(Role.WORKER) as tx:
        assert book.suppress_domain(tx, "nomail.example", NOW)
    name_server.zone["nomail.example"] = ["10 mail.shop.example."]
    _later(looking)
    _look(looking)
    assert _stopped(looking) == {"nomail.example": "manual"}


def test_a_silent_name_server_delays_no_mail(
    looking: World, name_server: DnsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resolving, "LONGEST_S", 2.0)
    monkeypatch.setattr(lookups, "LINGER_S", 0.5)
    silent = [f"d{number}.example" for number in range(4 * domains.AT_ONCE)]
    name_server.zone.update(dict.fromkeys(silent, Say.SILENCE))
    looking.planned(*(f"somebody@{domain}" for domain in silent))
    started = time.monotonic()
    took_s = []
    outgoing.send(looking.horizon, on_messages=lambda _: took_s.append(time.monotonic() - started))
    assert max(took_s) < 1.9  # before the first of four rounds of questions is over
    assert time.monotonic() - started < 5
    assert set(looking.states().values()) == {"sent"}


def test_a_sender_that_is_told_to_stop_asks_nobody_else(
    looking: World, name_server: DnsServer
) -> None:
    looking.planned("ann")
    stop = threading.Event()
    stop.set()
    with lookups.beside(looking.horizon, uuid4(), stop):
        pass
    assert name_server.asked == []
