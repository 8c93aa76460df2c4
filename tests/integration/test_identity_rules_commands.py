"""`horizon identity try` and `adopt`: what other rules would do to everybody, and doing it."""

from __future__ import annotations

import io
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from horizon.cli import main
from tests.world import DAY, World

REST = "".join(
    f"[kinds.{kind}]\n"
    for kind in ("email", "phone", "anonymous_id", "device_id", "advertising_id")
)


def whole(users: int, priority: int = 1, default: str = "") -> str:
    """Rules that leave nothing out: every other kind is as the default."""
    user = f"[kinds.user_id]\npriority = {priority}\nlimit = {users}\n"
    return f"neighbours = 10_000\n[default]\n{default}\n{user}{REST}"


TWO_OWNERS = whole(1, default="owners = 2")
TWO_USERS = whole(2)


def identity(*words: str) -> int:
    return main.run(["identity", *words])


def told(capsys: pytest.CaptureFixture[str], *words: str) -> Any:
    capsys.readouterr()
    assert identity(*words, "--json") == 0, capsys.readouterr().err
    return json.loads(capsys.readouterr().out)


@pytest.fixture
def people(here: World) -> World:
    """Ann, then bob on her laptop; and a tablet of three."""
    laptop = [
        here.track(user, days * DAY, anonymousId="laptop")
        for user, days in (("ann", 3), ("bob", 2))
    ]
    tablet = [here.track(user, DAY, anonymousId="tablet") for user in ("cyd", "dan", "eve")]
    here.put(*laptop, *tablet)
    here.identify_all()
    return here


def state(world: World) -> list[list[Any]]:
    return [world.rows(f"SELECT * FROM {name} ORDER BY 1, 2, 3") for name in
            ("nodes", "edges", "profiles", "identity_rules")]  # fmt: skip


