"""Where events come from: sources, their keys and their limits."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Any

import typer

from horizon import clock
from horizon.cli.options import AsJson, DatabaseName, installed, until
from horizon.cli.output import print_json, say, show
from horizon.cli.source_add import Burst, Origins, Rate, source_add, source_wait
from horizon.cli.source_secret import source_secret
from horizon.clock import utc_text
from horizon.errors import UsageError
from horizon.events.origins import read_origin
from horizon.postgres.audit import write_audit
from horizon.postgres.database import Connection, Role
from horizon.sources import registry

Name = Annotated[str, typer.Argument(help="The source's name.")]

OLD_KEY_DAYS = 7.0  # a phone that nobody opened for a week still holds the old one


def register(app: typer.Typer, panel: str) -> None:
    source = typer.Typer(no_args_is_help=True, help="Where events come from.")
    for name, command in (
        ("add", source_add), ("wait", source_wait), ("list", source_list), ("show", source_show),
        ("set", source_set), ("rotate", source_rotate), ("disable", source_disable),
        ("enable", source_enable), ("secret", source_secret), ("rename", source_rename),
        ("remove", source_remove),
    ):  # fmt: skip
        source.command(name)(command)
    app.add_typer(source, name="source", rich_help_panel=panel)


def source_list(as_json: AsJson = False, database: DatabaseName = None) -> None:
    """The sources there are, and when their keys were last used."""
    with installed(database).database.transaction(Role.WORKER) as tx:
        rows = registry.sources(tx)
    shown = rows if as_json else [_short(row) for row in rows]
    show(shown, as_json=as_json, empty="No source yet: `horizon source add NAME` makes one.")


def _short(row: dict[str, Any]) -> dict[str, Any]:
    """A row that fits a terminal; ``show`` and ``--json`` have the rest."""
    return {
        "source_id": row["source_id"], "name": row["name"], "kind": row["kind"],
        "enabled": row["enabled"], "limit": _limit(row), "origins": len(row["origins"]) or None,
        "key": _hint(row["key"]), "last_used": row["last_used"], "old_key": _hint(row["old_key"]),
        "old_last_used": row["old_last_used"],
    }  # fmt: skip


def source_show(name: Name, as_json: AsJson = False, database: DatabaseName = None) -> None:
    """All about one source: its limits, and which of its keys is used."""
    with installed(database).database.transaction(Role.WORKER) as tx:
        (row,) = registry.sources(tx, name)
    if as_json:
        print_json(row)
        return
    say(f"{name}: a {row['kind']} source, {'enabled' if row['enabled'] else 'disabled'}.")
    say(f"Made: {utc_text(row['created_at'])}.")
    say(f"Origins: {', '.join(row['origins']) or 'all'}.")
    say(f"Limit: {_limit(row) or 'none'}.")
    if row["key"]:
        say(f"Key {_hint(row['key'])}: {_used(row['last_used'])}.")
    if row["old_key"]:
        ended = row["old_until"] <= clock.now()
        said = "ended" if ended else "is taken until"
        say(
            f"Old key {_hint(row['old_key'])}: {said} {utc_text(row['old_until'])}; "
            f"{_used(row['old_last_used'])}."
        )


def source_set(
    name: Name,
    origin: Origins = None,
    any_origin: Annotated[
        bool, typer.Option("--any-origin", help="Take events from the pages of all origins.")
    ] = False,
    rate: Rate = None,
    burst: Burst = None,
    no_limit: Annotated[bool, typer.Option("--no-limit", help="Take the limit away.")] = False,
    database: DatabaseName = None,
) -> None:
    """Change what a source may send, within 3 seconds: origins replace those that were listed."""
    if origin and any_origin:
        raise UsageError("--any-origin takes away what --origin lists: give one of the two.")
    if no_limit and (rate or burst):
        raise UsageError(
            "--no-limit takes away what --rate and --burst set: give it alone, or give those."
        )
    if not (origin or any_origin or no_limit or rate or burst):
        raise UsageError("There is nothing to set: give --origin, --any-origin, --rate, --burst "
                         "or --no-limit.")  # fmt: skip
    origins = [read_origin(one) for one in origin] if origin else [] if any_origin else None
    with installed(database).database.transaction(Role.WORKER) as tx:
        row = registry.change(
            tx, name, origins=origins, rate=0.0 if no_limit else rate, burst=burst
        )
        write_audit(tx, "source:changed", name, row)
    said = ", ".join(row["origins"]) or "pages of all origins"
    say(f"{name} takes events from {said}; limit: {_limit(row) or 'none'}.")


def source_enable(name: Name, database: DatabaseName = None) -> None:
    """Take the events of a disabled source again."""
    _switch(name, database, enabled=True)
    say(f"{name} is enabled.")


def source_disable(name: Name, database: DatabaseName = None) -> None:
    """Refuse a source's events within 3 seconds; what it sent stays."""
    _switch(name, database, enabled=False)
    say(
        f"{name} is disabled: its senders are answered 403. `horizon source enable {name}` ends it."
    )


