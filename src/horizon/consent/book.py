"""What the operator looks up and writes down: purposes, consent, suppressions."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb

from horizon.consent.rules import CHANNEL, EVERY_PURPOSE, PURPOSE, BadLineError, address_of
from horizon.errors import UsageError
from horizon.events.nodes import node_of
from horizon.postgres.database import Connection, row_dicts
from horizon.postgres.queries import Queries

QUERIES = Queries("horizon.consent")
_KINDS = ("user_id", "email", "anonymous_id")


# What may be done, in words: the states that refusal() and the schema know.
MEANS = {
    "granted": "messages may be sent",
    "none": "nothing was ever said, so nothing is sent",
    "refused": "the last word was no",
    "paused": "asked for a pause, which is not over",
    "less_often": "asked for fewer, and had one lately",
    "unsubscribed": "unsubscribed; a confirmed opt-in lifts it",
    "manual": "stopped by hand: `horizon suppression remove` lifts it",
    "hard_bounce": "mail came back: there is no such mailbox",
    "complaint": "called a mail spam",
    "domain_manual": "its domain is stopped by hand: `horizon suppression remove --domain`",
    "domain_null_mx": "its domain says that it takes no mail",
}


@dataclass(frozen=True)
class Person:
    """Somebody by profile and address; ``profile`` None: an address that belongs to nobody."""

    profile: int | None
    user_id: str | None
    address: UUID | None
    domain: str | None


def purposes(tx: Connection) -> list[dict[str, Any]]:
    return row_dicts(tx.execute(QUERIES["purposes"]))


def add_purpose(tx: Connection, name: str, titles: dict[str, str]) -> bool:
    """Make a purpose, or give one other titles; whether it is new. Raises UsageError."""
    if not PURPOSE.fullmatch(name):
        raise UsageError(
            f"{name!r} is no purpose's name: use lower-case letters, digits and _, a letter first."
        )
    for title in titles.values():
        if not title.strip() or not title.isprintable() or len(title) > 200:
            raise UsageError("A title should be one line of at most 200 characters.")
    row = tx.execute(QUERIES["add_purpose"], {"purpose": name, "titles": Jsonb(titles)}).fetchone()
    return row is not None and bool(row.is_new)


def check_purpose(tx: Connection, name: str) -> None:
    """Raises UsageError, which names the purposes that there are."""
    names = [row["purpose"] for row in purposes(tx)]
    if name not in names:
        raise UsageError(
            f"There is no purpose {name!r}: choose one of {', '.join(names)}, or add it with "
            f"`horizon consent purpose add {name}`."
        )


def check_channel(name: str) -> None:
    if not CHANNEL.fullmatch(name):
        raise UsageError(f"{name!r} is no channel: use a word like email or sms.")


def address_node(node_key: bytes, text: str) -> UUID:
    """The one way an address is known here: by its node. Raises UsageError."""
    return node_of(node_key, "email", plain_address(text))


def plain_address(text: str) -> str:
    try:
        return address_of(text)
    except BadLineError as bad:
        raise UsageError(f"{text!r} is not an address: write it like ann@example.com.") from bad


def find_people(tx: Connection, node_key: bytes, text: str) -> list[Person]:
    """Who that is, by an address, a user id or an anonymous id. Raises UsageError."""
    address = address_node(node_key, text) if "@" in text else None
    nodes = [node_of(node_key, kind, text) for kind in _KINDS]
    rows = tx.execute(QUERIES["people"], {"nodes": nodes, "address": address}).fetchall()
    if rows:
        return [
            Person(row.profile_id, row.user_id, row.address_hash or address, row.domain)
            for row in rows
        ]
    if address is None:
        raise UsageError(f"Nobody is known as {text!r}: give an address or a user id.")
    return [Person(None, None, address, text.strip().lower().rpartition("@")[2])]


def addresses_of(tx: Connection, node_key: bytes, text: str) -> list[UUID]:
    """An address, or those of whoever has the user id. Raises UsageError."""
    if "@" in text:
        return [address_node(node_key, text)]
    found = {one.address for one in find_people(tx, node_key, text)} - {None}
    if not found:
        raise UsageError(f"{text} is known without an address: name the address in place of it.")
    return sorted(address for address in found if address)


def state(tx: Connection, person: Person, now: datetime) -> list[dict[str, Any]]:
    """What may be done, for each purpose and channel: granted, none, or why not."""
    values = {
        "profile": person.profile, "address": person.address, "domain": person.domain, "now": now,
    }  # fmt: skip
    return row_dicts(tx.execute(QUERIES["state"], values))


def history(tx: Connection, person: Person) -> list[dict[str, Any]]:
    """Each record as it came, the oldest first."""
    values = {"address": person.address, "profiles": [person.profile]}
    return row_dicts(tx.execute(QUERIES["history"], values))


def set_consent(
    tx: Connection, address: UUID, purpose: str, channel: str, *, granted: bool, wording: str,
    actor: str, now: datetime,
) -> None:  # fmt: skip
    """Write an answer down by hand. Raises UsageError for an unknown purpose or channel."""
    check_purpose(tx, purpose)
    check_channel(channel)
    tx.execute(QUERIES["set_consent"], {
        "address": address, "purpose": purpose, "channel": channel, "granted": granted,
        "wording": wording, "actor": actor, "now": now,
    })  # fmt: skip


def ask(
    tx: Connection, node_key: bytes, text: str, purpose: str, language: str, now: datetime
) -> UUID:
    """Ask an address to confirm; give back its node. Raises UsageError."""
    check_purpose(tx, purpose)
    address = address_node(node_key, text)
    tx.execute(QUERIES["ask"], {
        "address": address, "to_addr": plain_address(text), "purpose": purpose,
        "language": language, "now": now,
    })  # fmt: skip
    return address


def suppressions(
    tx: Connection, most: int, address: UUID | None = None, domain: str | None = None
) -> list[dict[str, Any]]:
    values = {"most": most, "address": address, "domain": domain}
    return row_dicts(tx.execute(QUERIES["suppressions"], values))


def suppress(tx: Connection, address: UUID, purpose: str, now: datetime) -> bool:
    """Say whether that changes anything. Raises UsageError for an unknown purpose."""
    if purpose != EVERY_PURPOSE:
        check_purpose(tx, purpose)
    values = {"address": address, "purpose": purpose, "now": now}
    tx.execute(QUERIES["forget_unsubscription"], values)
    return bool(tx.execute(QUERIES["suppress"], values).rowcount)


def lift(tx: Connection, address: UUID, purpose: str) -> bool:
    return bool(tx.execute(QUERIES["lift"], {"address": address, "purpose": purpose}).rowcount)


def suppress_domain(tx: Connection, domain: str, now: datetime) -> bool:
    values = {"domain": domain, "now": now}
    tx.execute(QUERIES["forget_null_mx"], values)
    return bool(tx.execute(QUERIES["suppress_domain"], values).rowcount)


def lift_domain(tx: Connection, domain: str) -> bool:
    return bool(tx.execute(QUERIES["lift_domain"], {"domain": domain}).rowcount)


def plain_domain(text: str) -> str:
    """In the form in which messages keep it. Raises UsageError."""
    domain = text.strip().removeprefix("@").rstrip(".").lower()
    if "." not in domain or not domain.isprintable() or any(sign in domain for sign in "@ /:"):
        raise UsageError(f"{text!r} is not a domain: write it like example.com.")
    return domain
