"""The story as one HTML file: no script, nothing from elsewhere, light and dark."""

from __future__ import annotations

from importlib import resources

import jinja2

from horizon.observe.explain.story import Story
from horizon.observe.explain.words import sections


def render(story: Story) -> str:
    folder = resources.files("horizon.observe.explain") / "templates"
    templates = jinja2.Environment(
        loader=jinja2.FunctionLoader(lambda name: (folder / name).read_text()), autoescape=True,
        trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined,
    )  # fmt: skip
    return templates.get_template("explain.html").render(story=story, sections=sections(story))
