"""`horizon identity try` and `adopt`: what other rules would do to everybody, and doing it."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from horizon.cli import main
from tests.world import DAY, World

TWO_OWNERS = "[default]\nowners = 2\n[kinds.user_id]\npriority = 1\nlimit = 1\n"
TWO_USERS = "[kinds.user_id]\npriority = 1\nlimit = 2\n"


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
    assert told(capsys, "adopt", "rules.toml")["hubs"] == 1
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
    done = told(capsys, "adopt", "rules.toml")
    assert (done["version"], done["merged"], count()) == (1, 2, 3)
    assert told(capsys, "rules", "show")["rules"] == TWO_USERS
    people.put(people.track("fay", timedelta(0), anonymousId="desk"),
               people.track("gus", timedelta(0), anonymousId="desk"))  # fmt: skip
    people.identify_all()
    assert count() == 4
    assert identity("rules", "show", "--version", "0") == 0
    (tmp_path / "old.toml").write_text(capsys.readouterr().out)
    done = told(capsys, "adopt", "old.toml")
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
