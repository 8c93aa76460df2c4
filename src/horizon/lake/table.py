"""The table of events: who asks the catalog for it, and how it is read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final
from uuid import uuid4

from psycopg.conninfo import conninfo_to_dict
from pyiceberg.catalog.sql import IcebergTables, SqlCatalog
from pyiceberg.exceptions import NoSuchTableError
from pyiceberg.table import StaticTable, Table
from sqlalchemy import URL, NullPool, create_engine
from sqlalchemy.exc import SQLAlchemyError

from horizon.errors import LakeError
from horizon.lake import files
from horizon.lake.faults import fault, naming
from horizon.lake.schema import BY_DAY, PROPERTIES, SCHEMA
from horizon.postgres.database import Connection, Database, Role
from horizon.postgres.queries import Queries
from horizon.settings import Settings

QUERIES = Queries("horizon.lake")

CATALOG: Final = "horizon"  # Spark's catalog has to have this name as well
NAMESPACE: Final = "horizon"
EVENTS: Final = "events"
RESTING: Final = "resting"  # see resting.py


class _Catalog(SqlCatalog):
    """A table's own file that is missing or damaged is named, whoever asks for the table."""

    def _convert_orm_to_iceberg(self, orm_table: IcebergTables) -> Table:
        with naming(str(orm_table.metadata_location)):
            return super()._convert_orm_to_iceberg(orm_table)


@dataclass(frozen=True)
class Lake:
    """Where the tables lie, and what its files are reached with."""

    database: Database
    warehouse: str  # a URL without a slash at its end
    properties: dict[str, str]

    @classmethod
    def of(cls, settings: Settings, database: Database) -> Lake:
        """Raises UsageError where LAKE_URL cannot be one."""
        return cls(database, files.warehouse(settings), files.properties(settings))

    def catalog(self) -> SqlCatalog:
        """Iceberg's catalog in our database. Its own transactions commit what a writer made."""
        url = URL.create(
            "postgresql+psycopg",
            query={name: str(value) for name, value
                   in conninfo_to_dict(self.database.conninfo(Role.WORKER)).items()},
        )  # fmt: skip
        catalog = _Catalog(
            CATALOG,
            **self.properties,
            uri=url.render_as_string(hide_password=False),
            warehouse=self.warehouse,
            init_catalog_tables="false",
        )
        # A connection for each question: nobody tells when the last one was asked.
        catalog.engine.dispose()
        catalog.engine = create_engine(url, poolclass=NullPool)
        return catalog

    def for_writing(self) -> Table:
        """The table as it is now, made where there is none, with all fields of the schema.

        Raises LakeError as ``seen_by`` does."""
        catalog = self.catalog()
        try:
            table = catalog.load_table((NAMESPACE, EVENTS))
        except NoSuchTableError:
            catalog.create_namespace_if_not_exists(NAMESPACE)
            table = catalog.create_table_if_not_exists(
                (NAMESPACE, EVENTS), SCHEMA, self.new_place(EVENTS), BY_DAY, properties=PROPERTIES
            )
        if set(SCHEMA.column_names) - set(table.schema().column_names):
            with table.update_schema() as update:
                update.union_by_name(SCHEMA)
        return table

    @contextmanager
    def told(self) -> Iterator[None]:
        """Raises LakeError for what disks, servers and the catalog say while the lake changes."""
        try:
            yield
        except SQLAlchemyError as exc:
            said = " ".join(str(exc).partition("\n")[0].split())
            raise LakeError(
                f"The lake's catalog in the database does not answer ({said}): run it again, and "
                "see `horizon doctor` if it stays so."
            ) from exc
        except OSError as exc:
            raise fault(str(exc.filename or self.warehouse), exc) from exc

    def new_place(self, table: str) -> str:
        """A folder of this table alone: two databases of one home would else clean up each other's
        files, and a lake that is built anew the files of the one before."""
        return f"{self.warehouse}/{NAMESPACE}/{table}-{uuid4().hex[:12]}"

    def seen_by(self, tx: Connection) -> Table | None:
        """The table as this transaction sees it; None before the first archive.

        Raises LakeError where its own file is missing or damaged."""
        row = tx.execute(
            QUERIES["pointer"], {"catalog": CATALOG, "namespace": NAMESPACE, "table": EVENTS}
        ).fetchone()
        if row is None or row.metadata_location is None:
            return None
        with naming(row.metadata_location):
            return StaticTable.from_metadata(row.metadata_location, self.properties)
