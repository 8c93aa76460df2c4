"""The mail that asks the owner of an address whether the wish for messages was theirs.

Anybody can type another's address into a form. So an address gets one such mail a day at most,
whoever asks and however often, and the whole installation sends so many an hour.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from horizon.postgres.database import Connection
from horizon.postgres.queries import Queries

QUERIES = Queries("horizon.campaigns")

# What the mail's template may say beyond the brand and its address; the sender adds confirm_url.
VARIABLES = frozenset({"purpose_title", "wording", "language", "confirm_url"})


def plan(tx: Connection, parameters: Mapping[str, Any], per_hour: int) -> Sequence[Any]:
    """Decide the opt-ins that wait, as far as the hour's number allows; the others wait on."""
    # Two planners at once would each see no mail of today. Its own statement: the query that
    # follows must see what the planner before this one committed.
    tx.execute(QUERIES["lock_opt_ins"])
    return tx.execute(QUERIES["plan_opt_ins"], {**parameters, "per_hour": per_hour}).fetchall()
