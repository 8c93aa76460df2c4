"""docs/profiles.md: its commands, typed one after the other, answer as it says; and those of
docs/profiles-api.md ask for its people."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests import profile_story
from tests.e2e.horizon_command import Command
from tests.servers.collector import ProfileApi
from tests.world import World


@pytest.mark.slow
def test_each_command_answers_as_the_document_says(world: World, tmp_path: Path) -> None:
    environment = Command(tmp_path, world.horizon.settings).environment
    for name, text in profile_story.files():
        (tmp_path / name).write_text(text)
    found = list(profile_story.commands())
    assert len(found) > 12
    for command, answer in found:
        said = profile_story.typed(command, tmp_path, environment)
        assert profile_story.plain(said) == profile_story.plain(answer), command
    assert "laptop-1" in (tmp_path / "ann.svg").read_text()


@pytest.mark.slow
def test_the_profile_api_s_commands_find_the_people_of_the_other_page(
    world: World, tmp_path: Path
) -> None:
    environment = Command(tmp_path, world.horizon.settings).environment
    profile_story.begin(tmp_path, environment)
    with ProfileApi(world.horizon.settings) as api:
        lines = [line.replace("http://127.0.0.1:8200", api.url)
                 for line in profile_story.api_commands()]  # fmt: skip
        said = profile_story.typed("; echo ---; ".join(["set -e", *lines]), tmp_path, environment)
    _, _, _, whole, traits, events, tokens, revoked = said.split("---\n")
    assert json.loads(whole)["user_id"] == "ann"
    assert json.loads(traits)["traits"]["plan"] == "gold"
    assert [one["event"] for one in json.loads(events)["data"]] == ["Checked In"]
    assert "support" in tokens
    assert "support" in revoked
