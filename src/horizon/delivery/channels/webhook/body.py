"""What a webhook says: a JSON document in which ``"$name"`` stands for a value.

A value takes the place of a whole string of the parsed document, which is written as JSON
afterwards. So no value, whatever is in it, can become anything but a value.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any

import msgspec

from horizon.delivery.ports import Claimed
from horizon.errors import TemplateError

MOST_BYTES = 256_000  # some 20,000 are usual; receivers refuse what is far more
_SUFFIX = ".json"


@dataclass(frozen=True, slots=True)
class BodyTemplate:
    """``digest`` is the SHA-256 of its source in hex."""

    name: str
    digest: str
    variables: frozenset[str]
    document: Any

    def render(self, values: Mapping[str, Any]) -> bytes:
        """Raises TemplateError for a value that is missing or no JSON."""
        missing = sorted(self.variables.difference(values))
        if missing:
            raise TemplateError(f"Template '{self.name}' uses ${missing[0]}, which is not there.")
        try:
            body = msgspec.json.encode(_filled(self.document, values))
        except (TypeError, ValueError, RecursionError) as exc:
            raise TemplateError(f"Template '{self.name}' cannot be filled: {exc}.") from exc
        if len(body) > MOST_BYTES:
            raise TemplateError(
                f"Template '{self.name}' is filled to more than {MOST_BYTES} bytes."
            )
        return body


def values_of(message: Claimed) -> dict[str, Any]:
    """What a template may use: a person's variables, and what the message itself is."""
    return {
        **message.variables,
        "message_id": str(message.message_id),
        "campaign": message.campaign,
        "profile": f"p{message.profile_id}",
        "user_id": message.user_id,
        "tier": message.tier,
        "occasion": message.occasion,
        "planned_at": message.planned_at.isoformat(),
    }


def load_template(name: str) -> BodyTemplate:
    """The shipped template of that name; TemplateError lists the names there are."""
    names = shipped()
    if name not in names:
        raise TemplateError(f"There is no template '{name}'; use one of {', '.join(names)}.")
    return _load(name)


@functools.cache
def shipped() -> tuple[str, ...]:
    files = (resources.files(__package__) / "templates").iterdir()
    return tuple(
        sorted(file.name.removesuffix(_SUFFIX) for file in files if file.name.endswith(_SUFFIX))
    )


@functools.cache
def _load(name: str) -> BodyTemplate:
    source = (resources.files(__package__) / "templates" / f"{name}{_SUFFIX}").read_bytes()
    return compile_template(name, source)


def compile_template(name: str, source: bytes) -> BodyTemplate:
    try:
        document = msgspec.json.decode(source)
    except msgspec.DecodeError as exc:
        raise TemplateError(f"Template '{name}' is no JSON: {exc}.") from exc
    return BodyTemplate(
        name, hashlib.sha256(source).hexdigest(), frozenset(_variables(document)), document
    )


def _variables(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        for value in part.values():
            yield from _variables(value)
    elif isinstance(part, list):
        for value in part:
            yield from _variables(value)
    elif _is_variable(part):
        yield part[1:]


def _filled(part: Any, values: Mapping[str, Any]) -> Any:
    if isinstance(part, dict):
        return {name: _filled(value, values) for name, value in part.items()}
    if isinstance(part, list):
        return [_filled(value, values) for value in part]
    return values[part[1:]] if _is_variable(part) else part


def _is_variable(part: Any) -> bool:
    return isinstance(part, str) and part.startswith("$")
