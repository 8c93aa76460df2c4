"""Bringing consent in from another system's export: one line in the log, one in the audit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import psycopg

from horizon import clock
from horizon.consent import book, formats
from horizon.consent.files import open_export
from horizon.consent.formats import Format, Given
from horizon.consent.importer import Imported, Importer
from horizon.errors import DatabaseError, HorizonError
from horizon.observe.lineage.runs import NullLineage
from horizon.pipeline.installation import Installation
from horizon.postgres.audit import actor, write_audit
from horizon.postgres.database import Role, closing_connection


def import_consent(
    horizon: Installation,
    path: Path,
    chosen: Format,
    given: Given,
    *,
    encoding: str = "utf-8",
    dry_run: bool = False,
    on_lines: Callable[[int], None] = lambda _: None,
) -> Imported:
    """Bring a file in, or with ``dry_run`` only count what it would bring.

    Raises UsageError for a file that is not of the format, before anything is written, and
    DatabaseError where the database stops it: what was committed until then stays.
    """
    bound = horizon.log.bind(
        stage="consent", component="importer", correlation_id=str(uuid4()), format=str(chosen)
    )
    lineage = NullLineage() if dry_run else horizon.lineage
    try:
        with lineage.run("consent", given.now) as told:
            done = _import(horizon, path, chosen, given, encoding, dry_run, on_lines)
            told.figures = _figures(done)
    except psycopg.Error as exc:
        said = exc.diag.message_primary or type(exc).__name__
        bound.error("consent", status="failed", error=said)
        raise DatabaseError(
            f"The import stopped ({said}): what was read until then is kept; run it again, and it "
            "brings the rest."
        ) from exc
    if not dry_run:
        bound.info("consent", **_figures(done))
    return done


def _import(
    horizon: Installation, path: Path, chosen: Format, given: Given, encoding: str, dry_run: bool,
    on_lines: Callable[[int], None],
) -> Imported:  # fmt: skip
    with (
        open_export(path, encoding) as export,
        closing_connection(horizon.database.connect(Role.WORKER, autocommit=True)) as connection,
    ):
        importer = Importer(
            connection, horizon.keys.node, export.digest, actor(), given.now, dry_run
        )
        unit = "item" if export.is_json else "line"
        done = importer.run(formats.read(export, chosen, given), on_lines, unit)
        if not dry_run:
            with connection.transaction():
                thing = f"{chosen} {export.digest.hex()[:12]}"
                write_audit(connection, "consent:imported", thing, _figures(done))
    return done


def check_used(done: Imported, path: Path, given: Given) -> None:
    """Raises HorizonError where a file with lines in it brought nothing at all."""
    if done.changed or done.known or not done.lines:
        return
    if given.only_list is not None:
        raise HorizonError(
            f"Nobody in {path} is on the list {given.only_list!r}: write its name as listmonk does."
        )
    if done.rejected == done.lines:
        raise HorizonError(
            f"No {done.unit} of {path} can be used: look at the reasons above, at --format and at "
            "--encoding."
        )


def given_of(
    horizon: Installation, purpose: str, channel: str, wording: str | None, **more: object
) -> Given:
    """What the command says, checked. Raises UsageError."""
    with horizon.database.transaction(Role.WORKER) as tx:
        book.check_purpose(tx, purpose)
        book.check_channel(channel)
        names = frozenset(row["purpose"] for row in book.purposes(tx))
    return Given(purpose, channel, wording, names, clock.now(), **more)  # type: ignore[arg-type]


def _figures(done: Imported) -> dict[str, int]:
    return {
        "count": done.lines, "granted": done.granted, "refused": done.refused,
        "suppressed": done.suppressed, "known": done.known, "left": done.left.total(),
        "rejected": done.rejected,
    }  # fmt: skip
