"""Engines: what carries a definition out over the lake. One on this machine, one on many.

A definition is a query in PostgreSQL's words over two relations, and never asks which engine it is:

``events``
    lake and hot tail as one: ``node uuid`` (its first live one), ``time`` and ``received_at
    timestamptz``, ``activity boolean``. One whose nodes are all dead is nobody's and not there.
``map``
    whose the live nodes are now: ``node uuid``, ``profile_id bigint``, ``first_seen timestamptz``.

Parameters are written ``%(name)s``; times are bound as datetimes with a zone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import pyarrow as pa

from horizon.lake.view import View
from horizon.settings import Settings


class Engine(Protocol):
    @property
    def name(self) -> str: ...

    def run(self, definition: str, view: View, parameters: Mapping[str, Any]) -> pa.Table:
        """The definition's rows, in no order that it does not ask for.

        Raises LakeError, which names the file where one is missing or damaged.
        """
        ...


def engine_of(settings: Settings) -> Engine:
    """The one that ENGINE names; only that one is imported."""
    if settings.ENGINE == "spark":
        from horizon.lake.engines.spark import Spark

        return Spark.of(settings)
    from horizon.lake.engines.duckdb import DuckDB

    return DuckDB.of(settings)
