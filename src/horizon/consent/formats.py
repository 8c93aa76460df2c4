"""The formats that consent and suppression come in; each reader gives what its lines say.

csv        columns email and granted; purpose, channel, time and wording where it has them
listmonk   its subscribers, exported as CSV or as the API's JSON
mailgun    a domain's bounces, unsubscribes or complaints, as CSV or as the API's JSON
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

import msgspec

from horizon.consent.files import Export
from horizon.consent.rules import (
    CHANNEL,
    EVERY_PURPOSE,
    WORDING_LENGTH,
    BadLineError,
    Consent,
    Found,
    Left,
    Suppression,
    address_is_invalid,
    address_of,
    granted_of,
    time_of,
)
from horizon.errors import UsageError

Items = Iterator[tuple[int, "Found | BadLineError"]]
Values = Mapping[str, Any]


class Format(StrEnum):
    CSV = "csv"
    LISTMONK = "listmonk"
    MAILGUN = "mailgun"


class Kind(StrEnum):
    """Which of Mailgun's lists it is."""

    BOUNCES = "bounces"
    UNSUBSCRIBES = "unsubscribes"
    COMPLAINTS = "complaints"


class Subscription(StrEnum):
    CONFIRMED = "confirmed"
    UNCONFIRMED = "unconfirmed"
    UNSUBSCRIBED = "unsubscribed"


_STATES = frozenset(Subscription)


@dataclass(frozen=True)
class Given:
    """What the command says where the file says nothing; ``purposes`` are those there are."""

    purpose: str
    channel: str
    wording: str | None
    purposes: frozenset[str]
    now: datetime
    kind: Kind | None = None
    only_list: str | None = None
    subscription: Subscription | None = None


def read(export: Export, chosen: Format, given: Given) -> Items:
    """What each line says, or why it cannot be used. Raises UsageError."""
    if chosen is Format.MAILGUN:
        return _each(_rows(export, "items"), lambda row: _mailgun(row, given))
    if chosen is Format.LISTMONK:
        return _each(_rows(export, "data", "results"), lambda row: _listmonk(row, given))
    return _each(export.rows("email"), lambda row: _plain(row, given))


def _rows(export: Export, *path: str) -> Iterator[tuple[int, Values | BadLineError]]:
    """CSV's rows or JSON's items, both by the names of CSV's columns."""
    if not export.is_json:
        yield from export.rows("email")
        return
    for number, raw in export.items(*path):
        try:
            item = msgspec.json.decode(raw, type=dict[str, Any])
            yield number, {"email": item.get("address"), "time": item.get("created_at"), **item}
        except (msgspec.DecodeError, UnicodeDecodeError):
            yield number, BadLineError("it is no object")


def _each(
    rows: Iterator[tuple[int, Values | BadLineError]], meaning: Callable[[Values], Iterator[Found]]
) -> Items:
    for number, row in rows:
        try:
            if isinstance(row, BadLineError):
                raise row
            found = list(meaning(row))
        except BadLineError as bad:
            yield number, bad
        else:
            for one in found:
                yield number, one


def _text(row: Values, name: str) -> str:
    value = row.get(name)
    if value is None:
        return ""
    if isinstance(value, bool | int | float | str):
        return str(value).strip()
    raise BadLineError(f"{name} is no text")


def _plain(row: Values, given: Given) -> Iterator[Found]:
    purpose = _text(row, "purpose") or given.purpose
    channel = _text(row, "channel") or given.channel
    wording = _text(row, "wording") or given.wording
    if purpose not in given.purposes:
        raise BadLineError("there is no such purpose: `horizon consent purpose add` makes it")
    if not CHANNEL.fullmatch(channel):
        raise BadLineError("the channel should be a word like email")
    if wording and (len(wording) > WORDING_LENGTH or not wording.replace("\n", " ").isprintable()):
        raise BadLineError(f"the wording should be text of at most {WORDING_LENGTH} characters")
    yield Consent(
        address_of(_text(row, "email")), purpose, channel, granted_of(_text(row, "granted")),
        time_of(_text(row, "time"), given.now), wording,
    )  # fmt: skip


