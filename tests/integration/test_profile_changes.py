"""`horizon profile split`, `join`, `uncut`: what the operator says of who is who, and taking it back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from psycopg.conninfo import make_conninfo

from horizon.cli import main
from horizon.errors import HorizonError
from horizon.identity.rules import shipped_text
from horizon.postgres.database import Role
from horizon.profiles import changes
from horizon.profiles.evidence import Evidence
from horizon.profiles.people import find, find_node
from tests import merging
from tests.world import DAY, World

Profiles = set[frozenset[str]]


def profile(*words: str) -> int:
    return main.run(["profile", *words])


def told(capsys: pytest.CaptureFixture[str], *words: str) -> Any:
    capsys.readouterr()
    assert profile(*words, "--json") == 0, capsys.readouterr().err
    return json.loads(capsys.readouterr().out)


def profiles(world: World) -> Profiles:
    rows = world.rows(
        "SELECT array_agg(value) AS names FROM nodes WHERE profile_id IS NOT NULL GROUP BY profile_id"
    )
    return {frozenset(row.names) for row in rows}


def these(*names: str) -> Profiles:
    return {frozenset(one.split()) for one in names}


def actions(world: World) -> list[tuple[str, str]]:
    rows = world.rows("SELECT action, object FROM audit ORDER BY audit_id")
    return [(row.action, row.object) for row in rows]


@pytest.fixture
def family(here: World) -> World:
    """Ann and her daughter used one browser, each with an address of her own."""
    for day, user in ((9, "ann"), (8, "cyd")):
        here.put({"type": "identify", "anonymousId": "laptop", "traits": {"email": f"{user}@example.com"},
                  "timestamp": (here.now - day * DAY).isoformat()})  # fmt: skip
    here.identify_all()
    assert profiles(here) == these("laptop ann@example.com cyd@example.com")
    return here


def test_a_split_holds_against_later_events_until_it_is_taken_back(
    family: World, capsys: pytest.CaptureFixture[str]
) -> None:
    done = told(capsys, "split", "anonymous_id:laptop", "--cut", "email:cyd@example.com")
    assert [len(nodes) for nodes in done["before"].values()] == [3]
    assert profiles(family) == these("laptop ann@example.com", "cyd@example.com")
    assert {frozenset(one["kind"] for one in nodes) for nodes in done["after"].values()} == {
        frozenset({"email", "anonymous_id"}), frozenset({"email"}),
    }  # fmt: skip
    family.put(
        {"type": "identify", "anonymousId": "laptop", "traits": {"email": "cyd@example.com"}}
    )
    family.identify_all()
    assert profiles(family) == these("laptop ann@example.com", "cyd@example.com")
    [cut] = told(capsys, "cuts")
    assert (cut["node"]["value"], cut["anchor"]["value"]) == ("c***@e***.com", "a***@e***.com")
    [apart] = told(capsys, "explain", "email:ann@example.com", "email:cyd@example.com")["steps"][1:]
    assert apart["why"] == "a cut keeps the two apart"
    assert profile("uncut", str(cut["cut_id"])) == 0
    assert profiles(family) == these("laptop ann@example.com cyd@example.com")
    assert told(capsys, "cuts")[0]["lifted_at"] is not None
    number = next(iter(done["before"]))
    assert actions(family) == [("profile:split", number), ("profile:uncut", str(cut["cut_id"]))]


def _desk(world: World, address: str) -> None:
    """Eleven people sign in with one address, which is a hub from then on."""
    world.put(*(world.identify(f"u{n}", DAY, email=address) for n in range(11)))
    world.identify_all()
    assert world.rows("SELECT dead FROM nodes WHERE value = %s", address)[0].dead == "hub"


def test_a_split_holds_when_what_it_is_kept_from_becomes_a_hub(
    family: World, capsys: pytest.CaptureFixture[str]
) -> None:
    done = told(capsys, "split", "anonymous_id:laptop", "--cut", "email:cyd@example.com")
    _desk(family, "ann@example.com")
    mine = frozenset({"laptop"}), frozenset({"cyd@example.com"})
    again = {"type": "identify", "anonymousId": "laptop", "traits": {"email": "cyd@example.com"}}
    family.put(again)
    family.identify_all()
    assert profiles(family).issuperset(mine)
    [cut] = told(capsys, "cuts")
    assert cut["anchor"]["value"] == "laptop", "it is told what the cut is held against now"
    assert profile("join", "email:cyd@example.com", "anonymous_id:laptop") == 2
    assert "Cut 1 keeps the two apart" in capsys.readouterr().err
    assert profile("uncut", str(done["cut_id"])) == 0
    assert frozenset({"laptop", "cyd@example.com"}) in profiles(family)


def test_also_where_no_event_ties_it_to_the_two_any_more(family: World) -> None:
    """While the desk's address is somebody's, the cut is against that alone."""
    family.put(family.identify("u0", 2 * DAY, email="desk@example.com"))
    family.identify_all()
    names = ("cyd@example.com", "desk@example.com", "laptop")
    node, anchor, stand_in = (merging.node(family, name) for name in names)
    family.rows("INSERT INTO cuts (node, anchor, stand_ins, made_at) VALUES (%s, %s, %s, %s) RETURNING 1",
                node, anchor, [stand_in], family.now)  # fmt: skip
    family.put({**family.track("u0", DAY), "anonymousId": "laptop-2"})
    family.identify_all()
    assert frozenset(("laptop", "ann@example.com", "cyd@example.com")) in profiles(family)
    _desk(family, "desk@example.com")
    assert profiles(family).issuperset(these("laptop ann@example.com", "cyd@example.com"))


def test_the_one_it_is_kept_from_can_be_named(
    family: World, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without --from it is kept from the strongest oldest other one, here the other address."""
    told(capsys, "split", "1", "--cut", "email:ann@example.com", "--from", "anonymous_id:laptop")
    assert profiles(family) == these("ann@example.com", "laptop cyd@example.com")


