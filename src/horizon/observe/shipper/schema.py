"""The index's fixed schema, as a composable index template for Elasticsearch and OpenSearch.

A line keeps the seed's names; ``ts`` becomes ``@timestamp``. ECS names stand beside them as
aliases, which cost nothing in a document: a query for ``log.level`` reads ``level``.

``dynamic`` is false: a field that is not listed here stays in the document and is not indexed, so
no new field refuses a line, and none swells the mapping.
"""

from __future__ import annotations

from typing import Any

KEYWORDS = (
    "level", "message", "stage", "component", "correlation_id", "campaign_id", "user_id",
    "segment", "status", "alert_id", "message_id", "reason", "answer", "domain", "format",
    "to_addr", "database", "forward", "head",
)  # fmt: skip
COUNTS = (
    "agreed", "asked", "attempts", "batches", "blocked", "bytes", "complained", "consents", "count",
    "created", "days", "deferred", "differing", "dropped_events", "dropped_ids", "dropped_rejected",
    "edges", "events", "expired", "failed", "files", "freed", "freed_bytes", "granted", "high",
    "histogram", "hubs", "identifiers", "inserted", "known", "left", "looped", "low", "medium",
    "merged", "nodes", "nowhere", "null_mx", "opt_ins", "planned", "profiles", "refused",
    "rejected", "removed", "replaced", "resolved", "sealed", "sent", "skipped", "split",
    "suppressed", "suspicious", "traits", "unanswered", "unknown", "users",
)  # fmt: skip
NUMBERS = ("score", "threshold", "window_days", "cooldown_days", "duration_s", "lag_s")
FLAGS = ("aggregated",)

# ECS name: ours.
ALIASES = {
    "log.level": "level",
    "event.action": "stage",
    "event.reason": "reason",
    "service.name": "component",
    "trace.id": "correlation_id",
    "user.id": "user_id",
    "email.to.address": "to_addr",
}
# A line may have fields of these names, of any kind, and a document cannot: they go into OTHER.
OTHER = "other"
TAKEN = frozenset({name.split(".")[0] for name in ALIASES} | set(ALIASES) | {OTHER})

LONGEST_KEYWORD = 8191  # of 4 bytes each at most: Lucene refuses a term above 32,766 bytes


def template(index: str, data_stream: bool) -> dict[str, Any]:
    """What PUT _index_template/INDEX takes."""
    made: dict[str, Any] = {
        "index_patterns": [index],
        "priority": 500,
        "template": {
            "settings": {
                "index.number_of_shards": 1,
                "index.auto_expand_replicas": "0-1",
                "index.refresh_interval": "5s",
                "index.mapping.ignore_malformed": True,
            },
            "mappings": mappings(),
        },
        "_meta": {"description": "Horizon's log, one document a line; put by horizon ship."},
    }
    if data_stream:
        made["data_stream"] = {}
    return made


def mappings() -> dict[str, Any]:
    fields: dict[str, Any] = {"@timestamp": {"type": "date", "ignore_malformed": False}}
    fields.update({name: _keyword() for name in KEYWORDS})
    fields.update({name: {"type": "long"} for name in COUNTS})
    fields.update({name: {"type": "double"} for name in NUMBERS})
    fields.update({name: {"type": "boolean"} for name in FLAGS})
    # `error.message` is ECS's name, and `error` a word in the seed's lines: one field under both.
    fields["error"] = {**_keyword(), "fields": {"message": {"type": "text"}}}
    fields["reasons"] = {"type": "object", "enabled": False}
    # Nested, so that a user's score is asked together with the user.
    fields["top"] = {
        "type": "nested",
        "properties": {
            "user_id": _keyword(),
            "score": {"type": "double"},
            "segment": _keyword(),
        },
    }
    fields[OTHER] = {"type": "object", "enabled": False}
    for name, ours in ALIASES.items():
        _put(fields, name.split("."), {"type": "alias", "path": ours})
    return {"dynamic": False, "properties": fields}


def names(properties: dict[str, Any], prefix: str = "") -> set[str]:
    """Every field's name with its dots: what privacy/catalogue.toml has to declare."""
    found: set[str] = set()
    for name, field in properties.items():
        below = {**field.get("properties", {}), **field.get("fields", {})}
        if "type" in field:
            found.add(prefix + name)
        found |= names(below, f"{prefix}{name}.")
    return found


def _keyword() -> dict[str, Any]:
    return {"type": "keyword", "ignore_above": LONGEST_KEYWORD}


def _put(fields: dict[str, Any], path: list[str], field: dict[str, Any]) -> None:
    for name in path[:-1]:
        fields = fields.setdefault(name, {"properties": {}})["properties"]
    fields[path[-1]] = field
