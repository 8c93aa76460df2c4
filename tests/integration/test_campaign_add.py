"""`horizon campaign add`: a row, an audit entry, or one sentence."""

from __future__ import annotations

import pytest

from horizon.cli import main
from horizon.delivery import channels
from horizon.delivery.channels import check_settings
from tests.world import World

WEBHOOK = [
    "--channel",
    "webhook",
    "--template",
    "full",
    "--target",
    "https://hooks.example/t/s3cret",
]


def _add(*words: str) -> int:
    return main.run(["campaign", "add", *words])


def _campaigns(world: World) -> set[str]:
    return {row.campaign for row in world.rows("SELECT campaign FROM campaigns")}


def test_a_webhook_campaign(here: World, capsys: pytest.CaptureFixture[str]) -> None:
    assert _add("told", "--audience", "alerts", *WEBHOOK) == 0
    assert "horizon campaign run told" in capsys.readouterr().out
    [row] = here.rows("SELECT * FROM campaigns WHERE campaign = 'told'")
    assert row._asdict() == {
        "campaign": "told", "audience": "alerts", "template": "full", "channel": "webhook",
        "purpose": "marketing", "every_days": None, "target": WEBHOOK[-1], "status": "active",
    }  # fmt: skip
    [entry] = here.rows("SELECT action, object, details FROM audit WHERE action = 'campaign:added'")
    assert entry.object == "told"
    assert entry.details == {"audience": "alerts", "channel": "webhook", "purpose": "marketing"}
    assert _add("told", "--audience", "alerts", *WEBHOOK) == 2
    assert "There is a campaign 'told' already" in capsys.readouterr().err


def test_for_engaged_people_now_and_then(here: World) -> None:
    assert _add("thanks", "--audience", "engaged", *WEBHOOK, "--every-days", "14") == 0
    [row] = here.rows("SELECT audience, every_days FROM campaigns WHERE campaign = 'thanks'")
    assert row == ("engaged", 14)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["Told You", "--audience", "alerts", *WEBHOOK], "is not called 'Told You'"),
        (["told", "--audience", "engaged", *WEBHOOK], "needs --every-days"),
        (["told", "--audience", "alerts", *WEBHOOK, "--every-days", "3"], "takes no --every-days"),
        (
            ["told", "--audience", "alerts", *WEBHOOK, "--purpose", "news"],
            "no purpose 'news': choose marketing",
        ),
        (["told", "--audience", "alerts", *WEBHOOK, "--channel", "pigeon"], "no channel 'pigeon'"),
        (["told", "--audience", "alerts", *WEBHOOK, "--template", "miss"], "one of full, thin"),
        (
            ["told", "--audience", "alerts", *WEBHOOK, "--target", "https://10.0.0.1/"],
            "OUTBOUND_ALLOW",
        ),
        (["told", "--audience", "alerts", *WEBHOOK[:-2]], "needs --target"),
    ],
)
def test_one_sentence_and_no_row(
    words: list[str], said: str, here: World, capsys: pytest.CaptureFixture[str]
) -> None:
    before = _campaigns(here)
    assert _add(*words) in {1, 2}
    error = capsys.readouterr().err
    assert said in error
    assert error.startswith("horizon: ")
    assert error.count("\n") == 1
    assert "s3cret" not in error
    assert _campaigns(here) == before
    assert here.rows("SELECT FROM audit WHERE action = 'campaign:added'") == []


def test_a_malformed_channel_s_setting_stops_every_command(
    here: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WEBHOOK_TIMEOUT_S", "soon")
    assert main.run(["campaign", "list"]) == 2
    assert "WEBHOOK_TIMEOUT_S is 'soon'" in capsys.readouterr().err
    monkeypatch.delenv("WEBHOOK_TIMEOUT_S")
    check_settings()


@pytest.mark.skipif(
    "email" not in channels.names(), reason="the mail channel is not a folder like all yet"
)
def test_a_mail_campaign(here: World, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--audience", "alerts", "--template", "miss_you"]
    assert _add("back", *words) == 0
    [row] = here.rows("SELECT channel, target FROM campaigns WHERE campaign = 'back'")
    assert row == ("email", None)
    assert _add("other", *words, "--target", "https://hooks.example/") == 2
    assert "--target" in capsys.readouterr().err
    assert _add("other", "--audience", "alerts", "--template", "miss_yu") == 2
    assert "miss_you" in capsys.readouterr().err
