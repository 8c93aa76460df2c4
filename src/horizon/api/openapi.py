"""The OpenAPI 3.1 document: made from the answers' shapes and the parts of a profile."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from horizon import __version__
from horizon.api import parts, shapes
from horizon.api.address import NAME_LENGTH, NAMES, VALUE_LENGTH
from horizon.api.cursor import NAME_PATTERN, PLACE_PATTERN
from horizon.api.scopes import Scope

_SHAPES: Final = (
    shapes.Profile, *(part.shape for part in parts.PARTS.values()), shapes.Error,
)  # fmt: skip
_REF: Final = "#/components/schemas/{name}"

_ABOUT: Final[Mapping[str, str]] = {
    "traits": "What is known of the person, by name; the latest event's word holds.",
    "events": "What happened, the newest first.",
    "identifiers": "What the person is known by, the newest first.",
    "segments": "Which segments the person is in: for now the tier of the score.",
    "scores": "The person's scores of the latest run.",
    "messages": "What was planned or sent to the person, the newest first.",
}
_REFUSALS: Final[Mapping[int, str]] = {
    400: "A parameter or the identifier is malformed.",
    401: "The token is missing, unknown, revoked or has ended.",
    403: "The token has no scope for this.",
    404: "No profile has this identifier.",
    405: "Only GET and HEAD are answered.",
    503: "The database is away or slow: ask again after Retry-After seconds.",
}


def document() -> bytes:
    _, schemas = msgspec.json.schema_components(_SHAPES, ref_template=_REF)
    paths: dict[str, Any] = {
        "/v1/profiles/{identifier}": _path(
            "profile", "Who it is, and what else the token reads.", Scope.PROFILES, shapes.Profile
        )
    }
    for part in parts.PARTS.values():
        paths[f"/v1/profiles/{{identifier}}/{part.name}"] = _path(
            part.name, _ABOUT[part.name], part.scope, part.shape
        )
    return msgspec.json.encode({
        "openapi": "3.1.0",
        "info": {
            "title": "Horizon profiles", "version": __version__,
            "description": "Reads profiles by any of their identifiers. Times are UTC. Tokens come "
                           "from `horizon token add`.",
        },
        "servers": [{"url": "/"}],
        "security": [{"bearer": []}, {"basic": []}],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "basic": {"type": "http", "scheme": "basic",
                          "description": "The token as the user, without a password."},
            },
        },
    })  # fmt: skip


def _path(name: str, about: str, scope: Scope, shape: type[msgspec.Struct]) -> dict[str, Any]:
    answers: dict[str, Any] = {
        "200": {"description": about, "content": _content(shape)},
        **{
            str(status): {"description": said, "content": _content(shapes.Error)}
            for status, said in _REFUSALS.items()
        },
    }
    for status, what in (("414", "The address has"), ("431", "The address and headers have")):
        answers[status] = {"description": f"{what} more than 64 KB."}
    answers["503"]["headers"] = {"Retry-After": {"schema": {"type": "integer"}}}
    answers["401"]["headers"] = {"WWW-Authenticate": {"schema": {"type": "string"}}}
    return {
        "parameters": [_IDENTIFIER, *_PARAMETERS.get(name, ())],
        "get": {
            "operationId": name, "summary": about, "description": f"Needs the scope {scope}.",
            "responses": answers,
        },
    }  # fmt: skip


def _content(shape: type[msgspec.Struct]) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": _REF.format(name=shape.__name__)}}}


def _parameter(name: str, about: str, schema: Mapping[str, object]) -> dict[str, Any]:
    return {"name": name, "in": "query", "description": about, "schema": schema}


def _limit(default: int, most: int) -> dict[str, Any]:
    schema = {"type": "integer", "minimum": 1, "maximum": most, "default": default}
    return _parameter("limit", "How many at most.", schema)


def _names(name: str, about: str, items: Mapping[str, object]) -> dict[str, Any]:
    schema = {"type": "array", "items": items, "minItems": 1, "maxItems": NAMES}
    return _parameter(name, f"{about} Repeat it for several.", schema)


_NAME: Final = {"type": "string", "maxLength": NAME_LENGTH}
_NEXT: Final = "`cursor.next` of the page before."
_CURSOR: Final = _parameter("cursor", _NEXT, {"type": "string", "pattern": PLACE_PATTERN})
_NAMED_CURSOR: Final = _parameter(
    "cursor", _NEXT, {"type": "string", "pattern": NAME_PATTERN, "maxLength": NAME_LENGTH}
)
_IDENTIFIER: Final = {
    "name": "identifier", "in": "path", "required": True,
    "description": "KIND:VALUE, percent-encoded (a slash in the value is %2F), like user_id:4711 "
                   "or email:ada%40example.com; or profile_id and its number.",
    "schema": {"type": "string", "pattern": "^[^:]+:.+$", "maxLength": VALUE_LENGTH},
}  # fmt: skip
_PARAMETERS: Final[Mapping[str, list[dict[str, Any]]]] = {
    "traits": [
        _limit(100, 200), _NAMED_CURSOR, _names("include", "Only traits of this name.", _NAME),
        _parameter("verbose", "With each value's event.", {"type": "boolean", "default": False}),
    ],
    "events": [
        _limit(10, 100), _CURSOR, _names("include", "Only events of this name.", _NAME),
        _names("exclude", "No events of this name.", _NAME),
        _names("type", "Only events of this type.",
               {"type": "string", "enum": list(parts.EVENT_TYPES)}),
    ],
    "identifiers": [_limit(10, 100), _CURSOR],
    "messages": [_limit(10, 100), _CURSOR],
}  # fmt: skip