# listmonk's export as CSV is uuid, email, name, attributes, status, created_at, updated_at, the
# times as Go prints them (knadh/listmonk, cmd/subscribers.go, ExportSubscribers): it says nothing
# of lists, so whoever exports one list with its filter says what was filtered for.
# Its API's answer is {"data": {"results": [{"email", "status", "lists": [{"name",
# "subscription_status", "subscription_created_at", "subscription_updated_at"}]}]}}
# (docs/docs/content/apis/subscribers.md and queries/subscribers.sql, get-subscriber-lists-lazy).
# The states are those of models/subscribers.go.
def _listmonk(row: Values, given: Given) -> Iterator[Found]:
    address, status = address_of(_text(row, "email")), _text(row, "status").lower()
    if status not in ("enabled", "disabled", "blocklisted"):
        raise BadLineError("the status should be enabled, disabled or blocklisted")
    if status == "blocklisted":
        time = time_of(_text(row, "updated_at"), given.now)
        yield Suppression(address, EVERY_PURPOSE, "manual", time)
    said = list(_subscriptions(row, given))
    # Of several lists for one purpose the refusal counts.
    gone = [time for state, time in said if state == Subscription.UNSUBSCRIBED]
    confirmed = [time for state, time in said if state == Subscription.CONFIRMED]
    if gone:
        time = max((time for time in gone if time), default=None)
        yield Consent(address, given.purpose, given.channel, False, time, given.wording)
        yield Suppression(address, given.purpose, "unsubscribed", time)
    elif status != "enabled":
        if status == "disabled":
            yield Left("disabled")
    elif confirmed:
        time = max((time for time in confirmed if time), default=None)
        yield Consent(address, given.purpose, given.channel, True, time, given.wording)
    else:
        yield Left(
            "unconfirmed" if said else "not on that list" if given.only_list else "without a list"
        )


def _subscriptions(row: Values, given: Given) -> Iterator[tuple[Subscription, datetime | None]]:
    lists = row.get("lists")
    if lists is None:  # CSV
        if given.subscription is not None:
            yield given.subscription, time_of(_text(row, "updated_at"), given.now)
        return
    if not isinstance(lists, list) or not all(isinstance(one, dict) for one in lists):
        raise BadLineError("lists is no list")
    for one in lists:
        if given.only_list is not None and one.get("name") != given.only_list:
            continue
        state = _text(one, "subscription_status")
        if state not in _STATES:
            raise BadLineError("a list has no subscription_status of listmonk's")
        # The time of the subscription, never the list's own.
        when = _text(one, "subscription_updated_at") or _text(one, "subscription_created_at")
        yield Subscription(state), time_of(when, given.now)


# Mailgun's lists are {"items": [...]}: bounces {address, code, error, created_at}, unsubscribes
# {address, tags, created_at} (in older answers one `tag`), complaints {address, created_at}, times
# as RFC 2822 has them; the same names head the CSV files that it takes and gives
# (documentation.mailgun.com, api-reference, bounces, unsubscribe, complaints). `*` is every tag.
def _mailgun(row: Values, given: Given) -> Iterator[Found]:
    address, time = address_of(_text(row, "email")), time_of(_text(row, "time"), given.now)
    kind = given.kind or _kind_of(row)
    if kind is Kind.COMPLAINTS:
        yield Suppression(address, EVERY_PURPOSE, "complaint", time)
    elif kind is Kind.UNSUBSCRIBES:
        yield from _unsubscribed(address, row, time, given.purposes)
    elif address_is_invalid(_text(row, "code"), _text(row, "error")):
        yield Suppression(address, EVERY_PURPOSE, "hard_bounce", time)
    else:
        yield Left("bounces for another reason")


def _kind_of(row: Values) -> Kind:
    if "code" in row or "error" in row:
        return Kind.BOUNCES
    if "tags" in row or "tag" in row:
        return Kind.UNSUBSCRIBES
    # Complaints have no column of their own, and any list of addresses looks like them.
    raise UsageError(
        "The file does not tell which of Mailgun's lists it is: say --kind complaints, bounces or "
        "unsubscribes."
    )


def _unsubscribed(
    address: str, row: Values, time: datetime | None, purposes: frozenset[str]
) -> Iterator[Found]:
    given = row["tags"] if isinstance(row.get("tags"), list) else None
    words = given if given is not None else _text(row, "tags") or _text(row, "tag")
    tags = words if isinstance(words, list) else [
        word.strip(" \"'[]") for word in words.split(",")
    ]  # fmt: skip
    for tag in tags or [EVERY_PURPOSE]:
        if tag in ("", EVERY_PURPOSE):
            yield Suppression(address, EVERY_PURPOSE, "unsubscribed", time)
        elif tag in purposes:
            yield Suppression(address, tag, "unsubscribed", time)
        else:
            yield Left("tags that are no purpose")
