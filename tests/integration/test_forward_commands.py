"""`horizon forward ...`, as a person types it."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from horizon.cli import main
from horizon.pipeline.forwarder import wanted_file
from tests.forwarding import forwarding, standing, until
from tests.servers.http_recorder import answer
from tests.servers.segment_endpoint import SegmentEndpoint, key_of
from tests.world import World

URL = "https://192.0.2.7/hook/s3cret"  # nobody's: an address for documents


def forward(*words: str) -> int:
    untried = ["--no-try"] if words[0] == "add" and URL in words else []  # it never answers
    return main.run(["forward", *words, *untried])


def told(capsys: pytest.CaptureFixture[str], *words: str) -> list[dict[str, Any]]:
    capsys.readouterr()
    assert forward(*words, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert isinstance(found, list)
    return found


def actions(world: World) -> list[tuple[str, str]]:
    rows = world.rows("SELECT action, object FROM audit ORDER BY audit_id")
    return [(row.action, row.object) for row in rows]


def test_its_whole_life(here: World, capsys: pytest.CaptureFixture[str]) -> None:
    here.put(here.track("ann", timedelta(0)))
    with SegmentEndpoint() as there:
        assert forward("add", there.url, "--key", "k1", "--name", "old", "--allow-private",
                       "--source", "server", "--from", "2026-06-01") == 0  # fmt: skip
        assert wanted_file(here.horizon.settings.home).exists()
        assert told(capsys, "status")[0]["state"] == "not running"
        with forwarding(here.horizon):
            until(lambda: standing(here.horizon).sent == 1)
            there.judge = lambda _: answer(400, body=b"no")
            here.put(here.track("ann", timedelta(0)))
            until(lambda: standing(here.horizon).refused == 1)
        there.judge = lambda _: None
        [day] = told(capsys, "compare", "old", "--day", "2026-06-15")
        assert (day["accepted"], day["sent"], day["refused"], day["left"]) == (2, 1, 1, 0)
        [refused] = told(capsys, "refused", "old")
        assert (refused["status"], refused["answer"]) == (400, "no")
        assert forward("pause", "old") == 0
        assert told(capsys, "status")[0]["state"] == "paused"
        assert forward("replay", "old", "--from", "2026-06-15", "--to", "2026-06-16") == 0
        assert forward("resume", "old") == 0
        assert forward("set", "old", "--key", "k2") == 0
        with forwarding(here.horizon):
            until(lambda: standing(here.horizon).sent_again == 2)
        assert key_of(there.requests[-1]) == "k2:"
        assert forward("remove", "old") == 0
    assert told(capsys, "list") == []
    done = ["added", "paused", "replayed", "resumed", "changed", "removed"]
    assert actions(here) == [(f"forward:{what}", "old") for what in done]


def test_neither_key_nor_path_is_shown(here: World, capsys: pytest.CaptureFixture[str]) -> None:
    assert forward("add", URL, "--key", "k1secret", "--name", "old", "--allow-private") == 0
    for words in (["list"], ["status"], ["list", "--json"], ["status", "--json"]):
        assert forward(*words) == 0
    said = capsys.readouterr()
    noted = str(here.rows("SELECT * FROM audit"))
    assert "https://192.0.2.7" in noted
    assert "secret" not in noted
    assert "s3cret" not in noted
    assert "https://192.0.2.7" in said.out
    assert "s3cret" not in said.out + said.err
    assert "k1secret" not in said.out + said.err


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["add", "localhost:9000", "--key", "k"], "no scheme: write https:// before it, or http://"),
        (["add", "api.example.com/v1", "--key", "k"], "no scheme: write https:// before it"),
        (["add", "ftp://example.com", "--key", "k"], "not sent by ftp: give the endpoint's web address"),
        (["add", "https://", "--key", "k"], "neither a name nor an IP address"),
        (["add", "http://127.0.0.1:9", "--key", "k"], "Or say --allow-private."),
        (["add", "https://[::1]/", "--key", "k"], "Or say --allow-private."),
        (["add", URL, "--key", "k", "--allow-private", "--name", "A b"], "give --name with a to z"),
        (["add", URL, "--key", " ", "--allow-private"], "The key is empty"),
        (["add", URL, "--key", "a:b", "--allow-private"], "The key is empty"),
        (["add", URL, "--key", "k", "--allow-private", "--source", "x"], "no source 'x'"),
        (["add", URL, "--key", "k", "--allow-private", "--source", "horizon"], "choose a source"),
        (["add", URL, "--key", "k", "--allow-private", "--from", "soon"], "'soon' is not a time"),
        (["add", URL], "The receiver's write key"),
        (["pause", "nobody"], "no forward 'nobody': `horizon forward list`"),
        (["resume", "nobody"], "no forward 'nobody'"),
        (["remove", "nobody"], "no forward 'nobody'"),
        (["refused", "nobody"], "no forward 'nobody'"),
        (["compare", "nobody"], "no forward 'nobody'"),
        (["set", "nobody", "--key", "k"], "no forward 'nobody'"),
        (["replay", "nobody", "--from", "2026-01-01"], "no forward 'nobody'"),
        (["replay", "nobody", "--from", "2026-01-02", "--to", "2026-01-01"], "not before --to"),
    ],
)  # fmt: skip
def test_wrong_use_is_told_in_one_sentence(
    here: World, words: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert forward(*words) == 2
    said = capsys.readouterr().err
    assert sentence in said.replace("│", "")
    assert not here.rows("SELECT FROM forwards")
    assert not actions(here)


def test_a_name_is_given_once(here: World, capsys: pytest.CaptureFixture[str]) -> None:
    assert forward("add", URL, "--key", "k", "--allow-private") == 0
    assert forward("add", URL, "--key", "k", "--allow-private") == 2
    assert "There is a forward '192.0.2.7' already" in capsys.readouterr().err


def test_another_address_needs_its_key(here: World, capsys: pytest.CaptureFixture[str]) -> None:
    assert forward("add", URL, "--key", "k", "--allow-private", "--name", "old") == 0
    assert forward("set", "old", "--url", "https://192.0.2.8") == 2
    assert (
        forward(
            "set", "old", "--url", "https://192.0.2.8", "--key", "k", "--allow-private", "--no-try"
        )
        == 0
    )
    assert told(capsys, "list")[0]["url"] == "https://192.0.2.8"


def test_another_address_is_not_private_because_the_last_one_was(
    here: World, capsys: pytest.CaptureFixture[str]
) -> None:
    def allowed() -> bool:
        return bool(here.rows("SELECT allow_private FROM forwards")[0].allow_private)

    assert forward("add", URL, "--key", "k", "--allow-private", "--name", "old") == 0
    assert forward("set", "old", "--key", "k2") == 0
    assert allowed()
    assert forward("set", "old", "--key", "k", "--url", "http://127.0.0.1:9") == 2
    assert "Or say --allow-private." in capsys.readouterr().err
    assert forward("set", "old", "--key", "k", "--url", "https://93.184.216.34", "--no-try") == 0
    assert not allowed()


def test_a_key_that_the_endpoint_refuses_is_told_at_once(
    here: World, capsys: pytest.CaptureFixture[str]
) -> None:
    with SegmentEndpoint() as there:
        words = ("add", there.url, "--key", "k", "--allow-private", "--name", "old")
        there.judge = lambda _: answer(401)
        assert forward(*words) == 2
        assert "does not take this key (it answers 401)" in capsys.readouterr().err
        assert not here.rows("SELECT FROM forwards")
        assert not actions(here)
        assert forward(*words, "--no-try") == 0
        kept = here.rows("SELECT box FROM forward_keys")
        assert forward("set", "old", "--key", "k2") == 2
        assert "does not take this key (it answers 401)" in capsys.readouterr().err
        assert here.rows("SELECT box FROM forward_keys") == kept
        assert forward("remove", "old") == 0
        for status, odd in ((200, False), (400, False), (404, True), (503, True)):
            there.judge = lambda _, status=status: answer(status)
            capsys.readouterr()
            assert forward(*words) == 0
            assert ("could not be tried" in capsys.readouterr().out) == odd
            assert forward("remove", "old") == 0
        assert there.events == []
    assert forward(*words) == 0  # nobody is there
    assert "could not be tried" in capsys.readouterr().out


def test_nothing_yet(here: World, capsys: pytest.CaptureFixture[str]) -> None:
    assert forward("list") == forward("status") == 0
    assert capsys.readouterr().out.count("No forward yet") == 2
    assert told(capsys, "status") == []


def test_a_comparison_counts_what_is_left(here: World, capsys: pytest.CaptureFixture[str]) -> None:
    here.now = datetime.now(UTC)
    here.put(here.track("eve", timedelta(0)), here.track("fay", timedelta(0)))  # before it
    assert forward("add", URL, "--key", "k", "--allow-private", "--name", "old") == 0
    assert told(capsys, "compare", "old") == []
    here.put(here.track("ann", timedelta(0)), here.identify("ann"))
    rows = told(capsys, "compare", "old")
    assert {row["type"]: row["left"] for row in rows} == {"track": 1, "identify": 1}
    assert told(capsys, "status")[0]["lag_events"] == 2
