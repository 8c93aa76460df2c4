"""The pages behind a mail's link: a mail to be linked from, and what a browser would post."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode
from uuid import UUID, uuid4

from playwright.sync_api import Page, Route

from horizon import links
from horizon.events.nodes import node_of
from horizon.keys import Keys
from horizon.postgres.database import Database, Role, row_dicts
from tests.servers.collector import Answer, Asked

ONE_CLICK = b"List-Unsubscribe=One-Click"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
MULTIPART = (
    b'--x\r\nContent-Disposition: form-data; name="List-Unsubscribe"\r\n\r\nOne-Click\r\n--x--\r\n'
)
FIELD = re.compile(r"<input ([^>]*)>")
ATTRIBUTE = re.compile(r'([a-z-]+)(?:="([^"]*)")?')

Fields = list[tuple[str, str]]


def mail(database: Database, keys: Keys, **changes: Any) -> tuple[UUID, str]:
    """A message that was sent to Ann; its id and its link's path."""
    values = {
        "message_id": uuid4(), "campaign": "miss_you", "occasion": str(uuid4()),
        "node": node_of(keys.node, "user_id", "u1"),
        "address_hash": node_of(keys.node, "email", "ann@example.com"), **changes,
    }  # fmt: skip
    with database.transaction(Role.WORKER) as tx:
        tx.execute(
            "INSERT INTO messages (message_id, campaign, node, profile_id, occasion, to_addr, "
            "address_hash, domain, template, template_digest, status, correlation_id, planned_at) "
            "VALUES (%(message_id)s, %(campaign)s, %(node)s, 1, %(occasion)s, 'ann@example.com', "
            "%(address_hash)s, 'example.com', 't', 'd', 'sent', gen_random_uuid(), now())",
            values,
        )
    message_id = values["message_id"]
    return message_id, "/u/" + links.sign(keys.link, message_id, "unsubscribe")


def rows(database: Database, table: str) -> list[dict[str, Any]]:
    with database.transaction(Role.OWNER) as tx:
        return row_dicts(tx.execute(f"SELECT * FROM {table}".encode()))


def assert_page(answer: Answer, status: int, title: str, language: str = "en") -> None:
    """A page of ours, in that language, which runs nothing, tells nobody and names no address."""
    assert answer.status == status
    assert answer.headers["content-language"] == language
    assert f'<html lang="{language}">' in answer.body.decode()
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["cache-control"] == "no-store"
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    text = answer.body.decode()
    assert f"<h1>{title}</h1>" in text
    assert "Fish &amp; &lt;Chips&gt;" in text
    assert not any(tag in text for tag in ("<script", "<Chips>", "<receive>"))
    assert "ann@" not in text.casefold()


def say(database: Database, keys: Keys, *, granted: bool, **changes: Any) -> None:
    values = {
        "node": node_of(keys.node, "user_id", "u1"),
        "address_hash": node_of(keys.node, "email", "ann@example.com"),
        "purpose": "marketing", "channel": "email", "time": datetime(2026, 1, 1, tzinfo=UTC),
        **changes,
    }  # fmt: skip
    with database.transaction(Role.WORKER) as tx:
        tx.execute(
            "INSERT INTO consents (node, address_hash, purpose, channel, granted, time, way) "
            "VALUES (%(node)s, %(address_hash)s, %(purpose)s, %(channel)s, %(granted)s, %(time)s, 'import')",
            {**values, "granted": granted},
        )


def anns_page(database: Database, keys: Keys) -> str:
    """The path of Ann's preference page; she agreed to marketing."""
    _, unsubscribe = mail(database, keys)
    say(database, keys, granted=True)
    return "/p/" + unsubscribe[3:]


def suppress(database: Database, keys: Keys, purpose: str, reason: str) -> None:
    address = node_of(keys.node, "email", "ann@example.com")
    with database.transaction(Role.WORKER) as tx:
        tx.execute(
            "INSERT INTO suppressions (address_hash, purpose, reason, created_at) VALUES (%s, %s, %s, now())",
            [address, purpose, reason],
        )


def fields_in(page: Answer) -> Fields:
    """What a browser would post of the page as it is, by its first button."""
    found = [dict(ATTRIBUTE.findall(text)) for text in FIELD.findall(page.body.decode())]
    return [
        (field["name"], field["value"])
        for field in found
        if field["type"] == "hidden" or "checked" in field
    ]


def changed(fields: Fields, *, tick: Fields | None = None, untick: Fields | None = None) -> bytes:
    kept = [field for field in fields if field not in (untick or [])]
    return urlencode(kept + (tick or [])).encode()


def post(collector: Asked, path: str, body: bytes) -> Answer:
    return collector.ask("POST", path, body, FORM)


def consents(database: Database) -> list[tuple[str, bool, str]]:
    """What was written by the page."""
    return [
        (row["purpose"], row["granted"], row["wording"])
        for row in rows(database, "consents ORDER BY consent_id")
        if row["way"] == "preferences"
    ]


def suppressed(database: Database) -> set[tuple[str, str]]:
    return {(row["purpose"], row["reason"]) for row in rows(database, "suppressions")}


def holds(page: Answer) -> dict[str, str]:
    """What the saved page says."""
    return dict(re.findall(r"<dt>([^<]*)</dt><dd>\s*([^<]*?)\s*</dd>", page.body.decode()))


def show(page: Page, answer: Answer) -> None:
    """The answer at an address of its own, with its headers: the policy is in force."""

    def answered(route: Route) -> None:
        route.fulfill(status=answer.status, headers=answer.headers, body=answer.body)

    page.route("**/*", answered)
    page.goto("http://pages.test/u/token")
    page.unroute("**/*")
