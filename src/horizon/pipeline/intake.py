"""Bringing events in from files and from the simulator, each run one line in the log."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import msgspec

from horizon import clock
from horizon.errors import UsageError
from horizon.events import sources
from horizon.events.model import Source
from horizon.pipeline.installation import Installation
from horizon.pipeline.recording import Recorder
from horizon.postgres.database import Connection, Role
from horizon.postgres.queries import Queries
from horizon.sources import files
from horizon.sources.files import FileResult, Interpreter
from horizon.sources.lines import OnProgress
from horizon.sources.mapping import load_mapping
from horizon.sources.opening import limits_of, open_stored
from horizon.sources.preview import Preview, preview
from horizon.sources.readers import reader_of

QUERIES = Queries("horizon.pipeline")
SIMULATOR = "simulator"
FILES = "files"  # one source for all, so that a file is known again whatever its mapping is called


@dataclass(frozen=True)
class Simulated:
    events: int
    users: int
    inserted: int


def ingest_file(
    horizon: Installation,
    name: str,
    mapping: str | None,
    *,
    source_name: str | None = None,
    again: bool = False,
    on_progress: OnProgress = lambda *_: None,
    stopping: Callable[[], bool] = lambda: False,
    correlation_id: UUID | None = None,
) -> FileResult:
    """Bring a file in; go on where a run before was ended, unless ``again`` says otherwise.

    Raises UsageError or MappingError before anything is written.
    """
    chosen = load_mapping(mapping) if mapping else None
    with (
        open_stored(name, horizon.settings) as stored,
        _recording(horizon, "file", correlation_id) as figures,
        horizon.lineage.run("ingest", clock.now(), parent=correlation_id) as lineage,
    ):
        result = files.ingest_file(
            horizon.database, stored, chosen, source_name=source_name or FILES,
            node_key=horizon.keys.node, era=horizon.era(), now=clock.now(), again=again,
            limits=limits_of(horizon.settings), kinds=horizon.kinds,
            on_progress=on_progress, stopping=stopping,
        )  # fmt: skip
        figures.update(
            inserted=result.inserted, skipped=result.duplicates, rejected=result.rejected
        )
        lineage.figures = {"inserted": result.inserted, "rejected": result.rejected}
    return result


def preview_file(
    horizon: Installation, name: str, mapping: str | None, *, most: int,
    source_name: str | None = None,
) -> Preview:  # fmt: skip
    """What its first lines would be as events. Raises UsageError and MappingError."""
    with horizon.database.transaction(Role.WORKER) as tx:
        sources.check_kind(tx, source_name or FILES, "file")
    chosen = load_mapping(mapping) if mapping else None
    with open_stored(name, horizon.settings) as stored:
        reader = reader_of(stored, chosen, limits_of(horizon.settings))
        source = Source(0, FILES, "file")
        interpreter = Interpreter(
            reader, "", source, horizon.keys.node, clock.now(), kinds=horizon.kinds
        )
        return preview(interpreter, most)


def write_rejects(
    horizon: Installation, path: Path, digests: Sequence[str], source_name: str | None = None
) -> int:
    """Write these files' rejected lines as JSON lines; say how many. Raises UsageError."""
    count = 0
    try:
        with path.open("wb") as report, horizon.database.transaction(Role.WORKER) as tx:
            for digest in digests:
                for row in files.rejects(tx, source_name or FILES, digest):
                    report.write(msgspec.json.encode(row) + b"\n")
                    count += 1
    except OSError as exc:
        raise UsageError(
            f"{path} cannot be written ({exc.strerror}): name another file for --rejects; the "
            "events are in."
        ) from exc
    return count


def simulate(horizon: Installation, url: str, correlation_id: UUID | None = None) -> Simulated:
    """Send the simulated people's events to a collector of this installation.

    The same ones each time, since the first time's epoch is kept: a second run adds nothing.
    """
    # The Segment client takes 90 ms to import, and every command would wait for it.
    from horizon.sources import simulator

    with _recording(horizon, SIMULATOR, correlation_id) as figures:
        with horizon.database.transaction(Role.WORKER) as tx:
            epoch = simulator.epoch_of(tx, now=clock.now())
            key = _write_key(tx, horizon.settings.home / "keys" / "SIMULATOR_KEY")
            before = _count(tx)
        with horizon.lineage.run("ingest", epoch, parent=correlation_id) as lineage:
            sent = simulator.send(simulator.plan(epoch), url, key)
            with horizon.database.transaction(Role.WORKER) as tx:
                inserted = _count(tx) - before
            lineage.figures = {"inserted": inserted}
        figures.update(inserted=inserted, users=sent.users)
    return Simulated(sent.events, sent.users, inserted)


def _write_key(tx: Connection, path: Path) -> str:
    """The simulator's write key: the file's where the database knows it, else a new one."""
    if path.exists() and sources.find_source_by_key(tx, key := path.read_text().strip()):
        return key
    key = sources.renew_key(tx, SIMULATOR, "server")
    path.touch(mode=0o600)
    path.write_text(key)
    return key


def _count(tx: Connection) -> int:
    row = tx.execute(QUERIES["events_of_source"], {"name": SIMULATOR}).fetchone()
    assert row is not None
    return int(row.events)


def _recording(
    horizon: Installation, component: str, correlation_id: UUID | None
) -> AbstractContextManager[dict[str, Any]]:
    return Recorder(
        horizon.database, horizon.log, "ingest", component, correlation_id or uuid4(), "ingest"
    ).recording()
