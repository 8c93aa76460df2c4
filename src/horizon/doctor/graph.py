"""Whether what ties people's identifiers looks as it should."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from horizon.doctor.finding import Finding, ok, warning
from horizon.postgres.database import Connection
from horizon.postgres.queries import Queries
from horizon.settings import Settings

PART: Final = "identity"
QUERIES: Final = Queries("horizon.doctor")
STANDS_OUT: Final = 0.01  # of all ties
FEWEST: Final = 100  # of fewer one in a hundred is nothing


def look_at_graph(tx: Connection, settings: Settings) -> Iterator[Finding]:
    hubs = tx.execute(QUERIES["hubs"]).fetchone()
    if hubs is not None and hubs.hubs:
        are = "identifier is quarantined as a hub" if hubs.hubs == 1 else (
            "identifiers are quarantined as hubs")  # fmt: skip
        yield ok(PART, f"{hubs.hubs:,} {are}; `horizon identity hubs` lists them")
    for row in tx.execute(QUERIES["refused"]):
        if row.refused_by is not None and stands_out(row.refused, int(row.edges)):
            yield warning(
                PART, f"{row.refused:,} of {int(row.edges):,} ties between identifiers are refused "
                f"by {row.refused_by}",
                "Type `horizon identity status`, and `horizon identity try FILE` with other rules.",
            )  # fmt: skip
    if settings.VERIFIED_ONLY:
        for row in tx.execute(QUERIES["without_secret"]):
            yield warning(
                PART, f"VERIFIED_ONLY names {settings.VERIFIED_ONLY}, and source {row.name} has no "
                "secret: of its events such identifiers name nobody",
                f"Type: horizon source secret {row.name}",
            )  # fmt: skip


def stands_out(refused: int, edges: int) -> bool:
    return edges >= FEWEST and refused > STANDS_OUT * edges
