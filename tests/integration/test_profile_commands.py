"""`horizon profile ...`, as a person types it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from horizon.cli import main
from horizon.clock import utc_text
from tests.identity_graph import Graph, ann_and_bob
from tests.world import DAY, NOW, World


@pytest.fixture
def graph(here: World) -> Graph:
    return ann_and_bob(here)


def profile(*words: str) -> int:
    return main.run(["profile", *words])


def told(capsys: pytest.CaptureFixture[str], *words: str) -> Any:
    capsys.readouterr()
    assert profile(*words, "--json") == 0, capsys.readouterr().err
    return json.loads(capsys.readouterr().out)


def said(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    capsys.readouterr()
    assert profile(*words) == 0, capsys.readouterr().err
    return capsys.readouterr().out


def refusal(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    capsys.readouterr()
    assert profile(*words) == 2
    return capsys.readouterr().err


def test_a_profile_is_found_by_any_of_its_identifiers_and_by_a_number_it_had(
    graph: Graph, capsys: pytest.CaptureFixture[str]
) -> None:
    found = [
        told(capsys, "show", name)
        for name in ("user_id:ann", "email: ANN@example.com", "crm_id:C-7", "1", "p1", "3")
    ]
    assert {one["profile_id"] for one in found} == {1}
    assert [one["asked"] for one in found] == [None] * 5 + [3]


def test_each_identifier_names_the_event_it_was_first_seen_in(
    graph: Graph, capsys: pytest.CaptureFixture[str]
) -> None:
    found = {one["kind"]: one for one in told(capsys, "show", "1")["identifiers"]}
    assert list(found) == ["user_id", "email", "crm_id", "anonymous_id"]
    assert (found["email"]["event"]["type"], found["email"]["event"]["source"]) == (
        "identify",
        "server",
    )
    assert found["anonymous_id"]["event"]["name"] == "Signed Up"
    ids = {str(row.event_id) for row in graph.world.rows("SELECT event_id FROM events")}
    assert {one["event"]["event_id"] for one in found.values() if one["event"]} <= ids


def test_known_since_its_first_event_and_not_since_a_run(
    here: World, capsys: pytest.CaptureFixture[str]
) -> None:
    here.put(here.track("ann", 40 * DAY), {**here.track("ann", 90 * DAY), "anonymousId": "c1"})
    here.identify_all()
    assert told(capsys, "show", "1")["first_seen"] == utc_text(here.now - 90 * DAY)
    first = said(capsys, "show", "user_id:ann").splitlines()[0]
    assert first == f"Profile 1, known since {utc_text(here.now - 90 * DAY)}."


def test_an_identifier_that_nothing_ties_has_its_own_first_event(
    here: World, capsys: pytest.CaptureFixture[str]
) -> None:
    graph = Graph(here)
    graph.profile(1)
    graph.node("anonymous_id:a9", 1, ago=2 * DAY)
    first = graph.event(type="page", anonymousId="a9", timestamp=(NOW - 2 * DAY).isoformat())
    graph.event(type="page", anonymousId="a9", timestamp=(NOW - DAY).isoformat())
    [found] = told(capsys, "show", "anonymous_id:a9")["identifiers"]
    assert (found["event"]["type"], found["event"]["event_id"]) == ("page", str(first[0]))


def test_show_tells_what_was_refused_and_what_was_absorbed(
    graph: Graph, capsys: pytest.CaptureFixture[str]
) -> None:
    found = told(capsys, "show", "1")
    why = {(one["weak"]["kind"], one["strong"]["value"]): one["why"] for one in found["refused"]}
    assert why == {
        ("anonymous_id", "bob"): "at most 1 user_id on one profile",
        ("device_id", "ann"): "device_id:tablet is a hub, which too many people share",
    }
    assert [one["profile_id"] for one in found["absorbed"]] == [3]
    assert [one["name"] for one in found["last_events"]][-1] == "Signed Up"
    text = said(capsys, "show", "3")
    for part in (
        "Profile 1,",
        "profile 3 was merged into it",
        "Identifiers",
        "Refused",
        "Absorbed",
    ):
        assert part in text


def test_addresses_are_masked_until_they_are_asked_for(
    graph: Graph, capsys: pytest.CaptureFixture[str]
) -> None:
    graph.world.rows(
        "INSERT INTO traits (node, name, value, time, trusted, event_id) VALUES "
        "(%s, 'email', '\"ann@example.com\"', %s, true, gen_random_uuid()), "
        "(%s, 'card', '{\"phones\": [\"+1 555 010 0199\"]}', %s, true, gen_random_uuid()) RETURNING 1",
        graph.id("user_id:ann"), NOW, graph.id("user_id:ann"), NOW,
    )  # fmt: skip
    commands = (["show", "1"], ["show", "1", "--json"], ["explain", "1", "email:ann@example.com"],
                ["graph", "1", "--out", "ann.svg"], ["graph", "1", "--out", "ann.html"])  # fmt: skip
    for whole in (False, True):
        for words in commands:
            text = said(capsys, *words, *(["--unmasked"] if whole else []))
            text += Path(words[-1]).read_text() if words[0] == "graph" else ""
            assert ("ann@example.com" in text) == whole, words
            assert ("a***@e***.com" in text) != whole, words
            if words[0] == "show":
                assert ("010 0199" in text) == whole


def test_the_chain_from_one_to_the_other(graph: Graph, capsys: pytest.CaptureFixture[str]) -> None:
    found = told(capsys, "explain", "anonymous_id:a1", "crm_id:C-7")
    assert found["together"]
    steps = [(one["weak"]["kind"], one["strong"]["kind"], one["how"]) for one in found["steps"]]
    assert steps == [("anonymous_id", "user_id", "event"), ("email", "user_id", "event"),
                     ("crm_id", "email", "manual")]  # fmt: skip
    assert found["steps"][0]["event"]["name"] == "Signed Up"
    text = said(capsys, "explain", "anonymous_id:a1", "crm_id:C-7")
    assert "They are one profile: tied by a chain of 3." in text
    assert "track Signed Up" in text
    assert "manual" in text


def test_what_would_tie_two_profiles_and_what_refused_it(
    graph: Graph, capsys: pytest.CaptureFixture[str]
) -> None:
    found = told(capsys, "explain", "1", "2")
    assert not found["together"]
    assert found["told"] == (
        "They are two profiles. This would tie them, but was refused: at most 1 user_id on one "
        "profile."
    )
    graph.world.rows("DELETE FROM edges WHERE refused_by = 'limit:user_id' RETURNING 1")
    found = told(capsys, "explain", "1", "2")
    assert [one["refused_by"] for one in found["steps"]] == ["hub", "hub"]
    graph.world.rows("DELETE FROM edges WHERE refused_by = 'hub' RETURNING 1")
    assert told(capsys, "explain", "1", "2")["told"].startswith("Nothing ties them")


def test_a_hub_is_not_gone_through(graph: Graph, capsys: pytest.CaptureFixture[str]) -> None:
    """Nor read: everybody whom it ties would be."""
    graph.profile(4, "user_id:cyd")
    graph.profile(5, "user_id:dan")
    graph.node("device_id:kiosk", None, "hub")
    graph.edge("device_id:tablet", "user_id:cyd", "event", "hub")
    graph.edge("device_id:kiosk", "user_id:cyd", "event", "hub")
    graph.edge("device_id:kiosk", "user_id:dan", "event", "hub")
    assert told(capsys, "explain", "1", "5")["steps"] == []
    assert len(told(capsys, "explain", "1", "4")["steps"]) == 2


def test_mistakes_are_told_in_a_sentence(graph: Graph, capsys: pytest.CaptureFixture[str]) -> None:
    for words, part in (
        (["show", "ann"], "write KIND:VALUE"),
        (["show", "user_id:"], "write KIND:VALUE"),
        (["show", "user_id:nobody"], "Nobody is known by user_id:nobody"),
        (["show", "77"], "There is no profile 77"),
        (["show", "device_id:tablet"], "is a hub"),
        (["graph", "1", "--out", "ann.png"], "name it FILE.svg or FILE.html"),
    ):
        assert part in refusal(capsys, *words), words
    assert main.run(["profile", "graph", "1", "--out", "none/ann.svg"]) == 1
    assert "cannot be written" in capsys.readouterr().err


def test_cuts_are_listed(graph: Graph, capsys: pytest.CaptureFixture[str]) -> None:
    assert "No cut was made." in said(capsys, "cuts")
    cut_id = graph.cut("anonymous_id:a1", "user_id:bob")
    [found] = told(capsys, "cuts")
    assert (found["cut_id"], found["node"]["value"], found["anchor"]["value"]) == (
        cut_id,
        "a1",
        "bob",
    )
    assert told(capsys, "cuts", "2") == told(capsys, "cuts")
