"""Planning notes, once a run, with which version of its campaign it planned and on which scores."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from uuid import UUID

from horizon.campaigns.stage import Campaign
from horizon.pipeline.runner import QUERIES, PlainRun, StepwiseRun
from horizon.postgres.database import Connection
from horizon.stage import StageResult, Window

_UNKNOWN = dict.fromkeys(("audience", "template", "channel", "purpose", "every_days", "target"))


def noting(plan: StepwiseRun, campaign: Campaign) -> StepwiseRun:
    """``plan`` with the note in the transaction of its first step, which no other lane waits in."""
    used = {name: getattr(campaign, name) for name in _UNKNOWN}
    noted: set[UUID] = set()

    def run(tx: Connection, window: Window) -> Iterator[StageResult]:
        if window.run_id not in noted:
            _note(tx, window, campaign.campaign, used)
            noted.add(window.run_id)
        yield from plan(tx, window)

    return run


def noting_demo(plan: PlainRun) -> PlainRun:
    def run(tx: Connection, window: Window) -> StageResult:
        _note(tx, window, "demo", _UNKNOWN)
        return plan(tx, window)

    return run


def _note(tx: Connection, window: Window, campaign: str, used: Mapping[str, Any]) -> None:
    values = {**window.parameters(), **used, "campaign": campaign}
    tx.execute(QUERIES["note_campaign_run"], values)