def test_other_rules_are_tried_and_change_nothing(
    people: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = state(people)
    (tmp_path / "rules.toml").write_text(TWO_USERS)
    found = told(capsys, "try", "rules.toml")
    assert found["profiles"] == {"before": 5, "after": 3}
    assert (found["merged"], found["split"]) == (2, 0)
    assert found["refused"] == {"before": 3, "after": 1}
    assert [one["identifiers"] for one in found["largest"]["after"]] == [3, 3, 1]
    assert identity("try", "rules.toml") == 0
    said = capsys.readouterr().out
    assert "5 profiles would become 3: 2 would be taken in by others, 0 come out of others." in said
    assert state(people) == before


def test_hubs_are_named_that_come_and_that_go(
    people: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "rules.toml").write_text(TWO_OWNERS)
    assert told(capsys, "try", "rules.toml")["hubs"] == ["anonymous_id:tablet"]
    assert told(capsys, "adopt", "rules.toml", "--yes")["hubs"] == 1
    (tmp_path / "more.toml").write_text(TWO_USERS)
    found = told(capsys, "try", "more.toml")
    assert (found["hubs"], found["freed"]) == ([], ["anonymous_id:tablet"])
    assert identity("try", "more.toml") == 0
    assert "Hubs no more: anonymous_id:tablet." in capsys.readouterr().out


def test_adopted_rules_hold_from_then_on_and_can_be_taken_back(
    people: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def count() -> int:
        return len(people.rows("SELECT FROM profiles WHERE points_to IS NULL"))

    (tmp_path / "rules.toml").write_text(TWO_USERS)
    done = told(capsys, "adopt", "rules.toml", "--yes")
    assert (done["version"], done["merged"], count()) == (1, 2, 3)
    assert told(capsys, "rules", "show")["rules"] == TWO_USERS
    people.put(people.track("fay", timedelta(0), anonymousId="desk"),
               people.track("gus", timedelta(0), anonymousId="desk"))  # fmt: skip
    people.identify_all()
    assert count() == 4
    assert identity("rules", "show", "--version", "0") == 0
    (tmp_path / "old.toml").write_text(capsys.readouterr().out)
    done = told(capsys, "adopt", "old.toml", "--yes")
    assert (done["version"], done["split"], count()) == (2, 3, 7)
    actions = people.rows("SELECT action, object FROM audit ORDER BY audit_id")
    assert [tuple(row) for row in actions] == [
        ("identity:rules:adopted", "1"),
        ("identity:rules:adopted", "2"),
    ]


def test_mistakes_in_a_file_are_told_with_their_place(
    people: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = state(people)
    for text, part in (
        ("limit = ", "are not TOML (Invalid value (at"),
        ("[kinds.user_id]\nlimits = 1", "kinds.user_id has no limits"),
        ("[kinds.email]\nlimit = -1", "kinds.email.limit must be a whole number"),
        ('[kinds.email]\nblocked = ["("]', "kinds.email.blocked holds '('"),
        ("", "The rules have no neighbours"),
        (TWO_USERS.replace("[default]", ""), "The rules have no default"),
        (TWO_USERS.replace("[kinds.phone]", ""), "The rules that hold name kinds.phone"),
    ):
        (tmp_path / "bad.toml").write_text(text)
        for verb in ("try", "adopt"):
            assert identity(verb, "bad.toml") == 2
            err = capsys.readouterr().err
            assert err.startswith("horizon: bad.toml: ")
            assert part in err
            assert len(err.splitlines()) == 1
    assert identity("try", "none.toml") == 2
    assert "none.toml cannot be read" in capsys.readouterr().err
    (tmp_path / "same.toml").write_text(told(capsys, "rules", "show")["rules"])
    assert identity("adopt", "same.toml") == 2
    assert "has the rules that hold already" in capsys.readouterr().err
    assert identity("rules", "show", "--version", "9") == 2
    assert state(people) == before


def test_a_kind_that_adopted_rules_name_is_not_left_out_either(
    people: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "more.toml").write_text(f"{TWO_OWNERS}[kinds.crm_id]\nlimit = 1\n")
    told(capsys, "adopt", "more.toml", "--yes")
    (tmp_path / "less.toml").write_text(TWO_OWNERS)
    for verb in ("try", "adopt"):
        assert identity(verb, "less.toml") == 2
        assert "write [kinds.crm_id]" in capsys.readouterr().err


def test_who_adopts_is_told_and_asked_where_profiles_would_merge_or_split(
    people: World,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = state(people)
    (tmp_path / "rules.toml").write_text(TWO_USERS)
    for answer in ("n\n", ""):
        monkeypatch.setattr("sys.stdin", io.StringIO(answer))
        assert identity("adopt", "rules.toml") == 2
        found = capsys.readouterr()
        assert "5 profiles would become 3: 2 would be taken in by others" in found.out
        assert "Nothing was changed" in found.err
    assert state(people) == before
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    assert identity("adopt", "rules.toml") == 0
    assert "2 profiles merged" in capsys.readouterr().out
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    (tmp_path / "same.toml").write_text(TWO_USERS + "# nobody is touched\n")
    assert identity("adopt", "same.toml") == 0


def test_what_is_tried_is_what_is_done_also_where_an_identifier_only_changes_its_owner(
    here: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The laptop is ann's by the user id that it named first; by weak user ids the address's."""
    address = here.identify("bob", 2 * DAY, email="bob@example.com")
    here.put(here.identify("bob", 5 * DAY, email="bob@example.com"),
             here.track("ann", 3 * DAY, anonymousId="laptop"),
             {**{k: v for k, v in address.items() if k != "userId"}, "anonymousId": "laptop"})  # fmt: skip
    here.identify_all()
    (tmp_path / "rules.toml").write_text(whole(1, priority=90))
    tried = told(capsys, "try", "rules.toml")
    done = told(capsys, "adopt", "rules.toml", "--yes")
    names = ("merged", "split", "rehomed")
    assert [tried[name] for name in names] == [done[name] for name in names] == [0, 0, 1]
    shared = here.rows(
        "SELECT array_agg(value ORDER BY value) AS has FROM nodes GROUP BY profile_id"
    )
    assert sorted(row.has for row in shared) == [["ann"], ["bob", "bob@example.com", "laptop"]]
