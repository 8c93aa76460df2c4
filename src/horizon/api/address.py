"""What a request's address asks for: whose profile, which part of it, which page. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple
from urllib.parse import quote, unquote_to_bytes

from horizon.serving.http import Refusal

VALUE_LENGTH: Final = 2_000  # characters of an identifier's value
NAMES: Final = 50  # of traits or events that are asked for by name
NAME_LENGTH: Final = 1_000


class Identifier(NamedTuple):
    kind: str
    value: str


def read_identifier(segment: bytes) -> Identifier:
    """Of ``KIND:VALUE``, percent-encoded: a slash in the value is %2F. Raises Refusal."""
    kind, colon, value = _decoded(segment).partition(":")
    if not colon or not kind or not value:
        raise Refusal(
            400, "bad_identifier", "Name the profile as KIND:VALUE, percent-encoded, like "
            "user_id:4711 or email:ada%40example.com."
        )  # fmt: skip
    if len(value) > VALUE_LENGTH:
        raise Refusal(
            400, "bad_identifier", f"An identifier has at most {VALUE_LENGTH} characters: send "
            "the whole one as it was collected."
        )  # fmt: skip
    return Identifier(kind, value)


def path_of(identifier: Identifier) -> str:
    return f"/v1/profiles/{quote(identifier.kind, safe='')}:{quote(identifier.value, safe='')}"


class Query:
    """The parameters of one request; ``done`` refuses those nobody asked for."""

    def __init__(self, text: bytes) -> None:
        self._values: dict[str, list[str]] = {}
        for part in text.split(b"&"):
            if part:
                name, _, value = part.replace(b"+", b" ").partition(b"=")
                self._values.setdefault(_decoded(name), []).append(_decoded(value))

    def number(self, name: str, default: int, most: int) -> int:
        text = self.one(name)
        if text is None:
            return default
        if not (text.isascii() and text.isdigit() and len(text) <= 9 and 1 <= int(text) <= most):
            raise Refusal(400, "bad_parameter", f"{name} is a whole number from 1 to {most}.")
        return int(text)

    def one(self, name: str) -> str | None:
        values = self._values.pop(name, [])
        if len(values) > 1:
            raise Refusal(400, "bad_parameter", f"Give {name} once.")
        return values[0] if values else None

    def several(self, name: str) -> list[str] | None:
        """None where there is none; what the database cannot hold is nobody's name."""
        values = self._values.pop(name, None)
        if values is None:
            return None
        if len(values) > NAMES or any(len(value) > NAME_LENGTH for value in values):
            raise Refusal(
                400, "bad_parameter",
                f"Give {name} at most {NAMES} times, each with at most {NAME_LENGTH} characters.",
            )  # fmt: skip
        return [value for value in values if "\0" not in value]

    def flag(self, name: str) -> bool:
        text = self.one(name)
        if text not in (None, "true", "false"):
            raise Refusal(400, "bad_parameter", f"{name} is true or false.")
        return text == "true"

    def done(self, takes: str) -> None:
        if self._values:
            raise Refusal(
                400, "unknown_parameter", f"This address takes {takes}: leave others out."
            )


def page_url(path: str, parameters: Mapping[str, object]) -> str:
    """A relative address; a list is repeated, what is None is left out."""
    parts = [
        f"{name}={quote(str(one), safe='')}"
        for name, value in parameters.items()
        if value is not None
        for one in (value if isinstance(value, list) else [value])
    ]
    return f"{path}?{'&'.join(parts)}" if parts else path


def _decoded(text: bytes) -> str:
    try:
        return unquote_to_bytes(text).decode()
    except UnicodeDecodeError as exc:
        raise Refusal(400, "bad_encoding", "Percent-encode the address's parts as UTF-8.") from exc
