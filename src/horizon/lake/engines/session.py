"""The Java side of Spark, one a process: how it is started, and what it is told."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from horizon.errors import UsageError

ALWAYS: Final = {
    "spark.sql.session.timeZone": "UTC",
    "spark.ui.showConsoleProgress": "false",
    # What PostgreSQL and DuckDB raise an error for, Spark does as well.
    "spark.sql.ansi.enabled": "true",
}


def started(master: str, properties_file: str) -> Any:
    """The process's Spark: it starts with the first query, and ends with the process.

    Raises UsageError with what to install or to look at.
    """
    try:
        from pyspark.errors import PySparkException
        from pyspark.sql import SparkSession
    except ImportError as exc:
        raise UsageError(
            "ENGINE is spark and pyspark is not installed: pip install 'pyspark>=4.1,<4.2', or set "
            "ENGINE=duckdb. docs/lake.md says what else Spark needs."
        ) from exc
    builder = SparkSession.builder.appName("horizon").master(master)
    for name, value in ALWAYS.items():
        builder = builder.config(name, value)
    try:
        with _submitted_with(properties_file):
            started = builder.getOrCreate()
    except (PySparkException, _py4j_error()) as exc:
        raise UsageError(
            f"Spark did not start with SPARK_MASTER={master} ({_first_line(exc)}): it needs "
            "Java 17 or newer here, and that master to answer."
        ) from exc
    started.sparkContext.setLogLevel("ERROR")
    return started


@contextmanager
def _submitted_with(properties_file: str) -> Iterator[None]:
    """Spark reads the file itself: on its command line keys would be anybody's to see."""
    if not properties_file:
        yield
        return
    if not os.access(properties_file, os.R_OK):
        raise UsageError(f"SPARK_PROPERTIES names {properties_file}, which cannot be read.")
    name = "PYSPARK_SUBMIT_ARGS"
    before = os.environ.get(name)
    quoted = properties_file.replace("'", "'\\''")
    os.environ[name] = f"--properties-file '{quoted}' pyspark-shell"
    try:
        yield
    finally:
        os.environ.pop(name)
        if before is not None:
            os.environ[name] = before


def for_spark(properties: Mapping[str, str]) -> dict[str, str]:
    """What pyiceberg is told of S3, as Iceberg's Java is told of it."""
    told = {
        name: value for name, value in properties.items()
        if name in {"s3.endpoint", "s3.access-key-id", "s3.secret-access-key"}
    }  # fmt: skip
    if "s3.region" in properties:
        told["client.region"] = properties["s3.region"]
    if "s3.endpoint" in properties:  # not Amazon's: buckets need not be names of hosts there
        told["s3.path-style-access"] = "true"
        told.setdefault("client.region", "us-east-1")  # has to be said, and nobody looks at it
    return told


def failures() -> tuple[type[Exception], ...]:
    from pyspark.errors import PySparkException

    return (PySparkException, _py4j_error(), OSError)


def _py4j_error() -> type[Exception]:
    from py4j.protocol import Py4JError

    found: type[Exception] = Py4JError
    return found


def _first_line(exc: Exception) -> str:
    return str(exc).strip().partition("\n")[0]
