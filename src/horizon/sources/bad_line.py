"""Why one line or row is no event, and what a file's line is called."""

from __future__ import annotations

import re
from typing import NamedTuple

NAME_CHARACTERS = 100
_PLACE = re.compile(r"(file \w+)(?: \(.*?\))?(, \w+ \d+: )", re.DOTALL)


class BadLineError(Exception):
    """The message names columns, never what a person's line held."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class Place(NamedTuple):
    """What a file's rejected line is called: its place, with the file's name, and the reason."""

    unnamed: str  # the same whatever the file is called
    text: str
    reason: str


def file_mark(digest: str) -> str:
    """What the messages of a file's lines begin with."""
    return f"file {digest[:12]}"


def line_id(digest: str, number: int) -> str:
    """The messageId of a line that has none of its own."""
    return f"{digest[:32]}:{number}"


def place(digest: str, name: str, unit: str, number: int) -> str:
    """Where a line stands; the file's name is only told, since a file may be called otherwise."""
    shown = "".join(one if one.isprintable() else "?" for one in name.rpartition("/")[2])
    named = f" ({shown[:NAME_CHARACTERS]})" if shown else ""
    return f"{file_mark(digest)}{named}, {unit} {number}: "


def place_in(message: str) -> Place | None:
    """The place that a kept message begins with; None where it is not of a file."""
    found = _PLACE.match(message)
    return found and Place(found[1] + found[2], found[0], message[found.end() :])
