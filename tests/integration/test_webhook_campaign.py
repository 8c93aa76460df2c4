"""A webhook campaign from its consent to the receiver's answer, through the same outbox as mail."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from horizon import clock
from horizon.cli import main
from horizon.pipeline import stages
from tests.servers.http_recorder import HttpRecorder, answer
from tests.world import DAY, World

SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()


def _person(world: World, user: str, channel: str, *, granted: bool = True) -> None:
    item = world.identify(user, 25 * DAY, email=f"{user}@example.com", first_name=user.title())
    item["context"] = {"consent": {"categoryPreferences": {f"marketing.{channel}": granted}}}
    world.put(item, world.track(user, 13 * DAY))


def _add(target: str) -> None:
    words = [
        "campaign",
        "add",
        "told",
        "--audience",
        "alerts",
        "--channel",
        "webhook",
        "--template",
    ]
    assert main.run([*words, "full", "--target", target]) == 0


def _is_sealed(world: World) -> bool:
    """Whether the history has every message as it is now."""
    messages = {(row.message_id, row.status) for row in world.rows("SELECT * FROM messages")}
    sealed = world.rows("SELECT message_id, state FROM history WHERE thing = 'message'")
    return bool(messages) and messages <= {(row.message_id, row.state) for row in sealed}


def test_who_agreed_to_webhooks_is_told_of_once(
    here: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with HttpRecorder([answer(503), answer(204)]) as receiver:
        monkeypatch.setenv("OUTBOUND_ALLOW", f"127.0.0.1:{receiver.port}")
        monkeypatch.setenv("WEBHOOK_SECRET", SECRET)
        monkeypatch.setenv("WEBHOOK_CONNECTIONS", "1")
        _person(here, "ann", "webhook")
        _person(here, "bob", "webhook")
        _person(here, "mail", "email")
        _person(here, "no", "webhook", granted=False)
        here.score()
        here.alert()
        _add(receiver.url)
        assert main.run(["campaign", "run", "told", "--now", here.now.isoformat()]) == 0
        assert _is_sealed(here)
        assert main.run(["send"]) == 0
        assert _is_sealed(here)
        asked = [json.loads(request.body)["data"] for request in receiver.requests]
    told = {row.user_id: row for row in here.rows("SELECT * FROM notifications_log")}
    assert {user: row.status for user, row in told.items()} == {
        "ann": "planned", "bob": "sent", "mail": "skipped", "no": "skipped",
    } or {user: row.status for user, row in told.items()} == {
        "ann": "sent", "bob": "planned", "mail": "skipped", "no": "skipped",
    }  # fmt: skip
    assert (told["mail"].reason, told["no"].reason) == ("no_consent", "refused")
    deferred = next(row for row in told.values() if row.status == "planned")
    assert (deferred.answer, deferred.attempts) == ("503 Service Unavailable", 1)
    assert sorted(one["user_id"] for one in asked) == ["ann", "bob"]
    (sent,) = (one for one in asked if told[one["user_id"]].status == "sent")
    assert sent["first_name"] == sent["user_id"].title()
    assert sent["message_id"] == str(told[sent["user_id"]].message_id)


def test_a_target_that_does_not_serve_us_stops_no_other_campaign(
    here: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with HttpRecorder() as receiver, HttpRecorder([answer(302, {"Location": "/x"})]) as elsewhere:
        places = f"127.0.0.1:{receiver.port} 127.0.0.1:{elsewhere.port}"
        monkeypatch.setenv("OUTBOUND_ALLOW", places)
        monkeypatch.setenv("WEBHOOK_SECRET", SECRET)
        monkeypatch.setenv("WEBHOOK_CONNECTIONS", "1")
        _person(here, "ann", "webhook")
        here.score()
        here.alert()
        _add(elsewhere.url)
        words = ["campaign", "add", "fine", "--audience", "alerts", "--channel", "webhook"]
        assert main.run([*words, "--template", "thin", "--target", receiver.url]) == 0
        changed = here.horizon.settings.changed(OUTBOUND_ALLOW=places)
        for name in ("told", "fine"):
            stages.plan_campaign(replace(here.horizon, settings=changed), name, here.now)
        assert not _is_sealed(here)
        assert main.run(["send"]) == 1
        assert "no redirect is followed" in capsys.readouterr().err
        assert _is_sealed(here), "what was sent before it failed"
    states = {row.campaign_id: row for row in here.rows("SELECT * FROM notifications_log")}
    assert (states["fine"].status, states["told"].status) == ("sent", "planned")
    (row,) = here.rows("SELECT due_at FROM outbox")
    assert row.due_at > clock.now() + timedelta(minutes=4)
