"""A real Spark: a driver and two executors, each a Java process of its own.

It takes 15 s to start, so it is the session's, and what uses it is marked slow.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from typing import Any

import pytest
from psycopg.conninfo import conninfo_to_dict

from bench.spark import NoSparkError, spark_at_hand
from horizon.lake.engines.session import for_spark, started
from horizon.lake.table import CATALOG, Lake
from horizon.postgres.database import Role


@pytest.fixture(scope="session")
def spark_environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """What a command's environment needs to run on Spark."""
    try:
        with spark_at_hand(tmp_path_factory.mktemp("spark")) as environment:
            yield environment
    except NoSparkError as exc:
        if os.environ.get("CI") == "true" and shutil.which("java") and shutil.which("mvn"):
            pytest.fail(str(exc))
        pytest.skip(str(exc))


def jdbc_session(environment: dict[str, str], lake: Lake) -> Any:
    """Spark as somebody else has it: Iceberg's JDBC catalog in our PostgreSQL, none of our code.

    The embedded PostgreSQL listens on a Unix socket alone, which junixsocket's factory opens.
    """
    conninfo = conninfo_to_dict(lake.database.conninfo(Role.WORKER))
    told = {
        "": "org.apache.iceberg.spark.SparkCatalog",
        ".type": "jdbc",
        ".uri": f"jdbc:postgresql://localhost/{conninfo['dbname']}",
        ".jdbc.user": conninfo["user"],
        ".jdbc.options": conninfo["options"],
        ".jdbc.sslmode": "disable",
        ".jdbc.socketFactory": "org.newsclub.net.unix.AFUNIXSocketFactory$FactoryArg",
        ".jdbc.socketFactoryArg": f"{conninfo['host']}/.s.PGSQL.{conninfo['port']}",
        ".jdbc.schema-version": "V1",
        ".warehouse": lake.warehouse,
        ".cache-enabled": "false",
        ".io-impl": "org.apache.iceberg.io.ResolvingFileIO",
        **{f".{name}": value for name, value in for_spark(lake.properties).items()},
    }
    session = started(environment["SPARK_MASTER"], environment["SPARK_PROPERTIES"]).newSession()
    for name, value in told.items():
        session.conf.set(f"spark.sql.catalog.{CATALOG}{name}", str(value))
    session.conf.set("spark.sql.session.timeZone", "UTC")
    return session
