"""`horizon identity ...`, as a person types it, and what doctor and status say of the graph."""

from __future__ import annotations

import json
from typing import Any

import pytest

from horizon.cli import main
from horizon.clock import utc_text
from horizon.doctor import graph as doctor
from horizon.doctor.finding import Verdict
from horizon.postgres.database import Role
from tests.identity_graph import Graph, ann_and_bob
from tests.world import DAY, World


@pytest.fixture
def graph(here: World) -> Graph:
    return ann_and_bob(here)


def told(capsys: pytest.CaptureFixture[str], *words: str) -> Any:
    capsys.readouterr()
    assert main.run(["identity", *words, "--json"]) == 0, capsys.readouterr().err
    return json.loads(capsys.readouterr().out)


def said(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    capsys.readouterr()
    assert main.run(["identity", *words]) == 0, capsys.readouterr().err
    return capsys.readouterr().out


def test_hubs_are_listed_with_whom_they_would_have_tied(
    graph: Graph, capsys: pytest.CaptureFixture[str]
) -> None:
    [hub] = told(capsys, "hubs")
    assert hub["identifier"] == "device_id:tablet"
    assert (hub["neighbours"], hub["kinds"], hub["profiles"]) == (2, "user_id", 2)
    assert hub["first_tie"] < hub["last_tie"]
    assert "device_id:tablet" in said(capsys, "hubs")
    assert told(capsys, "blocked") == []
    assert "No identifier that came is blocked." in said(capsys, "blocked")


def test_who_shares_a_hub_is_listed_with_first_and_last_time(
    here: World, capsys: pytest.CaptureFixture[str]
) -> None:
    tablet = {"device": {"id": "tablet"}}
    seen = [("ann", 9), ("ann", 3), ("bob", 5), ("ann", 6)]
    here.put(*({**here.track(user, ago * DAY), "context": tablet} for user, ago in seen))
    cookie = {"type": "page", "anonymousId": "c1", "timestamp": (here.now - 4 * DAY).isoformat()}
    here.put({**cookie, "userId": "bob", "context": tablet}, here.track("bob", DAY))
    here.identify_all()
    here.rows("UPDATE nodes SET dead = 'hub', profile_id = NULL WHERE value = 'tablet' RETURNING 1")
    found = told(capsys, "hubs", "device_id:tablet")
    at = {day: utc_text(here.now - day * DAY) for day in (9, 5, 4, 3)}
    assert [(one["identifier"], one["first_tie"], one["last_event"]) for one in found] == [
        ("anonymous_id:c1", at[4], at[4]), ("user_id:bob", at[5], at[4]), ("user_id:ann", at[9], at[3]),
    ]  # fmt: skip
    cut_off = said(capsys, "hubs", "device_id:tablet", "--limit", "2")
    assert "1 more are tied to device_id:tablet" in cut_off
    assert "user_id:ann" not in cut_off
    here.change("TRUNCATE events CASCADE")
    assert {one["last_event"] for one in told(capsys, "hubs", "device_id:tablet")} == {None}
    assert main.run(["identity", "hubs", "device_id:none"]) == 2


def test_what_is_blocked_is_masked_as_elsewhere(
    graph: Graph, capsys: pytest.CaptureFixture[str]
) -> None:
    graph.node("email:info@example.com", None, "blocked")
    graph.node("user_id:test", None, "blocked")
    found = {one["identifier"]: one["neighbours"] for one in told(capsys, "blocked")}
    assert found == {"email:i***@e***.com": 0, "user_id:test": 0}
    assert "email:info@example.com" in said(capsys, "blocked", "--unmasked")
    assert len(told(capsys, "blocked", "--limit", "1")) == 1


def test_how_the_graph_stands(graph: Graph, capsys: pytest.CaptureFixture[str]) -> None:
    found = told(capsys, "status")
    assert (found["profiles"], found["absorbed"], found["contested"]) == (2, 1, 0)
    kinds = {one["kind"]: (one["identifiers"], one["hubs"]) for one in found["kinds"]}
    assert kinds == {"user_id": (2, 0), "email": (1, 0), "crm_id": (1, 0), "anonymous_id": (1, 0),
                     "device_id": (1, 1)}  # fmt: skip
    ties = {(one["how"], one["refused_by"]): one["edges"] for one in found["ties"]}
    assert ties == {("event", None): 2, ("manual", None): 1, ("event", "limit:user_id"): 1,
                    ("event", "hub"): 2}  # fmt: skip
    text = said(capsys, "status")
    assert text.startswith("2 profiles; 1 more were absorbed; 0 are held apart")
    assert "limit:user_id" in text


def test_a_number_whose_identifier_is_blocked_is_no_profile(
    graph: Graph, capsys: pytest.CaptureFixture[str]
) -> None:
    graph.profile(9)
    graph.node("user_id:test", None, "blocked")
    assert told(capsys, "status")["profiles"] == 2


def test_the_rules_that_hold_can_be_read(graph: Graph, capsys: pytest.CaptureFixture[str]) -> None:
    shipped = said(capsys, "rules", "show")
    assert "[kinds.user_id]" in shipped
    assert told(capsys, "rules", "show") == {"version": 0, "adopted_at": None, "rules": shipped}


def test_status_and_doctor_name_hubs_and_what_is_refused_too_often(
    graph: Graph, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.run(["status"]) == 0
    assert "1 hub; `horizon identity hubs`" in capsys.readouterr().out
    with graph.world.horizon.database.transaction(Role.OWNER) as tx:
        [hubs] = doctor.look_at_graph(tx, graph.world.horizon.settings)
        assert (hubs.verdict, hubs.found[:44]) == (
            Verdict.OK,
            "1 identifier is quarantined as a hub; `horiz",
        )
        tx.execute(
            "INSERT INTO edges (weak, strong, how, time, refused_by) SELECT gen_random_uuid(), "
            "gen_random_uuid(), 'event', '2026-06-01', CASE WHEN n > 500 THEN 'cut' END "
            "FROM generate_series(1, 600) n"
        )
        _, warned = doctor.look_at_graph(tx, graph.world.horizon.settings)
    assert warned.verdict is Verdict.WARNING
    assert warned.found == "100 of 606 ties between identifiers are refused by cut"


def test_one_in_a_hundred_stands_out_among_enough() -> None:
    assert not doctor.stands_out(99, 99)
    assert not doctor.stands_out(1, 100)
    assert doctor.stands_out(2, 100)
