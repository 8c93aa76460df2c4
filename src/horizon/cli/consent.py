"""Who agreed to what, and who is never written to."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated
from uuid import UUID

import typer
from rich.progress import MofNCompleteColumn, Progress, TimeElapsedColumn

from horizon import clock
from horizon.cli.options import AsJson, DatabaseName, installed
from horizon.cli.output import console, plain, say, show
from horizon.consent import book
from horizon.consent.book import Person
from horizon.consent.formats import Format, Kind, Subscription
from horizon.consent.importer import Imported
from horizon.consent.rules import EVERY_PURPOSE
from horizon.delivery import channels
from horizon.errors import UsageError
from horizon.pipeline.consents import given_of, import_consent
from horizon.pipeline.installation import Installation
from horizon.postgres.audit import actor, write_audit
from horizon.postgres.database import Connection, Role

PANEL = "Consent"
Address = Annotated[str, typer.Argument(help="The address; only its keyed hash is kept.")]
Purpose = Annotated[str, typer.Option(help="What for: see `horizon consent purpose list`.")]
Channel = Annotated[str, typer.Option(help="By which way it would reach the person.")]


class Language(StrEnum):
    EN = "en"
    DE = "de"


def register(app: typer.Typer) -> None:
    consent = typer.Typer(no_args_is_help=True, help="Who agreed to what, when and in which words.")
    for name, command in (
        ("show", consent_show), ("set", consent_set), ("ask", consent_ask),
        ("import", consent_import),
    ):  # fmt: skip
        consent.command(name)(command)
    purpose = typer.Typer(no_args_is_help=True, help="What consent is asked for.")
    purpose.command("add")(purpose_add)
    purpose.command("list")(purpose_list)
    consent.add_typer(purpose, name="purpose")
    app.add_typer(consent, name="consent", rich_help_panel=PANEL)
    suppression = typer.Typer(no_args_is_help=True, help="Whom nothing is sent to, whatever else.")
    suppression.command("list")(suppression_list)
    suppression.command("add")(suppression_add)
    suppression.command("remove")(suppression_remove)
    app.add_typer(suppression, name="suppression", rich_help_panel=PANEL)


def purpose_add(
    name: Annotated[str, typer.Argument(help="Its name in calls and files: newsletter.")],
    title: Annotated[str | None, typer.Option(help="What people read, in English.")] = None,
    title_de: Annotated[str | None, typer.Option(help="What people read, in German.")] = None,
    database: DatabaseName = None,
) -> None:
    """Add a purpose, or give one other titles."""
    titles = {"en": title, "de": title_de}
    given = {language: text for language, text in titles.items() if text is not None}
    with installed(database).database.transaction(Role.WORKER) as tx:
        book.add_purpose(tx, name, given)
        write_audit(tx, "purpose:added", name, given)
    say(f"People can agree to {name} now, or refuse it.")


def purpose_list(as_json: AsJson = False, database: DatabaseName = None) -> None:
    """The purposes there are."""
    with installed(database).database.transaction(Role.WORKER) as tx:
        rows = book.purposes(tx)
    show(rows, as_json=as_json, empty="There is no purpose: `horizon consent purpose add NAME`.")


def consent_show(
    who: Annotated[str, typer.Argument(help="An address or a user id.")],
    as_json: AsJson = False,
    database: DatabaseName = None,
) -> None:
    """What may be sent to somebody, and each record that says so: who, what, when, how, in which
    words."""
    horizon = installed(database)
    with horizon.database.transaction(Role.WORKER) as tx:
        people = book.find_people(tx, horizon.keys.node, who)
        if as_json:
            now = clock.now()
            found = [
                {"user_id": one.user_id, "state": book.state(tx, one, now),
                 "history": book.history(tx, one)}
                for one in people
            ]  # fmt: skip
            print(json.dumps(found, default=plain, ensure_ascii=False))
            return
        for one in people:
            _show_person(tx, one)


def _show_person(tx: Connection, person: Person) -> None:
    say(person.user_id or "An address that nobody known has.")
    show(book.state(tx, person, clock.now()), as_json=False, empty="No purpose.")
    say("")
    show(book.history(tx, person), as_json=False, empty="Nothing was ever said or written down.")


def consent_set(
    address: Address,
    purpose: Purpose,
    wording: Annotated[str, typer.Option(help="The sentence that was agreed to or refused.")],
    granted: Annotated[bool, typer.Option("--grant/--refuse", help="Yes or no.")],
    channel: Channel = "email",
    database: DatabaseName = None,
) -> None:  # fmt: skip
    """Write down by hand what somebody said. What was said before stays in the history."""
    horizon = installed(database)
    node = book.address_node(horizon.keys.node, address)
    now = clock.now()
    with horizon.database.transaction(Role.WORKER) as tx:
        book.set_consent(
            tx, node, purpose, channel, granted=granted, wording=wording, actor=actor(), now=now
        )
        details = {"purpose": purpose, "channel": channel, "granted": granted}
        write_audit(tx, "consent:set", str(node), details)
        states = {
            row["state"]
            for one in book.find_people(tx, horizon.keys.node, address)
            for row in book.state(tx, one, now)
            if (row["purpose"], row["channel"]) == (purpose, channel)
        }
    said = "yes" if granted else "no"
    say(f"Written down: {said} to {purpose} by {channel}. {_so(states)}")


def _so(states: set[str]) -> str:
    if states == {"granted"}:
        return "Messages of this purpose may be sent."
    return (
        f"Nothing of this purpose is sent ({', '.join(sorted(states))}): `horizon consent show` "
        "tells why."
    )


def consent_ask(
    address: Address,
    purpose: Purpose = "marketing",
    language: Annotated[Language, typer.Option(help="Of the mail and its page.")] = Language.EN,
    database: DatabaseName = None,
) -> None:
    """Ask somebody by mail to confirm, at most once a day: only who opens its link agrees."""
    horizon = installed(database)
    with horizon.database.transaction(Role.WORKER) as tx:
        node = book.ask(tx, horizon.keys.node, address, purpose, language.value, clock.now())
        write_audit(tx, "consent:asked", str(node), {"purpose": purpose, "language": language})
    say(
        "Noted: `horizon up` or `horizon campaign run confirm_consent` sends the mail, unless the "
        "address is suppressed, agreed already or was asked today."
    )


def consent_import(
    file: Annotated[Path, typer.Argument(help="The export.")],
    format_: Annotated[Format, typer.Option("--format", help="Whose export it is.")],
    purpose: Purpose = "marketing",
    channel: Channel = "email",
    wording: Annotated[
        str | None, typer.Option(help="What was agreed to, where the file does not say.")
    ] = None,
    kind: Annotated[
        Kind | None, typer.Option(help="Which list of Mailgun's, where its columns do not tell.")
    ] = None,
    only_list: Annotated[
        str | None, typer.Option("--list", help="Only this list of listmonk's (JSON).")
    ] = None,
    subscription_status: Annotated[
        Subscription | None, typer.Option(help="What listmonk's CSV was filtered for.")
    ] = None,
    encoding: Annotated[
        str, typer.Option(help="The file's, where it has no mark of its own.")
    ] = "utf-8",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count only; write nothing.")] = False,
    database: DatabaseName = None,
) -> None:
    """Bring consent and suppression in. The same file again changes nothing."""
    horizon = installed(database)
    channels.find(channel)
    given = given_of(
        horizon, purpose, channel, wording,
        kind=kind, only_list=only_list, subscription=subscription_status,
    )  # fmt: skip
    columns = ("reading", MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as bar:
        task = bar.add_task("lines", total=None)
        done = import_consent(
            horizon, file, format_, given, encoding=encoding, dry_run=dry_run,
            on_lines=lambda count: bar.update(task, completed=count),
        )  # fmt: skip
    say(_told(done, dry_run=dry_run))
    for number, why in done.bad:
        say(f"{done.unit} {number}: {why}")
    if done.rejected > len(done.bad):
        say(f"and {done.rejected - len(done.bad):,} more {done.unit}s that cannot be used.")


def _told(done: Imported, *, dry_run: bool) -> str:
    text = f"{done.lines:,} {done.unit}s read"
    if done.changed:
        text += (
            f": {done.granted:,} new consents, {done.refused:,} new refusals, "
            f"{done.suppressed:,} new suppressions, {done.known:,} known already."
        )
    else:
        text += f": nothing is new, {done.known:,} known already."
    if done.left:
        left = ", ".join(f"{count:,} {why}" for why, count in sorted(done.left.items()))
        text += f" Left as they are: {left}."
    if done.rejected:
        text += f" {done.rejected:,} {done.unit}s cannot be used."
    return f"{text} Nothing was written." if dry_run else text


def suppression_list(
    who: Annotated[str | None, typer.Argument(help="Only this address or domain.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1_000_000)] = 50,
    as_json: AsJson = False,
    database: DatabaseName = None,
) -> None:
    """Whom nothing is sent to, the newest first: addresses by their keyed hashes, and domains."""
    horizon = installed(database)
    address, domain = None, None
    if who is not None and "@" in who.strip().removeprefix("@"):
        address = book.address_node(horizon.keys.node, who)
    elif who is not None:
        domain = book.plain_domain(who)
    with horizon.database.transaction(Role.WORKER) as tx:
        rows = book.suppressions(tx, limit, address, domain)
    show(rows, as_json=as_json, empty="Nobody is suppressed." if who is None else "Not suppressed.")


Whom = Annotated[str | None, typer.Argument(metavar="ADDRESS", help="The address.")]
Domain = Annotated[str | None, typer.Option("--domain", help="A whole domain in its place.")]
OnePurpose = Annotated[str, typer.Option(help="For this purpose alone; *: for every one.")]


def suppression_add(
    address: Whom = None,
    purpose: OnePurpose = EVERY_PURPOSE,
    domain: Domain = None,
    database: DatabaseName = None,
) -> None:
    """Send nothing more to an address or a domain, whatever anybody agrees to."""
    horizon = installed(database)
    now = clock.now()
    node, host = _whom(horizon, address, domain, purpose)
    with horizon.database.transaction(Role.WORKER) as tx:
        new = book.suppress(tx, node, purpose, now) if node else book.suppress_domain(tx, host, now)
        write_audit(tx, "suppression:added", str(node or host), {"purpose": purpose, "new": new})
    say("Suppressed: nothing more is sent there." if new else "It was suppressed already.")


def suppression_remove(
    address: Whom = None,
    purpose: OnePurpose = EVERY_PURPOSE,
    domain: Domain = None,
    database: DatabaseName = None,
) -> None:
    """Let messages go to an address or a domain again, as far as consent allows."""
    horizon = installed(database)
    node, host = _whom(horizon, address, domain, purpose)
    with horizon.database.transaction(Role.WORKER) as tx:
        found = book.lift(tx, node, purpose) if node else book.lift_domain(tx, host)
        if not found:
            raise UsageError(
                "There is no such suppression: `horizon suppression list` shows each with its "
                "purpose, and --purpose names one."
            )
        write_audit(tx, "suppression:removed", str(node or host), {"purpose": purpose})
    say("Lifted: consent alone decides now.")


def _whom(
    horizon: Installation, address: str | None, domain: str | None, purpose: str
) -> tuple[UUID | None, str]:
    if (address is None) == (domain is None):
        raise UsageError("Name an address, or a domain with --domain example.com.")
    if address is not None:
        return book.address_node(horizon.keys.node, address), ""
    if purpose != EVERY_PURPOSE:
        raise UsageError("A domain is suppressed for every purpose: leave --purpose out.")
    return None, book.plain_domain(domain or "")
