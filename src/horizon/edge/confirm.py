"""The link of a mail that asks whether a wish was its reader's own: the opt-in's second half."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from horizon import clock
from horizon.edge.language import LANGUAGES, gettext_noop
from horizon.edge.signed_link import BODY_BYTES, SignedLink
from horizon.events.model import Source, internal_event
from horizon.events.sources import find_source
from horizon.events.store import store
from horizon.postgres.database import Connection
from horizon.postgres.queries import Queries
from horizon.serving.http import Reply, Request

_queries = Queries("horizon.edge")


class ConfirmLink(SignedLink):
    purpose = "confirm"
    button = gettext_noop("Yes, I agree")

    async def _show(
        self, request: Request, subject: UUID, language: str, _token: str
    ) -> Reply | None:
        opt_in = await self._desk.ask(lambda tx, _: find(tx, subject, clock.now()))
        return self._page(request, opt_in, language)

    async def _take(
        self, request: Request, subject: UUID, language: str, _token: str
    ) -> Reply | None:
        await request.read(BODY_BYTES)
        opt_in = await self._desk.ask(lambda tx, era: confirm(tx, subject, clock.now(), era=era))
        return self._page(request, opt_in, language)

    def _page(self, request: Request, opt_in: Any, language: str) -> Reply | None:
        if opt_in is None:
            return None
        # The mail's own language, unless the page's link asked for another.
        if b"lang=" not in request.query and opt_in.language in LANGUAGES:
            language = opt_in.language
        return self._pages.confirmation(language, opt_in.state, opt_in.wording)


def find(tx: Connection, opt_in_id: UUID, time: datetime) -> Any:
    """The opt-in as its page shows it: open, confirmed or expired; None where there is none."""
    return tx.execute(_queries["asked_opt_in"], {"opt_in_id": opt_in_id, "time": time}).fetchone()


def confirm(tx: Connection, opt_in_id: UUID, time: datetime, *, era: int) -> Any:
    """Write the consent down, once, with an event that tells of it; what ``find`` gives, then."""
    opt_in = find(tx, opt_in_id, time)
    source = find_source(tx, "horizon")
    if opt_in is None or opt_in.state != "open" or source is None:
        return opt_in
    event = _event_of(opt_in, source, opt_in_id, time)
    store(tx, [event], era=era)
    values = {"opt_in_id": opt_in_id, "time": time, "event_id": event.event_id}
    tx.execute(_queries["confirm_opt_in"], values)
    return opt_in._replace(state="done")


def _event_of(opt_in: Any, source: Source, opt_in_id: UUID, time: datetime) -> Any:
    return internal_event(
        source,
        "Consent Confirmed",
        message_id=f"confirmed:{opt_in_id}",
        node=opt_in.node,
        time=time,
        properties={"purpose": opt_in.purpose, "channel": opt_in.channel, "way": "opt_in"},
    )
