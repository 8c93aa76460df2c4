"""The story as one HTML file: no script, nothing from elsewhere, light and dark."""

from __future__ import annotations

from pathlib import Path

from horizon import look
from horizon.observe.explain.story import Story
from horizon.observe.explain.words import sections

_FOLDER = Path(__file__).parent / "templates"


def render(story: Story) -> str:
    page = look.templates(_FOLDER).get_template("explain.html")
    return page.render(story=story, sections=sections(story))
