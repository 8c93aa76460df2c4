"""New campaigns: checked word by word, then a row."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass

from horizon.errors import UsageError
from horizon.postgres.database import Connection
from horizon.postgres.queries import Queries

QUERIES = Queries("horizon.campaigns")

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")  # it stands in headers, log lines and links


@dataclass(frozen=True)
class NewCampaign:
    """``target`` is where a channel without addresses of people sends to."""

    campaign: str
    audience: str
    template: str
    channel: str
    purpose: str
    every_days: float | None = None
    target: str | None = None

    def check(self) -> None:
        """Raises UsageError for what is wrong by itself."""
        if not _NAME.fullmatch(self.campaign):
            raise UsageError(
                f"A campaign is not called {self.campaign!r}: take a to z, 0 to 9, - and _, at "
                "most 63 of them."
            )
        if self.audience == "engaged" and self.every_days is None:
            raise UsageError(
                "A campaign for engaged people needs --every-days: how long it leaves each of them "
                "in peace."
            )
        if self.audience == "alerts" and self.every_days is not None:
            raise UsageError(
                "A campaign for alerts takes no --every-days: it writes once an alert, and "
                "COOLDOWN_DAYS says how often there is one."
            )


def add(tx: Connection, new: NewCampaign) -> None:
    """Raises UsageError where the name is taken or the purpose is unknown."""
    new.check()
    purposes = [row.purpose for row in tx.execute(QUERIES["purposes"])]
    if new.purpose not in purposes:
        raise UsageError(f"There is no purpose {new.purpose!r}: choose {', '.join(purposes)}.")
    if tx.execute(QUERIES["add"], asdict(new)).rowcount == 0:
        raise UsageError(
            f"There is a campaign {new.campaign!r} already: `horizon campaign list` shows it."
        )
