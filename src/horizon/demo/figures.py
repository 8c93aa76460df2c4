"""Everything that the demo shows, read at one moment: the summary and the page only say it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from uuid import UUID

from horizon import clock
from horizon.demo import evidence, records
from horizon.demo.evidence import QUERIES, AtRisk, Chain, LeftAlone
from horizon.demo.records import LogShown, Mail, Received
from horizon.errors import HorizonError
from horizon.pipeline.installation import Installation
from horizon.pipeline.intake import QUERIES as INTAKE
from horizon.pipeline.intake import SIMULATOR, Simulated
from horizon.postgres.database import Connection, Role
from horizon.scoring.rules import BINS
from horizon.sources.files import FileResult

TIERS = ("high", "medium", "low")
TAKEN = frozenset({"sent", "delivered", "complained"})  # by the provider
WAITING = frozenset({"planned", "claimed", "sending"})


@dataclass(frozen=True)
class Intake:
    """What came in this time: each of ``sent`` was new, known already, or rejected."""

    sent: int
    new: int
    known: int
    rejected: int


@dataclass(frozen=True)
class Crowd:
    """One installation's people. ``bins`` holds a (high, medium, low) each."""

    intake: Intake
    events: int
    profiles: int
    bins: Sequence[tuple[int, int, int]]
    now: datetime
    window_days: float
    high: float
    medium: float

    @property
    def tiers(self) -> Mapping[str, int]:
        return {tier: sum(one[place] for one in self.bins) for place, tier in enumerate(TIERS)}


@dataclass(frozen=True)
class AlertCounts:
    """``created`` and ``skipped`` in this run; ``open`` and ``by_tier`` of all there are."""

    created: int
    skipped: int
    open: int
    by_tier: Mapping[str, int]

    @property
    def total(self) -> int:
        return sum(self.by_tier.values())


@dataclass(frozen=True)
class Outcome:
    status: str
    reason: str | None
    tier: str
    total: int
    this_run: int


@dataclass(frozen=True)
class Campaign:
    name: str
    audience: str
    outcomes: Sequence[Outcome]

    @property
    def total(self) -> int:
        return sum(one.total for one in self.outcomes)

    def sent(self, *, this_run: bool = False) -> int:
        return sum(_count(one, this_run) for one in self.outcomes if one.status in TAKEN)

    def not_sent(self, *, this_run: bool = False) -> Mapping[tuple[str, str | None], int]:
        """(status, reason) -> messages, the most frequent first; without those that still wait."""
        found: Counter[tuple[str, str | None]] = Counter()
        for one in self.outcomes:
            if one.status not in TAKEN | WAITING and _count(one, this_run):
                found[one.status, one.reason] += _count(one, this_run)
        return dict(found.most_common())

    def waiting(self) -> int:
        return sum(one.total for one in self.outcomes if one.status in WAITING)


def _count(outcome: Outcome, this_run: bool) -> int:
    return outcome.this_run if this_run else outcome.total


@dataclass(frozen=True)
class Figures:
    run: UUID
    now: datetime
    made_at: datetime
    people: Crowd
    cdnow: Crowd
    alerts: AlertCounts
    campaigns: Sequence[Campaign]
    came_back: Mapping[str, int]  # a suppression's reason -> addresses
    at_risk: Sequence[AtRisk]
    chains: Sequence[Chain]
    left_alone: Sequence[LeftAlone]
    received: Mapping[str, Received]  # a message's id -> its mail, where the folder has it
    mails: Sequence[Mail]
    log: LogShown
    mail_folder: Path

    @property
    def nothing_new(self) -> bool:
        return not self.people.intake.new and not self.cdnow.intake.new

    def sent(self, *, this_run: bool = False) -> int:
        return sum(campaign.sent(this_run=this_run) for campaign in self.campaigns)

    def not_sent(self, *, this_run: bool = False) -> int:
        return sum(sum(one.not_sent(this_run=this_run).values()) for one in self.campaigns)

    @property
    def unknown(self) -> int:
        return sum(
            one.total for campaign in self.campaigns for one in campaign.outcomes
            if one.status == "unknown"
        )  # fmt: skip


