"""The stages in their order, built from the settings."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import date, datetime, timedelta
from functools import partial
from threading import Event
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import psycopg

from horizon import clock
from horizon.alerts import stage as alerts
from horizon.alerts.rules import AlertRules
from horizon.campaigns import stage as campaigns
from horizon.delivery import channels, templating
from horizon.delivery.channels.smtp.channel import check_template
from horizon.delivery.sender import Sent
from horizon.errors import HorizonError
from horizon.events.nodes import node_of
from horizon.events.partitions import ensure_partitions
from horizon.history import stage as history
from horizon.identity import stage as identity
from horizon.keys import Keys
from horizon.observe.lineage.runs import PIPELINE
from horizon.pipeline.installation import Installation
from horizon.pipeline.outgoing import send
from horizon.pipeline.planning import noting, noting_demo
from horizon.pipeline.recording import Recorder
from horizon.pipeline.runner import Stage
from horizon.postgres.database import Role
from horizon.privacy import retention
from horizon.scoring import stage as scoring
from horizon.scoring.rules import ScoreRules
from horizon.settings import Settings
from horizon.stage import StageResult

if TYPE_CHECKING:
    from horizon.lake.verify import Verified


def identity_stage(keys: Keys, settings: Settings) -> Stage:
    run = partial(identity.run, node_key=keys.node, region=settings.PHONE_REGION or None)
    return Stage("identity", "resolver", run, windowed=True)


def score_stage(settings: Settings) -> Stage:
    rules = ScoreRules(settings.WINDOW_DAYS, settings.SCORE_HIGH, settings.SCORE_MEDIUM)
    run = partial(scoring.run, rules=rules, settings=settings)
    return Stage("score", "scorer", run, one_snapshot=True)


def alert_stage(settings: Settings, threshold: float | None = None) -> Stage:
    chosen = settings.ALERT_THRESHOLD if threshold is None else threshold
    return Stage(
        "alert", "alerter", partial(alerts.run, rules=AlertRules(chosen, settings.COOLDOWN_DAYS))
    )


def archive_stage(horizon: Installation) -> Stage:
    # Iceberg, DuckDB and SQLAlchemy take 1 s to import, and every command would wait for them.
    from horizon.lake import archive
    from horizon.lake.table import Lake

    lake = Lake.of(horizon.settings, horizon.database)
    return Stage("archive", "archiver", partial(archive.run, lake=lake))


def archive(
    horizon: Installation,
    now: datetime | None = None,
    on_commit: Callable[[StageResult], None] = lambda _: None,
    correlation_id: UUID | None = None,
) -> StageResult:
    return horizon.runner.run(archive_stage(horizon), now, correlation_id, on_commit)


def seal_stage() -> Stage:
    return Stage("seal", "sealer", history.run, windowed=True)


def retention_stage(settings: Settings) -> Stage:
    return Stage("retention", "keeper", partial(retention.run, keep=_keep(settings)))


def compact_stage(horizon: Installation) -> Stage:
    # Iceberg, DuckDB and SQLAlchemy take 1 s to import, and every command would wait for them.
    from horizon.lake import maintenance, resting
    from horizon.lake.engines.duckdb import DuckDB
    from horizon.lake.table import Lake

    lake = Lake.of(horizon.settings, horizon.database)
    engine = DuckDB.of(horizon.settings)
    behind = timedelta(days=horizon.settings.WINDOW_DAYS + 1)  # a score of yesterday finds it too
    rest = partial(_rest, partial(resting.refresh, lake, engine), behind)
    return Stage("compact", "compactor", partial(maintenance.run, lake=lake, rest=rest))


def _rest(refresh: Callable[[datetime], int], behind: timedelta, now: datetime) -> int:
    return refresh(now - behind)


def verify_stage(
    horizon: Installation, since: date | None = None,
    told: Callable[[Verified], None] = lambda _: None,
) -> Stage:  # fmt: skip
    from horizon.lake import verify
    from horizon.lake.table import Lake

    lake = Lake.of(horizon.settings, horizon.database)
    return Stage("verify", "verifier", partial(verify.run, lake=lake, since=since, told=told))


def _keep(settings: Settings) -> retention.Keep:
    return retention.Keep(settings.REJECTED_DAYS, settings.IDS_DAYS, settings.HOT_DAYS)


def drop_what_is_over(horizon: Installation, now: datetime | None, correlation_id: UUID) -> None:
    """Once a day there is something: a run each minute would be a line each minute.

    The days to come get their partitions here: to make one, old ids are looked through (0.2 s for
    3 million), and a collector would do that in somebody's commit.
    """
    tomorrow = clock.now().date() + timedelta(days=1)  # whatever --now says: it is of receipt
    with horizon.database.transaction(Role.WORKER) as tx:
        ensure_partitions(tx, tomorrow, tomorrow)
    with horizon.database.transaction(Role.WORKER) as tx:
        due = retention.is_due(tx, _keep(horizon.settings), now or clock.now())
    if due:
        horizon.runner.run(retention_stage(horizon.settings), now, correlation_id)


def keep_lake(horizon: Installation, now: datetime | None, correlation_id: UUID) -> None:
    """Once there is enough to do. Where it fails, the run's line says so, and events still come."""
    from horizon.lake import maintenance
    from horizon.lake.table import Lake

    lake = Lake.of(horizon.settings, horizon.database)
    with contextlib.suppress(HorizonError, psycopg.Error):
        with horizon.database.transaction(Role.WORKER) as tx:
            due = maintenance.is_due(lake, tx, now or clock.now())
            since = retention.verify_from(tx, _keep(horizon.settings), now or clock.now())
        if due:
            horizon.runner.run(compact_stage(horizon), now, correlation_id)
        if since is not None:
            horizon.runner.run(verify_stage(horizon, since), now, correlation_id)


