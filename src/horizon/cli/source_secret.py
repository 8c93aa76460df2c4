"""`horizon source secret`: what a site's server signs its users' ids with."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated

import typer

from horizon import clock
from horizon.cli.options import DatabaseName, installed, until
from horizon.cli.output import say
from horizon.clock import utc_text
from horizon.errors import UsageError
from horizon.events import secrets
from horizon.postgres.audit import write_audit
from horizon.postgres.database import Role
from horizon.sources import registry

OLD_SECRET_DAYS = 7.0  # longer than tokens live and servers are rolled out


def source_secret(
    name: Annotated[str, typer.Argument(help="A public source's name.")],
    old_until: Annotated[
        datetime | None,
        typer.Option(
            "--old-until", metavar="TIME", parser=until,
            help="Believe what the secret before signed until then, or `now`; "
            f"{OLD_SECRET_DAYS:.0f} days where none is given.",
        ),
    ] = None,
    finish: Annotated[
        bool, typer.Option("--finish", help="End the old secret now: your server has the new one.")
    ] = False,
    database: DatabaseName = None,
) -> None:  # fmt: skip
    """Make the secret that your server signs its users' ids with; see docs/collector.md."""
    if finish and old_until is not None:
        raise UsageError("--finish ends the old secret now: leave --old-until out.")
    horizon, now = installed(database), clock.now()
    with horizon.database.transaction(Role.WORKER) as tx:
        source_id = registry.with_secret(tx, name)
        if finish:
            if not secrets.end_old_secret(tx, source_id):
                raise UsageError(f"{name!r} has no old secret to end.")
            write_audit(tx, "source:secret:ended", name, {})
            said = f"The old secret of {name} has ended."
        else:
            secret, ended = secrets.new_secret(
                tx, source_id, horizon.keys.link, now=now,
                old_until=old_until or now + timedelta(days=OLD_SECRET_DAYS),
            )  # fmt: skip
            write_audit(tx, "source:secret:made", name, {})
            said = f"The secret of {name}, which is not shown again: {secret}"
            if ended is not None and ended > now:
                said += f"\nWhat the old one signed is believed until {utc_text(ended)}."
    say(said)
