"""Mending a refused event's text: fields set and renamed by their dotted paths."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

from horizon.errors import UsageError
from horizon.events.json_text import write
from horizon.events.rejection import Rejected


class Setting(NamedTuple):
    path: tuple[str, ...]
    value: Any


class Renaming(NamedTuple):
    old: tuple[str, ...]
    new: tuple[str, ...]


class Mending(NamedTuple):
    settings: Sequence[Setting] = ()
    renamings: Sequence[Renaming] = ()

    def fields(self) -> list[str]:
        """What it changes, without the values: those may be a person's."""
        return [".".join(path) for path, _ in (*self.settings, *self.renamings)]


def read_setting(text: str) -> Setting:
    """``event=Viewed`` or ``properties.price=5``: JSON where it is JSON, else text."""
    path, equals, value = text.partition("=")
    if not equals or not all(path.split(".")):
        raise UsageError(f"--set {text!r} sets nothing: write it like --set event=Viewed.")
    try:
        return Setting(tuple(path.split(".")), json.loads(value))
    except ValueError:
        return Setting(tuple(path.split(".")), value)


def read_renaming(text: str) -> Renaming:
    """``user_id=userId``: what stands at the first path goes to the second."""
    old, equals, new = text.partition("=")
    if not equals or not all(old.split(".")) or not all(new.split(".")):
        raise UsageError(
            f"--rename {text!r} renames nothing: write it like --rename user_id=userId."
        )
    return Renaming(tuple(old.split(".")), tuple(new.split(".")))


def mended(body: str, mending: Mending, message_id: str) -> bytes:
    """The text to read again; ``message_id`` is for one that has none, so that it counts once.

    Raises Rejected where it has to be read as JSON and cannot be.
    """
    message = _read(body)
    if not any(mending) and _has_id(message):
        return body.encode()
    for old, new in mending.renamings:
        _rename(message, old, new)
    for path, value in mending.settings:
        _put(message, path, value)
    if not _has_id(message):
        message["messageId"] = message_id
    try:
        return write(message).encode()
    except (ValueError, OverflowError) as exc:  # a number that JSON has no form for
        raise Rejected("invalid_event", "The event cannot be written as JSON.") from exc


def _read(body: str) -> dict[str, Any]:
    try:
        message = json.loads(body)
    except (ValueError, RecursionError) as exc:
        raise Rejected(
            "invalid_event", "The event is not valid JSON: give a mended one with --with FILE."
        ) from exc
    if not isinstance(message, dict):
        raise Rejected("invalid_event", "Expected `object`: give a mended one with --with FILE.")
    return message


def _has_id(message: dict[str, Any]) -> bool:
    message_id = message.get("messageId")
    return message_id is not None and (not isinstance(message_id, str) or bool(message_id.strip()))


def _parent(message: dict[str, Any], path: Sequence[str]) -> dict[str, Any]:
    """The object that the path's last name belongs into, made where there is none."""
    for name in path[:-1]:
        inner = message.get(name)
        if not isinstance(inner, dict):
            inner = message[name] = {}
        message = inner
    return message


def _put(message: dict[str, Any], path: Sequence[str], value: Any) -> None:
    _parent(message, path)[path[-1]] = value


def _rename(message: dict[str, Any], old: Sequence[str], new: Sequence[str]) -> None:
    holder: Any = message
    for name in old[:-1]:
        holder = holder.get(name) if isinstance(holder, dict) else None
    if isinstance(holder, dict) and old[-1] in holder:
        _put(message, new, holder.pop(old[-1]))
