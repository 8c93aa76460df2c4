"""A mail server that misbehaves, under a campaign: each message's end, and the others all sent."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from horizon.delivery import lane
from horizon.errors import TransportError
from horizon.pipeline import outgoing
from tests.parts import certificate
from tests.servers.smtp_recorder import SmtpRecorder
from tests.world import World

TIMEOUT_S = 1
PEOPLE = 24

# Whoever's address begins with the name: what the server does, and how the message ends. What
# test_delivery.py shows of one message among three stands there.
FAULTS: dict[str, tuple[dict[str, Any], str, str | None]] = {
    "garble-r": ({"at": "rcpt", "answer": "what do you want"}, "planned", None),
    "garble-d": ({"at": "data", "answer": "999 what"}, "planned", None),
    "garble-c": ({"at": "content", "answer": "\x16\x03\x01\x02"}, "unknown", "connection_broke"),
    "nul-no": ({"at": "rcpt", "answer": "550 5.7.1 \x00no\x1b[2J"}, "failed", "blocked"),
    "nul-yes": ({"at": "content", "answer": "250 2.0.0 \x00ok \x07"}, "sent", None),
    "long-no": ({"at": "rcpt", "answer": "550 5.6.0 " + "no " * 13_000}, "failed", "refused"),
    "endless": ({"at": "rcpt", "answer": ("250-" + "x" * 900 + "\r\n") * 80 + "250 x"}, "planned", None),
    "drip-r": ({"at": "rcpt", "action": "drip"}, "planned", None),
    "drip-c": ({"at": "content", "action": "drip"}, "unknown", "connection_broke"),
    "sip": ({"at": "content-half", "action": "sip"}, "unknown", "connection_broke"),
    "hang-r": ({"at": "rcpt", "action": "hang"}, "planned", None),
    "hang-d": ({"at": "data", "action": "hang"}, "planned", None),
    "hang-c": ({"at": "content", "action": "hang"}, "unknown", "connection_broke"),
    "close-r": ({"at": "rcpt", "action": "close"}, "planned", None),
    "half": ({"at": "content-half", "action": "close"}, "unknown", "connection_broke"),
    "leave-c": ({"at": "content", "answer": "421 4.3.2 going down"}, "planned", None),
    "busy-c": ({"at": "content", "answer": "452 4.3.1 full"}, "planned", None),
    "null-mx": ({"at": "rcpt", "answer": "556 5.1.10 null MX"}, "bounced", "address_invalid"),
}  # fmt: skip


@pytest.fixture(autouse=True)
def _soon_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three tries at a server that is away are soon over."""
    monkeypatch.setattr(lane, "RECONNECT_WAIT_S", 0.05)


def _sending(world: World, recorder: SmtpRecorder, **more: Any) -> World:
    return world.sending(
        recorder.port, **{"SMTP_TIMEOUT_S": TIMEOUT_S, "SMTP_CONNECTIONS": 2, **more}
    )


def _people() -> list[str]:
    return [f"u{number}" for number in range(PEOPLE)]


def _rows(world: World) -> dict[str, Any]:
    rows = world.rows("SELECT to_addr, status, reason, answer FROM notifications_log")
    return {row.to_addr.partition("@")[0]: row for row in rows}


def _received(recorder: SmtpRecorder) -> Counter[str]:
    return Counter(mail["rcpt"][0].partition("@")[0] for mail in recorder.messages())


@pytest.mark.parametrize(
    "pipelining",
    [True, pytest.param(False, marks=pytest.mark.slow)],
    ids=["pipelined", "one-by-one"],
)
def test_each_fault_ends_its_own_message_and_no_other(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pipelining: bool
) -> None:
    monkeypatch.setattr(lane, "BREAKS", 1000)  # many faults come in a row here
    script = [{"match": name, **rule} for name, (rule, _, _) in FAULTS.items()]
    with SmtpRecorder(tmp_path, script, pipelining=pipelining) as recorder:
        world = _sending(world, recorder, SMTP_CONNECTIONS=4)
        assert world.planned(*FAULTS, *_people()) == len(FAULTS) + PEOPLE
        started = time.monotonic()
        outgoing.send(world.horizon)
        took_s = time.monotonic() - started
        received = _received(recorder)
    rows = _rows(world)
    ends = {name: (rows[name].status, rows[name].reason) for name in FAULTS}
    assert ends == {name: (status, reason) for name, (_, status, reason) in FAULTS.items()}
    for name in FAULTS:
        answer = rows[name].answer
        assert answer, name
        assert len(answer) <= 500, name
        assert answer.isprintable(), name
    assert {rows[user].status for user in _people()} == {"sent"}
    # What the server had taken before it spoke strangely is there, once, and in no row as unsent.
    assert received == Counter([*_people(), "nul-yes", "drip-c"])
    assert took_s < 2 + len(FAULTS) * TIMEOUT_S


