"""The lake: is it in reach, does its catalog point to a file, is it verified, can Spark start."""

from __future__ import annotations

import importlib.metadata
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

import psycopg

from horizon.doctor.finding import Case, Finding, ok, problem, warning
from horizon.errors import HorizonError
from horizon.observe.metrics.place import existing, takes_files
from horizon.postgres.database import Database, closing_connection, find
from horizon.postgres.embedded import EmbeddedPostgres
from horizon.postgres.queries import Queries
from horizon.settings import Settings

OWN = Queries("horizon.doctor")
PART: Final = "lake"
JAVA: Final = 17
PYSPARK: Final = "4.1."
# `horizon up` verifies once a day; a second one may have met a server that was away.
VERIFIED_WITHIN: Final = timedelta(days=2)
JAVA_LIMIT_S: Final = 10.0
OPTIONS: Final = "-c statement_timeout=10000 -c default_transaction_read_only=on"


def check_lake(case: Case) -> Iterator[Finding]:
    yield from _told(_files(case))
    if case.settings.ENGINE == "spark":
        yield from _spark(case.settings, case.environ)


def _files(case: Case) -> Iterator[Finding]:
    """Of a place that does not answer nothing more is asked: each question takes its time."""
    yield from _place(case.settings)
    database = _database(case.settings)
    if database is not None:  # else the check of the database says why
        yield from _catalog(database, case)


def _told(findings: Iterator[Finding]) -> Iterator[Finding]:
    """Our sentences say what is wrong, and after their last colon what to do."""
    try:
        yield from findings
    except HorizonError as exc:
        found, _, todo = str(exc).rpartition(": ")
        yield problem(PART, found, f"{todo[:1].upper()}{todo[1:]}")


def _place(settings: Settings) -> Iterator[Finding]:
    """Whether a folder can be written; of a bucket, whether it answers: nothing is made."""
    from horizon.lake import files  # Arrow's and Iceberg's imports take 0.5 s

    place = files.warehouse(settings)
    folder = files.local_path(place)
    if folder is None:
        files.look(place, files.properties(settings))
        yield ok(PART, f"{place} can be reached")
    elif not existing(folder).is_dir() or not takes_files(existing(folder)):
        yield problem(
            PART, f"{existing(folder)} cannot be written, and nothing is archived",
            "Run as the user who owns it, or set LAKE_URL to a folder of yours.",
        )  # fmt: skip
    else:
        yield ok(PART, f"{folder} can be {'written' if folder.exists() else 'made'}")


def _database(settings: Settings) -> Database | None:
    """As it stands: a look starts and makes nothing."""
    if settings.PG_DSN:
        try:
            return find(settings)
        except HorizonError:
            return None
    embedded = EmbeddedPostgres(settings.home)
    return Database(embedded.dsn) if embedded.exists() and embedded.running() else None


def _catalog(database: Database, case: Case) -> Iterator[Finding]:
    from horizon.lake.table import QUERIES, Lake

    try:
        connection = database.connect(autocommit=True, options=OPTIONS)
    except HorizonError:
        return
    with closing_connection(connection) as tx:
        try:
            table = Lake.of(case.settings, database).seen_by(tx)
            agreed = tx.execute(QUERIES["last_agreed"]).fetchone()
            verified = tx.execute(OWN["last_verify"]).fetchone()
        except psycopg.Error:
            return  # its tables are not there yet, or not ours
    if table is None:
        yield ok(PART, "nothing is archived yet")
        return
    yield ok(PART, f"the catalog's {table.metadata_location.rpartition('/')[2]} can be read")
    if verified is not None and verified.status == "failed":
        yield warning(
            PART, "the last verify failed: a file is damaged, or lake and hot store differ",
            "Type `horizon lake verify`, and do what it says.",
        )  # fmt: skip
    if case.settings.HOT_DAYS is not None:
        yield _verified(case, agreed.verified_at if agreed else None)


def _verified(case: Case, at: datetime | None) -> Finding:
    age = case.clock - at if at is not None else None
    if age is not None and age <= VERIFIED_WITHIN:
        return ok(PART, f"verify last agreed {age.total_seconds() / 3600:.0f} h ago")
    when = f"for {age.days} days" if age is not None else "yet"
    return warning(
        PART, f"HOT_DAYS is set and verify has not agreed {when}: no day leaves PostgreSQL",
        "Type `horizon lake verify`, and do what it says.",
    )  # fmt: skip


def _spark(settings: Settings, environ: Mapping[str, str]) -> Iterator[Finding]:
    try:
        version = importlib.metadata.version("pyspark")
    except importlib.metadata.PackageNotFoundError:
        yield problem(
            PART, "ENGINE is spark and pyspark is not installed",
            "Type: pip install 'pyspark>=4.1,<4.2', or set ENGINE=duckdb.",
        )  # fmt: skip
    else:
        if version.startswith(PYSPARK):
            yield ok(PART, f"pyspark {version} is installed")
        else:
            yield problem(
                PART, f"pyspark {version} is not one that Horizon's queries are tested with",
                "Type: pip install 'pyspark>=4.1,<4.2'.",
            )  # fmt: skip
    java = _java(environ)
    if java is None or java < JAVA:
        yield problem(
            PART, f"Spark needs Java {JAVA}, and there is {'none' if java is None else java}",
            f"Install Java {JAVA} or newer, or set JAVA_HOME to it.",
        )  # fmt: skip
    else:
        yield ok(PART, f"Java {java} is there for Spark")
    if settings.SPARK_PROPERTIES and not os.access(settings.SPARK_PROPERTIES, os.R_OK):
        yield problem(
            PART, f"{settings.SPARK_PROPERTIES} cannot be read",
            "Set SPARK_PROPERTIES to a file of Spark's properties, or unset it.",
        )  # fmt: skip


def _java(environ: Mapping[str, str]) -> int | None:
    """The number of the Java that Spark takes; None where there is none that starts."""
    home = environ.get("JAVA_HOME")
    program = (
        str(Path(home) / "bin" / "java") if home else shutil.which("java", path=environ.get("PATH"))
    )
    if program is None:
        return None
    try:
        told = subprocess.run(
            [program, "-version"], capture_output=True, text=True, timeout=JAVA_LIMIT_S, check=True
        ).stderr
    except (OSError, subprocess.SubprocessError):
        return None
    found = re.search(r'version "(\d+)', told)
    return int(found[1]) if found else None
