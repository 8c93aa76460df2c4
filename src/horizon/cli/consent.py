"""Who agreed to what, and who is never written to."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import Annotated
from uuid import UUID

import typer

from horizon import clock
from horizon.cli.consent_import import consent_import
from horizon.cli.options import AsJson, Channel, DatabaseName, Purpose, installed
from horizon.cli.output import plain, say, show
from horizon.consent import book
from horizon.consent.book import Person
from horizon.consent.rules import EVERY_PURPOSE
from horizon.errors import UsageError
from horizon.pipeline.installation import Installation
from horizon.postgres.audit import actor, write_audit
from horizon.postgres.database import Connection, Role

PANEL = "Consent"
Address = Annotated[str, typer.Argument(help="The address; only its keyed hash is kept.")]


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
        is_new = book.add_purpose(tx, name, given)
        if is_new or given:
            write_audit(tx, "purpose:added" if is_new else "purpose:retitled", name, given)
    if is_new:
        say(f"People can agree to {name} now, or refuse it.")
    else:
        now = "its titles are changed" if given else "it stays as it is"
        say(f"{name} was there already: {now}.")


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
    states = [
        {**row, "means": book.MEANS.get(row["state"], "")}
        for row in book.state(tx, person, clock.now())
    ]
    show(states, as_json=False, empty="No purpose.")
    say("")
    show(book.history(tx, person), as_json=False, empty="Nothing was ever said or written down.")


def consent_set(
    who: Annotated[str, typer.Argument(help="An address or a user id.")],
    purpose: Purpose,
    wording: Annotated[str, typer.Option(help="The sentence that was agreed to or refused.")],
    granted: Annotated[bool, typer.Option("--grant/--refuse", help="Say which: yes or no.")],
    channel: Channel = "email",
    database: DatabaseName = None,
) -> None:  # fmt: skip
    """Write down by hand what somebody said. What was said before stays in the history."""
    horizon = installed(database)
    now = clock.now()
    with horizon.database.transaction(Role.WORKER) as tx:
        for node in book.addresses_of(tx, horizon.keys.node, who):
            book.set_consent(
                tx, node, purpose, channel, granted=granted, wording=wording, actor=actor(), now=now
            )
            details = {"purpose": purpose, "channel": channel, "granted": granted}
            write_audit(tx, "consent:set", str(node), details)
        states = {
            row["state"]
            for one in book.find_people(tx, horizon.keys.node, who)
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
