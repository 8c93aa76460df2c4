"""OpenLineage's own JSON Schemas, to check events with. Nothing is fetched."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
from referencing import Registry, Resource

SPEC = Path(__file__).parent / "data" / "openlineage"

Event = dict[str, Any]


def schemas() -> Registry[Any]:
    """OpenLineage's schemas, each by the address where it is published; nothing is fetched."""
    texts = [json.loads(path.read_text()) for path in SPEC.rglob("*.json")]
    return Registry().with_resources((one["$id"], Resource.from_contents(one)) for one in texts)


SCHEMAS = schemas()
CHECK_FORMATS = jsonschema.Draft202012Validator.FORMAT_CHECKER


def check(part: Any, address: str) -> None:
    """By the schema at an address like .../ParentRunFacet.json#/$defs/ParentRunFacet."""
    jsonschema.Draft202012Validator(
        {"$ref": address}, registry=SCHEMAS, format_checker=CHECK_FORMATS
    ).validate(part)


def check_event(event: Event) -> None:
    """The event, and each facet by the schema that it names itself."""
    check(event, event["schemaURL"])
    held = [event["run"]["facets"], event["job"]["facets"]]
    for dataset in [*event["inputs"], *event["outputs"]]:
        held += [dataset["facets"], dataset.get("outputFacets", {})]
    for facets in held:
        for facet in facets.values():
            check(facet, facet["_schemaURL"])
