"""Spark: the engine of many machines. It is lent the files that planning found, and what else the
view has; the definition is the same, and the answer comes back as a table.

UUIDs are strings there, so a definition that gives one gives its text.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Self

import pyarrow as pa

from horizon.lake import files
from horizon.lake.engines.definitions import carried
from horizon.lake.engines.found import complaint
from horizon.lake.engines.lent import CATALOG, NAMESPACE, Lent
from horizon.lake.engines.session import ALWAYS, failures, for_spark, started
from horizon.lake.view import View
from horizon.postgres.queries import Queries
from horizon.settings import Settings

QUERIES = Queries("horizon.lake.engines", "spark.sql")

_RESULT: Final = "result"


@dataclass(frozen=True)
class Spark:
    master: str
    properties_file: str  # of Spark's own form; empty: what Spark finds by itself
    warehouse: str
    properties: Mapping[str, str] = field(repr=False)
    name: str = "spark"

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Raises UsageError where LAKE_URL cannot be one."""
        return cls(
            settings.SPARK_MASTER, settings.SPARK_PROPERTIES,
            files.warehouse(settings), files.properties(settings),
        )  # fmt: skip

    def run(self, definition: str, view: View, parameters: Mapping[str, Any]) -> pa.Table:
        context = started(self.master, self.properties_file)
        # Not before Spark is there: nothing of anybody lies in the folder while it starts.
        with Lent.opened(self.warehouse, self.properties) as lent:
            try:
                session = _session(context, self._catalog(lent))
                _relate(session, lent, view)
                answer = session.sql(carried(definition, self.name), args=dict(parameters))
                answer.writeTo(f"{CATALOG}.{NAMESPACE}.{_RESULT}").create()
            except failures() as exc:
                raise complaint(view, exc) from exc
            return lent.returned(_RESULT)

    def _catalog(self, lent: Lent) -> dict[str, str]:
        """Of this query's session alone. Set in a session that runs, never on a command line."""
        told = {
            "": "org.apache.iceberg.spark.SparkCatalog",
            ".type": "jdbc",
            ".uri": f"jdbc:sqlite:{lent.database}",
            ".jdbc.schema-version": "V1",
            ".warehouse": lent.location,
            ".cache-enabled": "false",
            ".io-impl": "org.apache.iceberg.io.ResolvingFileIO",
            **{f".{name}": value for name, value in for_spark(self.properties).items()},
        }
        return {f"spark.sql.catalog.{CATALOG}{name}": value for name, value in told.items()}


def _session(started: Any, settings: Mapping[str, str]) -> Any:
    """With views and catalogs of its own; the executors are the same."""
    session = started.newSession()
    for name, value in {**ALWAYS, **settings}.items():
        if name.startswith("spark.sql."):  # others are of the whole process
            session.conf.set(name, value)
    return session


def _relate(session: Any, lent: Lent, view: View) -> None:
    """Make the relations ``events`` and ``map``."""
    names = {name: lent.rows(name, getattr(view, name)) for name in ("tail", "map", "dead")}
    lake = [lent.files(f"lake_{at}", found) for at, found in enumerate(view.lake)]
    union = " UNION ALL ".join(
        f"SELECT node, nodes, time, received_at, activity FROM {name}"  # noqa: S608
        for name in lake
    )
    kind = "hot_alone" if not lake else "some_dead" if view.dead.num_rows else "nobody_dead"
    session.sql(QUERIES[kind].format(lake=f"({union})", **names)).createTempView("events")
    session.table(names["map"]).createTempView("map")