def gather(horizon: Installation, past: Installation, run: UUID, simulated: Simulated,
           bought: FileResult, now: datetime) -> Figures:  # fmt: skip
    """Read it all. ``past`` is the installation of the CDNOW purchases, ``now`` the demo's."""
    folder = horizon.settings.home / "mail"
    received = records.received(folder)
    with past.database.transaction(Role.WORKER) as tx:
        cdnow = _crowd(tx, _of_file(bought))
    with horizon.database.transaction(Role.WORKER) as tx:
        # One snapshot for all: a number and the list beside it must agree.
        tx.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        chains = evidence.chains(tx)
        return Figures(
            run=run, now=now, made_at=clock.now(), people=_crowd(tx, _of_simulator(tx, simulated)),
            cdnow=cdnow, alerts=_alerts(tx, run), campaigns=_campaigns(tx, run),
            came_back={row.reason: row.addresses for row in tx.execute(QUERIES["came_back"])},
            at_risk=evidence.at_risk(tx), chains=chains, left_alone=evidence.left_alone(tx),
            received=received, mails=_mails(folder, received, chains),
            log=records.read_log(horizon.settings.log_path, run), mail_folder=folder,
        )  # fmt: skip


def _of_file(bought: FileResult) -> Intake:
    return Intake(bought.read, bought.inserted, bought.duplicates, bought.rejected)


def _of_simulator(tx: Connection, simulated: Simulated) -> Intake:
    """The same events come each time, so those that the table lacks were rejected."""
    row = tx.execute(INTAKE["events_of_source"], {"name": SIMULATOR}).fetchone()
    kept = min(simulated.events, row.events if row else 0)
    return Intake(
        simulated.events, simulated.inserted, kept - simulated.inserted, simulated.events - kept
    )


def _crowd(tx: Connection, intake: Intake) -> Crowd:
    row = tx.execute(QUERIES["crowd"]).fetchone()
    if row is None:
        raise HorizonError("Nobody is scored yet: run `horizon score`.")
    bins = [[0, 0, 0] for _ in range(BINS)]
    for one in tx.execute(QUERIES["bins"], {"bins": BINS}):
        bins[one.bin][TIERS.index(one.tier)] = one.profiles
    return Crowd(intake, bins=[(high, medium, low) for high, medium, low in bins], **row._asdict())


def _alerts(tx: Connection, run: UUID) -> AlertCounts:
    rows = tx.execute(QUERIES["alert_counts"], {"run": run}).fetchall()
    skipped = tx.execute(QUERIES["alerts_skipped"], {"run": run}).fetchone()
    return AlertCounts(
        created=sum(row.created for row in rows), skipped=skipped.skipped if skipped else 0,
        open=sum(row.open for row in rows), by_tier={row.tier: row.total for row in rows},
    )  # fmt: skip


def _campaigns(tx: Connection, run: UUID) -> tuple[Campaign, ...]:
    began = tx.execute(QUERIES["run_began"], {"run": run}).fetchone()
    assert began is not None
    found: dict[tuple[str, str], list[Outcome]] = {}
    for row in tx.execute(QUERIES["outcomes"], {"run": run, "began": began.began}):
        outcomes = found.setdefault((row.campaign, row.audience), [])
        if row.status is not None:
            outcomes.append(Outcome(row.status, row.reason, row.tier, row.total, row.this_run))
    return tuple(Campaign(*key, outcomes) for key, outcomes in found.items())


def _mails(
    folder: Path, received: Mapping[str, Received], chains: Sequence[Chain]
) -> tuple[Mail, ...]:
    """The mail of each campaign's first person, who is the same in every run."""
    first: dict[str, UUID] = {}
    for chain in chains:
        if chain.status in TAKEN:
            first.setdefault(chain.campaign, chain.message_id)
    return tuple(
        records.read_mail(folder, found, campaign, message_id)
        for campaign, message_id in first.items()
        if (found := received.get(str(message_id)))
    )
