"""Campaigns come and go: a new one is checked word by word, one that was used leaves its row."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass

from horizon.campaigns.stage import find
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
            f"There is a campaign {new.campaign!r} already, or there was one and its messages are "
            "kept: take another name; `horizon campaign list` shows those that there are."
        )


def remove(tx: Connection, name: str) -> bool:
    """Whether it leaves messages. Raises UsageError where there is none, or messages of it wait."""
    if find(tx, name).audience == "opt_in":
        raise UsageError(
            f"{name} is how people confirm what they agree to, so it stays: "
            f"`horizon campaign pause {name}` holds it."
        )
    waiting = tx.execute(QUERIES["waiting"], {"campaign": name}).fetchone()
    if waiting is not None and waiting.messages:
        raise UsageError(
            f"Messages of {name} wait ({waiting.messages:,}): `horizon campaign stop {name}` "
            "cancels them, then it can be removed."
        )
    values = {"campaign": name}
    if tx.execute(QUERIES["forget"], values).rowcount == 1:
        return False
    tx.execute(QUERIES["remove"], values)
    return True
