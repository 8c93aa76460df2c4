"""Why one line or row is no event."""

from __future__ import annotations


class BadLineError(Exception):
    """The message names columns, never what a person's line held."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