def source_rename(
    name: Name,
    new: Annotated[str, typer.Argument(metavar="NEW", help="What to call it from now on.")],
    database: DatabaseName = None,
) -> None:
    """Call a source otherwise; its keys, its limits and its events stay."""
    with installed(database).database.transaction(Role.WORKER) as tx:
        registry.rename(tx, name, new)
        write_audit(tx, "source:renamed", new, {"was": name})
    say(f"{name} is {new} now.")


def source_remove(name: Name, database: DatabaseName = None) -> None:
    """Remove a source of which nothing came; one that sent something is disabled instead."""
    with installed(database).database.transaction(Role.OWNER) as tx:
        registry.remove(tx, name)
        write_audit(tx, "source:removed", name, {})
    say(f"{name} and its key are removed.")


def _switch(name: str, database: str | None, *, enabled: bool) -> None:
    with installed(database).database.transaction(Role.WORKER) as tx:
        registry.enable(tx, name, enabled=enabled)
        write_audit(tx, f"source:{'enabled' if enabled else 'disabled'}", name, {})


def source_rotate(
    name: Name,
    old_until: Annotated[
        datetime | None,
        typer.Option(
            "--old-until", metavar="TIME", parser=until,
            help=f"Take the old key until then, or `now`; {OLD_KEY_DAYS:.0f} days where none is "
            "given.",
        ),
    ] = None,
    finish: Annotated[
        bool, typer.Option("--finish", help="End the old key now: its senders have the new one.")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="--finish, though nobody has used the new key yet.")
    ] = False,
    database: DatabaseName = None,
) -> None:  # fmt: skip
    """Give a source a new key; the old one is taken for some days more."""
    if finish and old_until is not None:
        raise UsageError("--finish ends the old key now: leave --old-until out.")
    if force and not finish:
        raise UsageError("--force goes with --finish alone: give both, or leave it out.")
    now = clock.now()
    with installed(database).database.transaction(Role.WORKER) as tx:
        said = _finish(tx, name, now, force=force) if finish else _rotate(tx, name, now, old_until)
    say(said)


def _rotate(tx: Connection, name: str, now: datetime, old_until: datetime | None) -> str:
    ends = old_until or now + timedelta(days=OLD_KEY_DAYS)
    key = registry.rotate(tx, name, now=now, old_until=ends)
    write_audit(tx, "source:key:rotated", name, {"old_until": utc_text(ends)})
    ended = ends <= now
    rest = "The old one has ended." if ended else (
        f"The old one is taken until {utc_text(ends)}; `horizon source show {name}` tells when it "
        f"was last used, and `horizon source rotate {name} --finish` ends it."
    )  # fmt: skip
    return f"The new write key of {name}, which is not shown again: {key}\n{rest}"


def _finish(tx: Connection, name: str, now: datetime, *, force: bool) -> str:
    old = registry.finish_rotation(tx, name, now=now, force=force)
    write_audit(tx, "source:key:ended", name, {"hint": old.hint})
    return f"The old key {_hint(old.hint)} of {name} has ended: {_used(old.last_used_at)}."


def _limit(row: dict[str, Any]) -> str | None:
    if row["rate"] is None:
        return None
    burst = f", {row['burst']:g} at once" if row["burst"] else ""
    return f"{row['rate']:g} events/s{burst}"


def _hint(hint: str | None) -> str | None:
    return f"{hint}..." if hint else None


def _used(at: datetime | None) -> str:
    return f"last used {utc_text(at)}" if at else "never used"