def test_two_are_joined_though_no_event_does_it(
    here: World, capsys: pytest.CaptureFixture[str]
) -> None:
    here.put(here.track("ann", 2 * DAY), here.track("ann-b", DAY))
    here.identify_all()
    assert profiles(here) == these("ann", "ann-b")
    told(capsys, "join", "user_id:ann", "user_id:ann-b")
    assert profiles(here) == these("ann ann-b")
    found = told(capsys, "explain", "user_id:ann", "user_id:ann-b")
    assert [one["how"] for one in found["steps"]] == ["manual"]
    assert actions(here)[0][0] == "profile:joined"
    told(capsys, "split", "user_id:ann", "--cut", "user_id:ann-b")
    assert profiles(here) == these("ann", "ann-b"), "a cut is stronger than a join"


def test_a_join_is_taken_back_and_made_again(
    here: World, capsys: pytest.CaptureFixture[str]
) -> None:
    here.put(here.track("ann", 2 * DAY), here.track("bob", DAY))
    here.identify_all()
    two = ("user_id:ann", "user_id:bob")
    assert profile("unjoin", *two) == 2
    assert "No join by hand ties user_id:ann and user_id:bob" in capsys.readouterr().err
    told(capsys, "join", *two, "--why", "ticket 7")
    done = told(capsys, "unjoin", *reversed(two), "--why", "another ann")
    assert [len(done["before"]), len(done["after"])] == [1, 2]
    assert profiles(here) == these("ann", "bob")
    found = told(capsys, "explain", *two)
    assert [one["why"] for one in found["steps"]] == ["the join by hand was taken back"]
    here.put(here.track("ann", DAY), here.track("bob", DAY))
    here.put({**here.track("ann", DAY), "anonymousId": "laptop"})
    here.identify_all()
    assert profiles(here) == these("ann laptop", "bob"), "runs of the stage leave it taken back"
    assert profile("unjoin", *two) == 2
    told(capsys, "join", *two)
    assert profiles(here) == these("ann bob laptop")
    assert [action for action, _ in actions(here)] == [
        "profile:joined", "profile:unjoined", "profile:joined",
    ]  # fmt: skip