def score(
    horizon: Installation, now: datetime | None = None, correlation_id: UUID | None = None
) -> StageResult:
    """Identity first: a score is of everybody known when it began."""
    correlation_id = correlation_id or uuid4()
    horizon.runner.run(identity_stage(horizon.keys, horizon.settings), now, correlation_id)
    return horizon.runner.run(score_stage(horizon.settings), now, correlation_id)


def plan_campaign(
    horizon: Installation,
    name: str,
    now: datetime | None = None,
    correlation_id: UUID | None = None,
    on_planned: Callable[[int], None] = lambda _: None,
) -> StageResult:
    """Decide a campaign's messages, a few first and then many at once.

    ``on_planned`` is told after each commit how many are planned by then: those can be sent.
    Raises UsageError or TemplateError before the first row.
    """
    stage = _campaign_stage(horizon, name)
    return _plan(horizon, stage, now, correlation_id, on_planned)


def _plan(
    horizon: Installation,
    stage: Stage,
    now: datetime | None,
    correlation_id: UUID | None,
    on_planned: Callable[[int], None] = lambda _: None,
) -> StageResult:
    return horizon.runner.run(
        stage, now, correlation_id, on_commit=lambda result: on_planned(result.figures["planned"])
    )


def rehearse_campaign(horizon: Installation, name: str, now: datetime | None = None) -> StageResult:
    """What ``plan_campaign`` would decide; nothing is written, not even a log line."""
    return horizon.runner.rehearse(_campaign_stage(horizon, name, everybody=True), now)


def _campaign_stage(horizon: Installation, name: str, *, everybody: bool = False) -> Stage:
    with horizon.database.transaction(Role.WORKER) as tx:
        campaign = campaigns.find(tx, name)
    digest = channels.find(campaign.channel).check_campaign(
        horizon.settings, audience=campaign.audience, template=campaign.template,
        target=campaign.target,
    )  # fmt: skip
    planning = campaigns.Planning(
        campaign, template_digest=digest, cooldown_days=horizon.settings.COOLDOWN_DAYS,
        opt_ins_per_hour=horizon.settings.OPT_INS_PER_HOUR, everybody=everybody,
    )  # fmt: skip
    plan = noting(planning.run, campaign)
    return Stage("campaign", "planner", plan, fields={"campaign_id": name}, lanes=campaigns.LANES)


def plan_demo(
    horizon: Installation,
    to_addr: str,
    *,
    aggregated: bool,
    now: datetime | None,
    correlation_id: UUID,
) -> StageResult:
    template = templating.load_template("demo_digest" if aggregated else "demo_alert")
    check_template(template, horizon.settings, "operator")
    stage = Stage(
        "campaign", "planner",
        noting_demo(partial(
            campaigns.plan_demo, to_addr=to_addr, aggregated=aggregated,
            address_hash=node_of(horizon.keys.node, "email", to_addr),
            template=template.name, template_digest=template.digest)),
        fields={"campaign_id": "demo", "to_addr": to_addr},
    )  # fmt: skip
    return horizon.runner.run(stage, now, correlation_id)


