"""Whose fault a refusal is: the line's, which is then a dead letter, or that of what stands before
all lines, which have to wait until somebody mends it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from horizon.observe.shipper import schema
from horizon.observe.shipper.client import Client

# Deletes what is not there: a request like any other, and no document comes of it.
HARMLESS = b'{"delete":{"_id":"none"}}\n'
COMPARED = ("type", "format")

_NAMED = re.compile(r"\[([^\[\]]+)\]")


def takes_requests(client: Client, path: str) -> bool:
    """Whether the server takes a bulk request in which nothing is wrong."""
    return client.ask("POST", path, HARMLESS).status == 200


def of_the_index(
    client: Client, index: str, errors: Sequence[Mapping[str, Any]], *, taken: int
) -> list[bool]:
    """For each refusal whether the index is to blame, since what it says of the field is not what
    our template does. Where that cannot be read, an index that takes nothing at all is."""
    answer = client.ask("GET", f"/{index}/_mapping")
    if answer.status != 200:
        return [taken == 0 and len(errors) > 1] * len(errors)
    other = differing(answer.json())
    return [bool(other and (named(error) & other or not named(error))) for error in errors]


def differing(told: Any) -> set[str]:
    """Our fields that the index has in another way; ``dynamic`` where it lets unknown ones in."""
    try:
        newest = told[max(told)]["mappings"]  # a data stream's last part is the one that is written
        fields = newest.get("properties", {})
    except (AttributeError, KeyError, TypeError, ValueError):
        return set()
    ours = schema.mappings()
    found = {
        name for name, field in ours["properties"].items()
        if name in fields and _form(fields[name]) != _form(field)
    }  # fmt: skip
    if fields and str(newest.get("dynamic", True)).lower() != str(ours["dynamic"]).lower():
        found.add("dynamic")
    return found


def named(error: Mapping[str, Any]) -> set[str]:
    """Which of our fields an error is about."""
    said = f"{error.get('reason', '')} {(error.get('caused_by') or {}).get('reason', '')}"
    roots = {name.split(".")[0] for name in _NAMED.findall(said)}
    return roots & set(schema.mappings()["properties"])


def _form(field: Mapping[str, Any]) -> list[Any]:
    kind = {"type": "object", **field}
    return [kind.get(one) for one in COMPARED]


def sentence(index: str) -> str:
    return (
        f"The index {index} has another schema than Horizon's and refuses lines for it: give its "
        "fields the types of the index template of that name, or set ES_INDEX to a new name."
    )
