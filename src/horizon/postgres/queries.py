"""Named queries: ``.sql`` files beside their consumers, read once.

::

    -- name: merge_profiles
    -- What it does, and why it is written so.
    UPDATE ... WHERE id = %(id)s
"""

from __future__ import annotations

import re
from importlib import resources
from typing import LiteralString, cast

_NAME = re.compile(r"^-- name: (\w+)\s*$", re.MULTILINE)


class Queries:
    """``Queries("horizon.scoring")["write_scores"]`` is a query's text, as psycopg takes it."""

    def __init__(self, package: str, file: str = "queries.sql") -> None:
        text = (resources.files(package) / file).read_text()
        parts = _NAME.split(text)[1:]
        self._package = package
        self._texts = {
            name: text.strip() for name, text in zip(parts[::2], parts[1::2], strict=True)
        }

    def __getitem__(self, name: str) -> LiteralString:
        # The text comes from our own file, never from a person: that is what the type says.
        return cast("LiteralString", self._texts[name])

    def names(self) -> list[str]:
        return list(self._texts)
