"""docs/profiles.md: its commands, typed one after the other, answer as it says."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import profile_story
from tests.e2e.horizon_command import Command
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