def test_what_was_changed_by_hand_is_told_with_who_and_why(
    family: World, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.run(["identity", "changes"]) == 0
    assert "Nothing was changed by hand." in capsys.readouterr().out
    cyd, laptop = "email:cyd@example.com", "anonymous_id:laptop"
    told(capsys, "split", laptop, "--cut", cyd, "--why", "her daughter")
    told(capsys, "uncut", "1")
    family.put(family.track("bob", DAY))
    family.identify_all()
    told(capsys, "join", "user_id:bob", laptop)
    told(capsys, "unjoin", "user_id:bob", laptop)
    capsys.readouterr()
    assert main.run(["identity", "changes", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [(one["what"], one["number"], one["why"]) for one in reversed(found)] == [
        ("split", 1, "her daughter"), ("cut lifted", 1, None), ("joined", None, None),
        ("join taken back", None, None),
    ]  # fmt: skip
    assert found[-1]["identifiers"] == ["email:c***@e***.com", "email:a***@e***.com"]
    assert found[0]["identifiers"] == ["user_id:bob", laptop]
    assert all(one["actor"].startswith("cli:") for one in found)
    assert main.run(["identity", "changes", "--limit", "1", "--unmasked"]) == 0
    assert "join taken back" in (out := capsys.readouterr().out)
    assert "cut lifted" not in out


def test_a_profile_of_more_identifiers_than_are_listed_is_changed_like_others(
    here: World, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither the strongest nor what is cut is among the oldest, which alone are listed."""
    cookies = [f"c{n}" for n in range(5)]
    for n, cookie in enumerate(cookies):
        seen = (here.now - (9 - n) * DAY).isoformat()
        here.put({"type": "page", "anonymousId": cookie, "timestamp": seen})
    here.put(*({**here.track("ann", DAY), "anonymousId": cookie} for cookie in cookies))
    here.put(here.track("bob", DAY / 2))
    here.identify_all()
    monkeypatch.setattr(changes, "MOST_NODES", 2)
    number = str(here.rows("SELECT profile_id FROM nodes WHERE value = 'ann'")[0].profile_id)
    done = told(capsys, "split", number, "--cut", "anonymous_id:c4")
    assert profiles(here) == these("ann c0 c1 c2 c3", "c4", "bob")
    assert told(capsys, "cuts")[0]["anchor"]["value"] == "ann"
    told(capsys, "uncut", str(done["cut_id"]))
    assert profiles(here) == these("ann c0 c1 c2 c3 c4", "bob")
    told(capsys, "join", "user_id:ann", "user_id:bob")
    assert profiles(here) == these("ann bob c0 c1 c2 c3 c4")
    assert profile("split", "user_id:ann", "--cut", "user_id:ann") == 2
    assert "is the strongest identifier" in capsys.readouterr().err


def test_a_merge_is_told_with_its_time(family: World, capsys: pytest.CaptureFixture[str]) -> None:
    family.put(family.track("ann", DAY))
    family.identify_all()
    told(capsys, "join", "user_id:ann", "anonymous_id:laptop")
    found = told(capsys, "show", "user_id:ann")
    assert [one["absorbed_at"] is not None for one in found["absorbed"]] == [True]


def test_what_cannot_be_is_refused_in_a_sentence(
    family: World, capsys: pytest.CaptureFixture[str]
) -> None:
    family.put(family.track("bob", DAY))
    family.identify_all()
    mine = ("split", "anonymous_id:laptop", "--cut")
    for words, part in (
        ((*mine, "user_id:bob"), "user_id:bob is not of profile"),
        ((*mine, "email:cyd@example.com", "--from", "user_id:bob"), "they are apart already"),
        (
            (*mine, "anonymous_id:laptop", "--from", "anonymous_id:laptop"),
            "cannot be cut from itself",
        ),
        (("split", "user_id:bob", "--cut", "user_id:bob"), "is the only identifier"),
        ((*mine, "email:ann@example.com"), "is the strongest identifier of profile"),
        (("join", "anonymous_id:laptop", "email:cyd@example.com"), "are one profile already"),
        (("uncut", "77"), "There is no cut 77 that stands"),
    ):
        capsys.readouterr()
        assert profile(*words) == 2, words
        assert part in capsys.readouterr().err, words
    told(capsys, *mine, "email:cyd@example.com")
    assert profile("join", "email:cyd@example.com", "anonymous_id:laptop") == 2
    assert "lift it first, with `horizon profile uncut 1`" in capsys.readouterr().err
    assert len(family.rows("SELECT * FROM cuts")) == 1
    assert family.rows("SELECT * FROM edges WHERE how = 'manual'") == []


def test_what_a_split_cannot_hold_is_taken_back(family: World) -> None:
    """If the stage did not respect a cut, nothing of it may stay."""
    horizon = family.horizon
    before = family.rows("SELECT * FROM nodes ORDER BY node")
    with pytest.raises(HorizonError), horizon.database.transaction(Role.WORKER) as tx:
        evidence = Evidence(tx)
        person = find(evidence, "anonymous_id:laptop", horizon.keys.node)
        node = find_node(evidence, "email:cyd@example.com", horizon.keys.node)
        changes.split(evidence, person, node, None, lambda *_: None, family.now)
    assert family.rows("SELECT * FROM nodes ORDER BY node") == before
    assert family.rows("SELECT * FROM cuts") == []


def test_a_change_waits_for_a_run_that_goes_on(
    family: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The run has read the graph: what it writes would undo the cut."""
    (tmp_path / "rules.toml").write_text(shipped_text().replace("limit = 1", "limit = 2"))
    impatient = make_conninfo(family.horizon.settings.PG_DSN, options="-c lock_timeout=200ms")
    monkeypatch.setenv("PG_DSN", impatient)
    with family.horizon.database.transaction(Role.WORKER) as stage:
        stage.execute("SELECT pg_advisory_lock(hashtext('horizon.stage'), hashtext('identity'))")
        for words in (
            ("profile", "split", "1", "--cut", "email:cyd@example.com"),
            ("profile", "join", "1", "1"),
            ("profile", "uncut", "1"),
            ("identity", "adopt", "rules.toml", "--yes"),
        ):
            assert main.run(list(words)) == 1, words
    assert family.rows("SELECT * FROM cuts") == []
    assert profile("split", "1", "--cut", "email:cyd@example.com") == 0
