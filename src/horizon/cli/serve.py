"""Start, stop, look."""

from __future__ import annotations

import threading
from typing import Annotated

import typer

from horizon import settings as setting
from horizon.cli.console import new_owner_link
from horizon.cli.options import DatabaseName
from horizon.cli.output import complain, console, say
from horizon.console.links import has_owner
from horizon.delivery import channels
from horizon.delivery.channels.smtp.advice import advice
from horizon.errors import HorizonError
from horizon.pipeline import forwarder, processes
from horizon.pipeline.installation import Installation, open_installation
from horizon.pipeline.processes import Child
from horizon.postgres.database import Role
from horizon.postgres.embedded import EmbeddedPostgres
from horizon.serving.port import check_port
from horizon.starting import until_stopped

PANEL = "Start, stop, look"
RESTART_WAIT_S = 1.0
EVERYWHERE = ("0.0.0.0", "::", "[::]")  # noqa: S104 - listened at, and no address of a machine


def register(app: typer.Typer) -> None:
    for command in (demo, up, api, down, init):
        app.command(rich_help_panel=PANEL)(command)


def demo(
    crash: Annotated[
        bool,
        typer.Option("--crash", help="Instead: 2,000 mails, and everything is killed on the way."),
    ] = False,
) -> None:
    """Do the whole job on real input, and show it: 200 simulated people and 69,659 purchases."""
    if crash:
        from horizon.demo.crash import run_crash

        raise typer.Exit(run_crash(setting.load(), console))
    from horizon.demo.run import run_demo  # the page's and the SDK's imports cost others 0.2 s

    run_demo(setting.load(), console)


def up() -> None:
    """Serve until Ctrl-C: collector, console, profile API, worker, log shipper, a mail catcher."""
    settings = setting.load()
    channels.check_settings()
    with processes.only_one(settings.home):
        check_port(settings.LISTEN_HOST, settings.COLLECTOR_PORT)
        check_port(settings.LISTEN_HOST, settings.API_PORT, "profile API")
        check_port(settings.LISTEN_HOST, settings.CONSOLE_PORT, "console")
        horizon = open_installation(settings)
        children = _children(horizon)
        stop = until_stopped()
        try:
            for child in children:
                child.start()
            _greet(horizon)
            _watch(horizon, children, stop)
        finally:
            # The collector and the worker go before the catcher they write to.
            for child in reversed(children):
                child.stop()


def api(
    port: Annotated[
        int | None, typer.Option("--port", help="Where to listen; the setting API_PORT without.")
    ] = None,
) -> None:
    """Serve the profile API alone, until Ctrl-C; `horizon up` does beside all else."""
    from horizon.api.server import run  # the server's import costs others 0.1 s

    settings = setting.load()
    run(settings, settings.LISTEN_HOST, port or settings.API_PORT)


def _children(horizon: Installation) -> list[Child]:
    settings = horizon.settings
    environment = processes.environment_of(settings)
    children = [
        *(
            processes.collector(settings.COLLECTOR_PORT, environment, shared=True)
            for _ in range(settings.COLLECTOR_PROCESSES)
        ),
        processes.api(settings.API_PORT, environment),
        processes.console(settings.CONSOLE_PORT, environment),
        processes.worker(environment),
        processes.metrics(environment),
    ]
    if settings.ES_URL:
        children.insert(0, processes.shipper(environment))
    if settings.LINEAGE_TO != "off":
        children.append(processes.lineage_courier(environment))
    if forwarder.is_wanted(horizon):
        children.append(processes.forwarder(environment))
    if settings.SMTP_HOST is None:
        mails = processes.catcher(
            settings.home / "mail", settings.CATCHER_SMTP_PORT, settings.CATCHER_PAGE_PORT
        )
        children.insert(0, mails)
    return children


def _greet(horizon: Installation) -> None:
    settings = horizon.settings
    say(f"Horizon is up, from {settings.home}")
    _greet_people(horizon)
    say(
        f"  events   {settings.public_url}/v1/batch   "
        "(Segment's API; `horizon source add NAME` gives a key)"
    )
    say(
        f"  profiles http://{settings.LISTEN_HOST}:{settings.API_PORT}/v1/profiles/KIND:VALUE   "
        "(`horizon token add NAME --scope all` gives a token)"
    )
    if settings.SMTP_HOST is None:
        say(
            f"  mails    http://127.0.0.1:{settings.CATCHER_PAGE_PORT}/   "
            "(none leaves this machine)"
        )
    else:
        say(f"  mails    through {settings.SMTP_HOST}")
        for sentence in advice(settings):
            complain(sentence)
    if settings.LISTEN_HOST in EVERYWHERE and not settings.PUBLIC_URL:
        complain(
            f"the links in mails begin with {settings.tracking_url}, where nobody finds this "
            "machine: set PUBLIC_URL to the address that people reach it by."
        )
    say(f"  metrics  http://{settings.METRICS_HOST}:{settings.METRICS_PORT}/metrics")
    shipped = f", shipped into {settings.ES_INDEX}" if settings.ES_URL else ""
    say(f"  log      {settings.log_path}{shipped}")
    if settings.LINEAGE_TO != "off":
        say(f"  lineage  to {settings.lineage_place}")
    say("Ctrl-C stops it.")


def _greet_people(horizon: Installation) -> None:
    """Until somebody may do everything, each start shows a new link that makes an owner."""
    with horizon.database.transaction(Role.CONSOLE) as tx:
        known = has_owner(tx)
    say(f"  console  {horizon.settings.console_url}/")
    if not known:
        say("           The first owner is made by this link, once, within an hour:")
        say(f"           {new_owner_link(horizon)}")


def _watch(horizon: Installation, children: list[Child], stop: threading.Event) -> None:
    """Start a child again that ended by itself, and the forwarder with the first forward."""
    wanted = forwarder.wanted_file(horizon.settings.home)
    while not stop.wait(RESTART_WAIT_S):
        if wanted.exists() and not any(child.name == "forwarder" for child in children):
            children.append(processes.forwarder(processes.environment_of(horizon.settings)))
        for child in children:
            if not child.alive():
                if child.process is not None:
                    complain(f"the {child.name} stopped and is started again.")
                try:
                    child.start()
                except HorizonError as exc:
                    complain(str(exc))


def down() -> None:
    """Stop the embedded PostgreSQL; nothing is lost, the next command starts it again."""
    settings = setting.load()
    if settings.PG_DSN:
        say("PG_DSN names a server that Horizon did not start, so there is nothing to stop.")
        return
    with processes.only_one(settings.home):
        stopped = EmbeddedPostgres(settings.home).stop()
    say("PostgreSQL is stopped." if stopped else "PostgreSQL was not running.")


def init(database: DatabaseName = None) -> None:
    """Make keys, database and schema; safe to run again. With --database: another database."""
    horizon = open_installation(setting.load(), database, make=True)
    shown, _ = horizon.database.for_program()
    say(f"Ready: {horizon.settings.home} holds the keys; the database is {shown}")
