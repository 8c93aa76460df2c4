"""Which profile each new event belongs to, and what it says of that person.

For now a profile is the strongest identifier of its events; the graph comes later and changes no
table of events.
"""

from __future__ import annotations

from horizon.postgres.database import Connection
from horizon.postgres.queries import Queries
from horizon.stage import StageResult, Window

QUERIES = Queries("horizon.identity")


def run(tx: Connection, window: Window) -> StageResult:
    parameters = window.parameters()
    made = tx.execute(QUERIES["assign_profiles"], parameters).fetchone()
    assert made is not None
    traits = tx.execute(QUERIES["record_traits"], parameters).rowcount
    consents = tx.execute(QUERIES["record_consents"], parameters).rowcount
    return StageResult(
        {"nodes": made.nodes, "profiles": made.profiles, "traits": traits, "consents": consents}
    )