def run_campaign(
    horizon: Installation,
    name: str,
    *,
    stop: Event,
    on_planned: Callable[[int], None] = lambda _: None,
    on_messages: Callable[[int], None] = lambda _: None,
    rate: float | None = None,
    now: datetime | None = None,
) -> tuple[StageResult, Sent]:
    """Decide and send at the same time: the first mails leave while most people are undecided.

    Raises what ``plan_campaign`` and ``send`` raise; what is planned by then stays planned.
    """
    run = uuid4()
    begun = Event()

    def told(planned: int) -> None:
        begun.set()
        on_planned(planned)
        if stop.is_set():
            raise HorizonError("Stopped while it was planned: run it again for the rest.")

    with ThreadPoolExecutor(1, "planner") as pool:
        planning = pool.submit(plan_campaign, horizon, name, now, run, told)
        planning.add_done_callback(lambda _: begun.set())
        begun.wait()
        if planning.done():
            planning.result()  # a mistake is told before anything is sent
        sent = send(
            horizon, run, campaign=name, stop=stop, on_messages=on_messages, rate=rate, now=now,
            more_comes=lambda: not planning.done(),
        )  # fmt: skip
        return planning.result(), sent


@contextlib.contextmanager
def sealing(horizon: Installation, now: datetime | None = None) -> Iterator[None]:
    """Seal what the block did when it is over, however that ended. Where that fails the block's
    work stands: the run's line says so, and the next pass seals it."""
    try:
        yield
    finally:
        with contextlib.suppress(HorizonError, psycopg.Error):
            horizon.runner.run(seal_stage(), now)


def run_all(
    horizon: Installation,
    now: datetime | None = None,
    stop: Event | None = None,
    correlation_id: UUID | None = None,
) -> UUID:
    """The whole pipeline once, one correlation id from stage to stage."""
    run = correlation_id or uuid4()
    with horizon.lineage.run(PIPELINE, now or clock.now(), run_id=run):
        _run_each(horizon, now, stop, run)
    return run


def _run_each(horizon: Installation, now: datetime | None, stop: Event | None, run: UUID) -> None:
    horizon.runner.run(identity_stage(horizon.keys, horizon.settings), now, run)
    mistakes = _archive_or_tell(horizon, now, run)
    horizon.runner.run(score_stage(horizon.settings), now, run)
    horizon.runner.run(alert_stage(horizon.settings), now, run)
    with horizon.database.transaction(Role.WORKER) as tx:
        names = campaigns.active(tx)
    mistakes += [told for name in names if (told := _plan_or_tell(horizon, name, now, run))]
    try:
        send(horizon, run, stop=stop, now=now)
    finally:
        horizon.runner.run(seal_stage(), now, run)
        keep_lake(horizon, now, run)
        drop_what_is_over(horizon, now, run)
    if mistakes:
        raise HorizonError(" ".join(mistakes))


def _archive_or_tell(horizon: Installation, now: datetime | None, run: UUID) -> list[str]:
    """A lake that is away holds nobody up: what it has not got, a query adds from the hot store."""
    try:
        archive(horizon, now, correlation_id=run)
    except HorizonError as exc:  # the runner has logged it
        return [str(exc)]
    return []


def _plan_or_tell(horizon: Installation, name: str, now: datetime | None, run: UUID) -> str | None:
    """A campaign that cannot be planned holds up no other one."""
    try:
        stage = _campaign_stage(horizon, name)
    except HorizonError as exc:
        _log_mistake(horizon, name, run, exc)
        return f"Campaign {name}: {exc}"
    try:
        _plan(horizon, stage, now, run)
    except HorizonError as exc:  # the runner has logged it
        return f"Campaign {name}: {exc}"
    return None


def _log_mistake(horizon: Installation, name: str, run: UUID, exc: HorizonError) -> None:
    """A campaign's mistake is a failed run as well, though none of its transactions began."""
    log = horizon.log.bind(campaign_id=name)
    recorder = Recorder(
        horizon.database, log, "campaign", "planner", run, "campaign", scheduled=True
    )
    with contextlib.suppress(HorizonError), recorder.recording():
        raise HorizonError(str(exc))
