"""`horizon source`: what a person types, reads and gets back."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator

import pytest

from horizon.cli import main
from horizon.events.sources import find_source_by_key
from horizon.postgres.database import Role
from horizon.serving import key_use
from tests.servers.collector import Application
from tests.world import World

GOOD = {"type": "track", "userId": "u1", "event": "Viewed"}
PAGE = "https://shop.example"
Said = pytest.CaptureFixture[str]


@pytest.fixture
def app(here: World) -> Iterator[Application]:
    with Application(here.horizon.settings) as running:
        yield running


def source(*words: str) -> int:
    return main.run(["source", *words])


def added(said: Said, *words: str) -> str:
    assert source("add", *words, "--json") == 0
    return str(json.loads(said.readouterr().out)["key"])


def shown(said: Said, name: str) -> dict[str, object]:
    assert source("show", name, "--json") == 0
    row: dict[str, object] = json.loads(said.readouterr().out)
    return row


def actions(world: World) -> list[str]:
    return [row.action for row in world.rows("SELECT action FROM audit ORDER BY audit_id")]


def test_a_source_is_added_with_its_limits_and_its_key_is_kept_nowhere(
    here: World, capsys: Said
) -> None:
    limits = ("--origin", "https://Shop.example/", "--origin", "https://*.shop.example")
    key = added(capsys, "web", "--kind", "public", *limits, "--rate", "20", "--burst", "500")
    row = shown(capsys, "web")
    assert row["origins"] == ["https://shop.example", "https://*.shop.example"]
    assert (row["rate"], row["burst"], row["enabled"]) == (20, 500, True)
    assert (row["key"], row["last_used"], row["old_key"]) == (key[:6], None, None)
    with here.horizon.database.transaction(Role.WORKER) as tx:
        assert find_source_by_key(tx, key) is not None
    for table in ("sources", "source_keys", "audit"):
        assert key not in repr(here.rows(f"SELECT * FROM {table}"))
    assert source("list") == 0
    assert "20 events/s, 500 at once" in capsys.readouterr().out
    assert actions(here) == ["source:added"]


def test_the_key_is_printed_in_what_to_paste(here: World, capsys: Said) -> None:
    url = here.horizon.settings.public_url
    assert source("add", "shop") == 0
    out = capsys.readouterr().out
    key = out.split("again: ")[1].split()[0]
    assert "--- @segment/analytics-node ---" in out
    assert out.count(key) > 3
    assert "<script>" not in out  # a page cannot keep a secret
    assert source("add", "web", "--kind", "public", "--sdk", "page") == 0
    out = capsys.readouterr().out
    assert out.count("---") == 2
    assert "<script>" in out
    assert source("add", "third", "--sdk", "Python", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["url"], told["kind"]) == (url, "server")
    assert sorted(told["snippets"]) == ["rudder-sdk-python", "segment-analytics-python"]
    assert all(told["key"] in text for text in told["snippets"].values())


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("add", "a b"), "cannot be typed well"),
        (("add", "shop", "--kind", "file"), "use public or server"),
        (("add", "shop", "--origin", "shop.example"), "like https://shop.example"),
        (("add", "shop", "--sdk", "kotlin"), "there are those for segment-analytics-python"),
        (("show", "nope"), "`horizon source list`"),
        (("enable", "nope"), "`horizon source list`"),
        (("set", "nope", "--no-limit"), "`horizon source list`"),
        (("set", "horizon"), "nothing to set"),
        (("set", "horizon", "--rate", "5", "--no-limit"), "takes away what --rate and --burst set"),
        (("set", "horizon", "--origin", PAGE, "--any-origin"), "takes away what --origin lists"),
        (("remove", "nope"), "`horizon source list`"),
        (("remove", "horizon"), "is Horizon's own"),
        (("rename", "nope", "x"), "`horizon source list`"),
        (("rename", "horizon", "x"), "is Horizon's own"),
        (("rename", "nope", "a b"), "cannot be typed well"),
        (("rotate", "horizon"), "has no key"),
        (("rotate", "nope"), "`horizon source list`"),
        (("rotate", "horizon", "--old-until", "soon"), "--old-until 'soon' is not a time"),
        (("rotate", "horizon", "--finish", "--old-until", "now"), "leave --old-until out"),
        (("rotate", "horizon", "--old-until", "2020-01-01"), "2020-01-01 is over already"),
        (("rotate", "horizon", "--force"), "goes with --finish"),
        (("disable", "horizon"), "nothing to change, limit or disable"),
        (("enable", "horizon"), "of kind internal"),
        (("set", "horizon", "--rate", "5"), "of kind internal"),
        (("wait", "nope"), "`horizon source list`"),
    ],
)  # fmt: skip
@pytest.mark.usefixtures("here")
def test_a_mistake_is_told_in_a_sentence(words: tuple[str, ...], told: str, capsys: Said) -> None:
    assert source(*words) == 2
    assert told in capsys.readouterr().err


def test_a_key_that_senders_have_already_is_brought_along(
    here: World, app: Application, capsys: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = "aB3.dE5_gH7~jK9-mN1p"
    assert added(capsys, "shop", "--key", key) == key
    assert app.post("/v1/track", GOOD, key).status == 200
    assert source("add", "other", "--key", key) == 2
    assert "Source shop has this key already" in capsys.readouterr().err
    for wrong in ("short", "x" * 201, "with a space in its middle", "k\u00fcrzer-als-sonst-etwas"):
        assert source("add", "other", "--key", wrong) == 2
        told = capsys.readouterr().err
        assert "16 to 200 letters" in told
        fits = 16 <= len(wrong) <= 200
        assert ("another character" if fits else f"has {len(wrong)} characters") in told
        assert wrong not in told
    monkeypatch.setenv("HORIZON_SOURCE_ADD_KEY", "x" * 16)
    assert added(capsys, "site", "--kind", "public") == "x" * 16
    assert [row.name for row in here.rows("SELECT name FROM sources ORDER BY source_id")] == [
        "horizon", "shop", "site",
    ]  # fmt: skip
    for table in ("audit", "sources", "source_keys"):
        assert key not in str(here.rows(f"SELECT * FROM {table}"))


def test_limits_are_changed_one_by_one(here: World, capsys: Said) -> None:
    added(capsys, "web", "--kind", "public", "--rate", "20")
    assert source("set", "web", "--origin", "https://a.example") == 0
    assert source("set", "web", "--burst", "7") == 0
    row = shown_quietly(capsys, "web")
    assert (row["origins"], row["rate"], row["burst"]) == (["https://a.example"], 20, 7)
    assert source("set", "web", "--any-origin", "--no-limit") == 0
    row = shown_quietly(capsys, "web")
    assert (row["origins"], row["rate"], row["burst"]) == ([], None, None)
    assert source("disable", "web") == 0
    assert shown_quietly(capsys, "web")["enabled"] is False
    assert source("enable", "web") == 0
    assert shown_quietly(capsys, "web")["enabled"] is True
    assert actions(here) == ["source:added", *["source:changed"] * 3, "source:disabled",
                             "source:enabled"]  # fmt: skip


def shown_quietly(said: Said, name: str) -> dict[str, object]:
    said.readouterr()
    return shown(said, name)


def test_a_key_is_changed_in_three_steps(here: World, capsys: Said) -> None:
    old = added(capsys, "shop")
    assert source("rotate", "shop") == 0
    new = capsys.readouterr().out.split("again: ")[1].split()[0]
    row = shown(capsys, "shop")
    assert (row["key"], row["old_key"]) == (new[:6], old[:6])
    assert source("rotate", "shop") == 2
    assert "has two keys" in capsys.readouterr().err
    assert source("rotate", "shop", "--finish") == 0
    assert f"The old key {old[:6]}... of shop has ended: never used." in capsys.readouterr().out
    assert source("rotate", "shop", "--finish") == 2
    assert source("rotate", "shop", "--old-until", "now") == 0  # the second one was read by others
    assert "The old one has ended." in capsys.readouterr().out
    assert actions(here) == ["source:added", "source:key:rotated", "source:key:ended",
                             "source:key:rotated"]  # fmt: skip


def test_an_old_key_that_all_senders_may_have_ends_only_by_force(
    here: World, app: Application, capsys: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(key_use, "NOTED_AFTER_S", 0.02)
    old = added(capsys, "shop")
    assert source("rotate", "shop") == 0
    until_s = time.monotonic() + 20
    while not shown_quietly(capsys, "shop")["old_last_used"]:
        assert time.monotonic() < until_s
        assert app.post("/v1/track", GOOD, old).status == 200
    assert source("rotate", "shop", "--finish") == 2
    told = capsys.readouterr().err
    assert "was never used, and the old one was last used 20" in told
    assert app.post("/v1/track", GOOD, old).status == 200
    assert "source:key:ended" not in actions(here)
    assert source("rotate", "shop", "--finish", "--force") == 0
    assert f"The old key {old[:6]}... of shop has ended: last used 20" in capsys.readouterr().out


def test_waiting_tells_what_is_refused_and_ends_with_the_first_event(
    app: Application, capsys: Said
) -> None:
    key = added(capsys, "shop")
    other = added(capsys, "other")
    code: list[int] = []
    waiting = threading.Thread(target=lambda: code.append(source("wait", "shop", "--wait-s", "30")))
    waiting.start()
    said = ""
    while "Waiting 30 s" not in said:
        said += capsys.readouterr().out
        time.sleep(0.02)
    assert app.post("/v1/track", GOOD, other).status == 200
    assert app.post("/v1/track", {"userId": "u1"}, key).status == 200
    while "no_event_name" not in said:
        said += capsys.readouterr().out
        time.sleep(0.02)
    assert not code
    assert app.post("/v1/track", GOOD, key).status == 200
    waiting.join(30)
    said += capsys.readouterr().out
    assert code == [0]
    assert said.count("no_event_name") == 1
    assert "It came: track 'Viewed', at 2" in said


def test_waiting_holds_nothing_while_partitions_are_made(here: World, capsys: Said) -> None:
    """They are locked one after the other, as here; a reader of both tables stood in the way."""
    assert source("add", "shop") == 0
    ended: list[int] = []
    waiting = threading.Thread(
        target=lambda: ended.append(source("wait", "shop", "--wait-s", "3")), daemon=True
    )
    with here.horizon.database.transaction(Role.OWNER) as tx:
        tx.execute("SET LOCAL lock_timeout = '10s'")
        tx.execute("LOCK TABLE events_default IN ACCESS EXCLUSIVE MODE")
        waiting.start()
        other = "SELECT FROM pg_locks WHERE relation = 'events_default'::regclass AND NOT granted"
        until_s = time.monotonic() + 20
        while not tx.execute(other).fetchall():
            assert time.monotonic() < until_s
            time.sleep(0.02)
        tx.execute("LOCK TABLE rejected_events_default IN ACCESS EXCLUSIVE MODE")
    waiting.join()
    assert ended == [1]
    assert "Nothing came with its key" in capsys.readouterr().err


def test_waiting_in_vain_says_what_to_check(
    app: Application, capsys: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(key_use, "NOTED_AFTER_S", 0.02)
    assert source("add", "shop", "--wait", "--wait-s", "0.2") == 1
    out = capsys.readouterr()
    assert "Nothing came with its key" in out.err
    key = out.out.split("again: ")[1].split()[0]
    assert app.post("/v1/track", {**GOOD, "messageId": "m"}, key).status == 200

    def send_again() -> None:
        time.sleep(0.3)
        for _ in range(20):
            app.post("/v1/track", {**GOOD, "messageId": "m"}, key)
            time.sleep(0.02)

    again = threading.Thread(target=send_again)
    again.start()
    assert source("wait", "shop", "--wait-s", "1.5") == 1
    again.join()
    assert "Requests came with its key but no new event" in capsys.readouterr().err


def test_waiting_in_vain_names_what_stands_in_the_way(
    app: Application, capsys: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(key_use, "NOTED_AFTER_S", 0.02)
    key = added(capsys, "web", "--kind", "public", "--origin", "https://shop.example")
    stop = threading.Event()

    def send() -> None:
        while not stop.wait(0.05):
            app.post("/v1/track", GOOD, key, Origin="https://else.example")

    sending = threading.Thread(target=send)
    sending.start()
    try:
        assert source("wait", "web", "--wait-s", "2") == 1
    finally:
        stop.set()
        sending.join()
    assert "from the pages of https://shop.example alone" in capsys.readouterr().err
    assert source("disable", "web") == 0
    assert source("wait", "web", "--wait-s", "0.1") == 1
    said = capsys.readouterr()
    assert "web is disabled" in said.out
    assert "`horizon source enable web`" in said.err


def test_a_source_without_events_is_removed_and_its_name_is_free(
    here: World, app: Application, capsys: Said
) -> None:
    key = added(capsys, "typo", "--kind", "public")
    assert source("secret", "typo") == 0
    assert source("remove", "typo") == 0
    assert "typo and its key are removed" in capsys.readouterr().out
    assert app.post("/v1/track", GOOD, key).status == 401
    assert added(capsys, "typo") != key
    assert actions(here) == [
        "source:added", "source:secret:made", "source:removed", "source:added",
    ]  # fmt: skip


@pytest.mark.parametrize("sent", [GOOD, {"userId": "u1"}])
def test_a_source_that_sent_something_is_only_disabled(
    here: World, app: Application, capsys: Said, sent: dict[str, str]
) -> None:
    """Also where all of it was refused: that can be replayed."""
    key = added(capsys, "shop")
    assert app.post("/v1/track", sent, key).status == 200
    assert source("remove", "shop") == 1
    assert "`horizon source disable shop`" in capsys.readouterr().err
    assert app.post("/v1/track", GOOD, key).status == 200
    assert actions(here) == ["source:added"]


def test_what_a_forward_or_a_file_needs_stays(here: World, capsys: Said) -> None:
    added(capsys, "shop")
    with here.horizon.database.transaction(Role.OWNER) as tx:
        tx.execute(
            "INSERT INTO forwards (name, url, source_id, allow_private, created_at) "
            "SELECT 'there', 'https://x.example', source_id, false, now() FROM sources WHERE name = 'shop'"
        )
    assert source("remove", "shop") == 1
    assert "`horizon forward remove there`" in capsys.readouterr().err


def test_a_renamed_source_keeps_its_keys_and_its_events(
    here: World, app: Application, capsys: Said
) -> None:
    key = added(capsys, "old", "--rate", "5")
    added(capsys, "taken")
    assert app.post("/v1/track", GOOD, key).status == 200
    assert source("rename", "old", "taken") == 2
    assert "There is a source 'taken' already" in capsys.readouterr().err
    assert source("rename", "old", "new") == 0
    assert "old is new now" in capsys.readouterr().out
    assert shown(capsys, "new")["rate"] == 5
    assert app.post("/v1/track", GOOD, key).status == 200
    query = "SELECT name FROM events JOIN sources USING (source_id)".replace("name", "sources.name")
    assert [row.name for row in here.rows(query)] == ["new", "new"]
    assert actions(here) == ["source:added", "source:added", "source:renamed"]