@pytest.mark.parametrize(
    "rule",
    [{"at": "content", "action": "hang"}, {"at": "rcpt", "answer": "hello"},
     pytest.param({"at": "content-half", "action": "close"}, marks=pytest.mark.slow),
     pytest.param({"at": "data", "action": "hang"}, marks=pytest.mark.slow)],
    ids=["hangs-after-data", "garbage", "closes-half-way", "hangs-before-data"],
)  # fmt: skip
def test_a_server_that_breaks_off_with_each_counts_as_away(
    world: World, tmp_path: Path, rule: dict[str, Any]
) -> None:
    """A campaign is not left in doubt one by one, nor is each message tried for its timeout."""
    with SmtpRecorder(tmp_path, [rule]) as recorder:
        world = _sending(world, recorder)
        assert world.planned(*_people()) == PEOPLE
        started = time.monotonic()
        with pytest.raises(TransportError, match=r"broke off 5 times.*messages wait"):
            outgoing.send(world.horizon)
        assert time.monotonic() - started < 2 + lane.BREAKS * TIMEOUT_S
        states = Counter(row.status for row in _rows(world).values())
        assert states["unknown"] + states["planned"] == PEOPLE
        assert states["unknown"] <= lane.BREAKS + 1  # the other connection's
        recorder.restart([])
        world.rows("UPDATE outbox SET due_at = now() RETURNING 1")
        outgoing.send(world.horizon)
        assert max(_received(recorder).values()) == 1
        assert len(recorder.messages()) == PEOPLE - states["unknown"]


@pytest.mark.parametrize(
    "rule",
    [{"at": "connect", "answer": "421 4.3.2 too many"}, {"at": "connect", "action": "close"},
     {"at": "mail", "answer": "421 4.3.2 later"}, {"at": "mail", "answer": "451 4.3.0 later"},
     pytest.param({"at": "connect", "action": "hang"}, marks=pytest.mark.slow)],
    ids=["421", "close", "mail-421", "mail-451", "hang"],
)  # fmt: skip
def test_what_passes_is_tried_again(world: World, tmp_path: Path, rule: dict[str, Any]) -> None:
    with SmtpRecorder(tmp_path, [{**rule, "times": 2}]) as recorder:
        world = _sending(world, recorder)
        assert world.planned(*_people()) == PEOPLE
        outgoing.send(world.horizon)
        waiting = sum(row.status == "planned" for row in _rows(world).values())
        assert waiting == (2 if rule["at"] == "mail" else 0)
        world.rows("UPDATE outbox SET due_at = now() RETURNING 1")
        outgoing.send(world.horizon)
        assert _received(recorder) == Counter(_people())


@pytest.mark.parametrize(
    "rule",
    [{"answer": "454 4.7.0 TLS not available"}, {"action": "close"},
     pytest.param({"action": "hang"}, marks=pytest.mark.slow),
     pytest.param({"answer": "hello"}, marks=pytest.mark.slow)],
    ids=["454", "close", "hang", "garbage"],
)  # fmt: skip
def test_a_server_that_refuses_tls_it_offered_gets_nothing(
    world: World, tmp_path: Path, certificates: dict[str, tuple[Path, Path]],
    monkeypatch: pytest.MonkeyPatch, rule: dict[str, Any],
) -> None:  # fmt: skip
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates["good"][0]))
    script = [{"at": "starttls", **rule}]
    with SmtpRecorder(tmp_path, script, starttls=certificates["good"]) as recorder:
        world = _sending(world, recorder)
        assert world.planned(*_people()) == PEOPLE
        with pytest.raises(TransportError, match=f"does not serve us.*{PEOPLE} messages wait"):
            outgoing.send(world.horizon)
        assert recorder.messages() == []
        assert {row.status for row in _rows(world).values()} == {"planned"}
        recorder.restart([])
        outgoing.send(world.horizon)
        assert _received(recorder) == Counter(_people())
        assert all(mail["tls"] for mail in recorder.messages())


@pytest.mark.parametrize(
    ("kind", "said"),
    [("expired", "expired"), ("other-name", "mismatch|doesn't match|not valid for"),
     ("self-signed", "self.signed")],
)  # fmt: skip
def test_a_bad_certificate_gets_nothing_and_says_which(
    world: World, tmp_path: Path, certificates: dict[str, tuple[Path, Path]],
    monkeypatch: pytest.MonkeyPatch, kind: str, said: str,
) -> None:  # fmt: skip
    trusted = "good" if kind == "self-signed" else kind
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates[trusted][0]))
    with SmtpRecorder(tmp_path, starttls=certificates[kind]) as recorder:
        world = _sending(world, recorder)
        assert world.planned(*_people()) == PEOPLE
        with pytest.raises(TransportError, match=f"(?i)({said}).*{PEOPLE} messages wait"):
            outgoing.send(world.horizon)
        assert recorder.messages() == []
    assert {row.status for row in _rows(world).values()} == {"planned"}


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, Path]]:
    """Certificate and key of each kind, all for 127.0.0.1 but one."""
    folder = tmp_path_factory.mktemp("certificates")
    kinds: dict[str, tuple[str, int]] = {
        "good": ("IP:127.0.0.1", 2), "self-signed": ("IP:127.0.0.1", 2),
        "other-name": ("DNS:mail.example", 2), "expired": ("IP:127.0.0.1", -1),
    }  # fmt: skip
    return {kind: certificate(folder / kind, *values) for kind, values in kinds.items()}
