"""Reading refused events again, each run one line in the log."""

from __future__ import annotations

from functools import partial
from uuid import uuid4

from horizon import clock
from horizon.pipeline.installation import Installation
from horizon.pipeline.recording import Recorder
from horizon.postgres.database import Role
from horizon.sources import rejected
from horizon.sources.mending import Mending
from horizon.sources.rejected import Again, Replayed, Wanted


def replay(
    horizon: Installation,
    wanted: Wanted,
    mending: Mending,
    body: bytes | None = None,
    *,
    dry: bool = False,
) -> Replayed:
    """Those that are no events yet; ``dry`` leaves no trace."""
    again = Again(horizon.keys.node, horizon.era(), clock.now(), mending, body, kinds=horizon.kinds)
    begin = partial(horizon.database.transaction, Role.WORKER)
    if dry:
        return rejected.replay(begin, wanted, again, dry=True)
    run = uuid4()
    recorder = Recorder(horizon.database, horizon.log, "ingest", "replay", run, "ingest")
    with (
        recorder.recording() as figures,
        horizon.lineage.run("ingest", again.now, parent=run) as lineage,
    ):
        done = rejected.replay(begin, wanted, again)
        figures.update(inserted=done.new, skipped=done.known, rejected=done.refused)
        lineage.figures = {"inserted": done.new, "rejected": done.refused}
    return done
