"""The fields of the lake's events: those of the hot store, and the strongest node by itself."""

from __future__ import annotations

from typing import Final

from pyiceberg.partitioning import PartitionField, PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.transforms import DayTransform
from pyiceberg.types import (
    BooleanType,
    IntegerType,
    ListType,
    NestedField,
    PrimitiveType,
    StringType,
    TimestamptzType,
    UUIDType,
)

_REQUIRED, _OPTIONAL = True, False
# Name, type and whether it is always there. A new field stands at the end: files without it stay.
_FIELDS: Final[tuple[tuple[str, PrimitiveType | None, bool], ...]] = (
    ("event_id", UUIDType(), _REQUIRED),
    ("source_id", IntegerType(), _REQUIRED),
    ("message_id", StringType(), _REQUIRED),
    ("type", StringType(), _REQUIRED),
    ("name", StringType(), _OPTIONAL),
    ("user_id", StringType(), _OPTIONAL),
    ("anonymous_id", StringType(), _OPTIONAL),
    ("email", StringType(), _OPTIONAL),
    ("previous_id", StringType(), _OPTIONAL),
    ("group_id", StringType(), _OPTIONAL),
    ("node", UUIDType(), _REQUIRED),  # the first of nodes: what files are sorted by
    ("nodes", None, _REQUIRED),
    ("identifiers", StringType(), _OPTIONAL),
    ("original_timestamp", TimestamptzType(), _OPTIONAL),
    ("time", TimestamptzType(), _REQUIRED),
    ("received_at", TimestamptzType(), _REQUIRED),
    ("time_flag", StringType(), _OPTIONAL),
    ("trusted", BooleanType(), _REQUIRED),
    ("activity", BooleanType(), _REQUIRED),
    ("properties", StringType(), _OPTIONAL),
    ("traits", StringType(), _OPTIONAL),
    ("context", StringType(), _OPTIONAL),
    ("consent", StringType(), _OPTIONAL),
)
_ELEMENTS: Final = 1000  # ids of what lies within a field, apart from the fields' own

NAMES: Final = tuple(name for name, _, _ in _FIELDS)
# Few values, many times: a dictionary of them pays. Looking for one in the others cost a third of
# the time of writing.
REPEATED: Final = ("source_id", "type", "name", "time_flag")


def _field(field_id: int, name: str, kind: PrimitiveType | None, required: bool) -> NestedField:
    listed = ListType(element_id=_ELEMENTS + field_id, element=UUIDType(), element_required=True)
    return NestedField(field_id, name, kind or listed, required=required)


SCHEMA: Final = Schema(*(_field(at, *field) for at, field in enumerate(_FIELDS, start=1)))
BY_DAY: Final = PartitionSpec(
    PartitionField(
        source_id=SCHEMA.find_field("time").field_id, field_id=1000, transform=DayTransform(),
        name="day",
    )
)  # fmt: skip

# Bounds of a column hold values of people, in files that an erasure does not rewrite: only what
# tells files apart has them.
PROPERTIES: Final = {
    "format-version": "2",
    "write.metadata.metrics.default": "none",
    **{f"write.metadata.metrics.column.{name}": "full"
       for name in ("time", "received_at", "activity", "node")},
    "write.parquet.compression-codec": "zstd",
    "write.parquet.compression-level": "1",
    # pyiceberg's own retry writes the same rows again where the first answer was lost.
    "commit.retry.num-retries": "0",
    "commit.manifest-merge.enabled": "true",
    # By cleaning.py alone: a backup names one of them.
    "write.metadata.delete-after-commit.enabled": "false",
    "write.metadata.previous-versions-max": "20",
}  # fmt: skip
