"""What a query over Spark is lent and gives back: Iceberg tables of that query alone.

They lie in a folder beside the lake's tables, so that executors that reach the lake reach them as
well. Their catalog is a file of SQLite here, that Spark's driver opens too: it is never told of our
database. Folder and file are gone with the query.
"""

from __future__ import annotations

import tempfile
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final, Self

import pyarrow as pa
from pyarrow import fs
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.io.pyarrow import PyArrowFileIO
from pyiceberg.manifest import DataFile, DataFileContent, FileFormat
from pyiceberg.partitioning import UNPARTITIONED_PARTITION_SPEC
from pyiceberg.schema import Schema
from pyiceberg.serializers import ToOutputFile
from pyiceberg.table import Table
from pyiceberg.table.metadata import TableMetadataV2
from pyiceberg.table.sorting import UNSORTED_SORT_ORDER
from pyiceberg.typedef import Record
from pyiceberg.types import (
    BooleanType,
    IcebergType,
    ListType,
    LongType,
    NestedField,
    TimestamptzType,
    UUIDType,
)

from horizon import clock
from horizon.lake.view import File, Files

CATALOG: Final = "lent"
NAMESPACE: Final = "lent"
FOLDER: Final = "spark"
LEFT_AFTER: Final = timedelta(days=1)  # no query takes as long: whoever began it was killed
_STAMP: Final = "%Y%m%dT%H%M%SZ"
_TYPES: Final[dict[str, IcebergType]] = {
    "node": UUIDType(), "time": TimestamptzType(), "received_at": TimestamptzType(),
    "activity": BooleanType(), "profile_id": LongType(), "first_seen": TimestamptzType(),
}  # fmt: skip


@dataclass(frozen=True)
class Lent:
    location: str  # of the query's folder
    database: Path
    properties: Mapping[str, str]
    catalog: SqlCatalog = field(repr=False)

    @classmethod
    @contextmanager
    def opened(cls, warehouse: str, properties: Mapping[str, str]) -> Iterator[Self]:
        """Removes the folder in the end, and those of queries that were killed."""
        now = clock.now()
        system, path = _system(properties, f"{warehouse}/{FOLDER}")
        _remove_left(system, path, now - LEFT_AFTER)
        name = f"{now.strftime(_STAMP)}-{uuid.uuid4().hex}"
        location = f"{warehouse}/{FOLDER}/{name}"
        with tempfile.TemporaryDirectory(prefix="horizon-lent-") as folder:
            file = Path(folder) / "catalog.db"
            catalog = SqlCatalog(CATALOG, uri=f"sqlite:///{file}", warehouse=location, **properties)
            try:
                catalog.create_namespace(NAMESPACE)
                yield cls(location, file, properties, catalog)
            finally:
                catalog.close()
                _remove(system, f"{path}/{name}")

    def rows(self, name: str, rows: pa.Table) -> str:
        """Lend an Arrow table; give its name in Spark."""
        schema = Schema(*(
            NestedField(at, column, _TYPES[column], required=False)
            for at, column in enumerate(rows.column_names, start=1)
        ))  # fmt: skip
        self._table(name, schema).append(rows)
        return f"{CATALOG}.{NAMESPACE}.{name}"

    def files(self, name: str, files: Files) -> str:
        """Lend files of the lake as they are: those that planning found, and no others."""
        table = self._table(name, _schema_of(files.ids))
        with (
            table.transaction() as change,
            change.update_snapshot().fast_append() as append,
        ):
            for file in files.files:
                append.append_data_file(_data_file(file))
        return f"{CATALOG}.{NAMESPACE}.{name}"

    def returned(self, name: str) -> pa.Table:
        """A table that Spark made."""
        return self.catalog.load_table((NAMESPACE, name)).scan().to_arrow()

    def _table(self, name: str, schema: Schema) -> Table:
        """With the schema's own field ids: a catalog's own way gives new ones."""
        location = f"{self.location}/{name}"
        spec, order = UNPARTITIONED_PARTITION_SPEC, UNSORTED_SORT_ORDER
        metadata = TableMetadataV2.model_validate({
            "location": location, "table-uuid": uuid.uuid4(), "schemas": [schema],
            "last-column-id": schema.highest_field_id, "current-schema-id": schema.schema_id,
            "partition-specs": [spec], "default-spec-id": spec.spec_id,
            "last-partition-id": spec.last_assigned_field_id,
            "sort-orders": [order], "default-sort-order-id": order.order_id,
            "properties": {"write.metadata.metrics.default": "none"},
        })  # fmt: skip
        file = f"{location}/metadata/00000-{uuid.uuid4()}.metadata.json"
        ToOutputFile.table_metadata(metadata, PyArrowFileIO(dict(self.properties)).new_output(file))
        return self.catalog.register_table((NAMESPACE, name), file)


def _schema_of(ids: Mapping[str, int]) -> Schema:
    nodes = ListType(element_id=ids["nodes.element"], element=UUIDType(), element_required=False)
    types: dict[str, IcebergType] = {**_TYPES, "nodes": nodes}
    return Schema(*(
        NestedField(field_id, name, types[name], required=False)
        for name, field_id in ids.items() if name in types
    ))  # fmt: skip


def _data_file(file: File) -> DataFile:
    data = DataFile.from_args(
        content=DataFileContent.DATA, file_path=file.location, file_format=FileFormat.PARQUET,
        partition=Record(), record_count=file.rows, file_size_in_bytes=file.size_bytes,
    )  # fmt: skip
    data.spec_id = UNPARTITIONED_PARTITION_SPEC.spec_id
    return data


def _system(properties: Mapping[str, str], location: str) -> tuple[fs.FileSystem, str]:
    scheme, netloc, path = PyArrowFileIO.parse_location(location, dict(properties))
    return PyArrowFileIO(dict(properties)).fs_by_scheme(scheme, netloc), path


def _remove_left(system: fs.FileSystem, path: str, before: datetime) -> None:
    for name in _names(system.get_file_info(fs.FileSelector(path, allow_not_found=True))):
        if name < before.strftime(_STAMP):
            _remove(system, f"{path}/{name}")


def _names(found: Iterable[Any]) -> Iterator[str]:
    return (info.base_name for info in found if info.type == fs.FileType.Directory)


def _remove(system: fs.FileSystem, path: str) -> None:
    if system.get_file_info(path).type != fs.FileType.NotFound:
        system.delete_dir(path)
