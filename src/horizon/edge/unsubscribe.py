"""The unsubscribe link of a mail: RFC 8058's one click, and the page for a person."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from horizon import clock
from horizon.edge.language import gettext_noop
from horizon.edge.signed_link import BODY_BYTES, SignedLink
from horizon.events.model import Source, internal_event
from horizon.events.sources import find_source
from horizon.events.store import store
from horizon.postgres.database import Connection
from horizon.postgres.queries import Queries
from horizon.serving.http import Reply, Request

Way = Literal["one_click", "page"]

_queries = Queries("horizon.edge")


class UnsubscribeLink(SignedLink):
    purpose = "unsubscribe"
    button = gettext_noop("Unsubscribe")

    async def _show(self, _request: Request, _subject: UUID, language: str, token: str) -> Reply:
        return self._pages.question(language, token)

    async def _take(
        self, request: Request, subject: UUID, language: str, token: str
    ) -> Reply | None:
        way = _way_of(await request.read(BODY_BYTES))
        known = await self._desk.ask(
            lambda tx, era: unsubscribe(tx, subject, way, clock.now(), era=era)
        )
        return self._pages.done(language, token) if known else None


def unsubscribe(tx: Connection, message_id: UUID, way: Way, time: datetime, *, era: int) -> bool:
    """Refuse consent for what the message was for, once; say whether there is such a message."""
    target = tx.execute(_queries["message_target"], {"message_id": message_id}).fetchone()
    source = find_source(tx, "horizon")
    if target is None or source is None:
        return False
    node = target.node or target.address_hash
    if node is None:  # demo mode's aggregated mail is about nobody
        return False
    event = _event_of(target, source, message_id, node, way, time)
    values = {
        **target._asdict(), "node": node, "message_id": message_id, "time": time, "way": way,
        "event_id": event.event_id, "granted": False, "wording": None,
    }  # fmt: skip
    if store(tx, [event], era=era):
        tx.execute(_queries["record_consent"], values)
    if target.address_hash is not None:
        # Each time: whoever consented again since and clicks an old link means it.
        tx.execute(_queries["suppress"], values)
    return True


def _event_of(
    target: Any, source: Source, message_id: UUID, node: UUID, way: Way, time: datetime
) -> Any:
    return internal_event(
        source,
        "Unsubscribed",
        message_id=f"unsubscribed:{message_id}",
        node=node,
        time=time,
        properties={
            "message_id": str(message_id),
            "campaign": target.campaign,
            "purpose": target.purpose,
            "channel": target.channel,
            "way": way,
        },
    )


def _way_of(body: bytes) -> Way:
    """One click says so in its form, urlencoded or multipart; the page's button does not."""
    return "one_click" if b"List-Unsubscribe" in body and b"One-Click" in body else "page"
