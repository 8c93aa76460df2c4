"""The link of a mail that asks whether a wish was its reader's own: the opt-in's second half."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from horizon import clock, links
from horizon.edge.held import Desk, Unavailable
from horizon.edge.http import Refusal, Reply, Request, wrong_link_method
from horizon.edge.language import LANGUAGES, language_of, words
from horizon.edge.pages import Pages
from horizon.events.model import Source, internal_event
from horizon.events.sources import find_source
from horizon.events.store import store
from horizon.postgres.database import Connection
from horizon.postgres.queries import Queries

BODY_BYTES = 65_536

_queries = Queries("horizon.edge")


class ConfirmLink:
    """GET and HEAD change nothing, since mail scanners follow links; POST confirms."""

    def __init__(self, desk: Desk, link_keys: Sequence[bytes], pages: Pages) -> None:
        self._desk = desk
        self._keys = link_keys
        self._pages = pages

    async def answer(self, request: Request, token: str) -> Reply:
        if request.method not in ("GET", "HEAD", "POST"):
            return wrong_link_method()
        language = language_of(request)
        verified = links.verify(self._keys, token)
        if verified is None or verified[1] != "confirm":
            return self._pages.unknown_link(language)
        try:
            return await self._told(request, verified[0], language)
        except Refusal as refusal:
            return refusal.reply()
        except Unavailable:
            return self._pages.try_again(language, words(language).gettext("Yes, I agree"))

    async def _told(self, request: Request, opt_in_id: UUID, language: str) -> Reply:
        if request.method == "POST":
            await request.read(BODY_BYTES)
            work = confirm
        else:
            work = find
        opt_in = await self._desk.ask(lambda tx, era: work(tx, opt_in_id, clock.now(), era=era))
        if opt_in is None:
            return self._pages.unknown_link(language)
        # The mail's own language, unless the page's link asked for another.
        if b"lang=" not in request.query and opt_in.language in LANGUAGES:
            language = opt_in.language
        return self._pages.confirmation(language, opt_in.state, opt_in.wording)


def find(tx: Connection, opt_in_id: UUID, time: datetime, *, era: int) -> Any:  # noqa: ARG001
    """The opt-in as its page shows it: open, confirmed or expired; None where there is none."""
    return tx.execute(_queries["asked_opt_in"], {"opt_in_id": opt_in_id, "time": time}).fetchone()


def confirm(tx: Connection, opt_in_id: UUID, time: datetime, *, era: int) -> Any:
    """Write the consent down, once, with an event that tells of it; what ``find`` gives, then."""
    opt_in = find(tx, opt_in_id, time, era=era)
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
