"""What the pages that are files share: the palette, the brand and the head, in light and dark."""

from __future__ import annotations

from pathlib import Path

import jinja2

_FOLDER = Path(__file__).parent / "templates"


def templates(folder: Path) -> jinja2.Environment:
    """A page's own templates by their names, these as ``look/page.html`` and ``look/look.css``."""
    loaders = [
        jinja2.FileSystemLoader(folder),
        jinja2.PrefixLoader({"look": jinja2.FileSystemLoader(_FOLDER)}),
    ]
    return jinja2.Environment(
        loader=jinja2.ChoiceLoader(loaders), autoescape=True, trim_blocks=True,
        lstrip_blocks=True, undefined=jinja2.StrictUndefined,
    )  # fmt: skip
