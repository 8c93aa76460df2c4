"""The link of a mail that asks whether a wish was its reader's own: the opt-in's second half."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from html import escape
from typing import Any
from uuid import UUID

from horizon import clock, links
from horizon.edge.held import Desk, Unavailable
from horizon.edge.http import Refusal, Reply, Request, json_reply
from horizon.edge.pages import page
from horizon.events.model import Source, internal_event
from horizon.events.sources import find_source
from horizon.events.store import store
from horizon.postgres.database import Connection
from horizon.postgres.queries import Queries

BODY_BYTES = 65_536

_queries = Queries("horizon.edge")


class ConfirmLink:
    """GET and HEAD change nothing, since mail scanners follow links; POST confirms."""

    def __init__(self, desk: Desk, link_keys: Sequence[bytes], brand: str) -> None:
        self._desk = desk
        self._keys = link_keys
        self._brand = escape(brand)

    async def answer(self, request: Request, token: str) -> Reply:
        if request.method not in ("GET", "HEAD", "POST"):
            return json_reply(
                405, {"code": "wrong_method", "message": "Open the link, or POST to it."},
                {"allow": "GET, HEAD, POST"},
            )  # fmt: skip
        verified = links.verify(self._keys, token)
        if verified is None or verified[1] != "confirm":
            return self._page("unknown")
        try:
            return await self._told(request, verified[0])
        except Refusal as refusal:
            return refusal.reply()
        except Unavailable:
            return self._page("again")

    async def _told(self, request: Request, opt_in_id: UUID) -> Reply:
        if request.method == "POST":
            await request.read(BODY_BYTES)
            work = confirm
        else:
            work = find
        opt_in = await self._desk.ask(lambda tx, era: work(tx, opt_in_id, clock.now(), era=era))
        if opt_in is None:
            return self._page("unknown")
        return self._page(opt_in.state, opt_in.language, opt_in.wording)

    def _page(self, name: str, language: str = "en", wording: str = "") -> Reply:
        status, title, text = _WORDS[language if language in _WORDS else "en"][name]
        content = text.strip().format(brand=self._brand, wording=escape(wording))
        headers = {"retry-after": "30"} if name == "again" else None
        return page(status, self._brand, title, content, headers, language)


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


_FORM = '<form method="post"><button type="submit">{}</button></form>\n<p class="note">{}</p>'
_FORMS = {
    "en": _FORM.format("Yes, I agree", "It was not you? Close the page and nothing is sent."),
    "de": _FORM.format(
        "Ja, einverstanden", "Das waren nicht Sie? Schließen Sie die Seite, und es kommt nichts."
    ),
}

# By language and page: status, title, content. {brand} and {wording} are put in, both escaped.
_WORDS: dict[str, dict[str, tuple[int, str, str]]] = {
    "en": {
        "open": (200, "Do you want these mails?", f"""
<p>Somebody asked {{brand}} to write to the address that got the link. If that was you, press the
button:</p>
<p>{{wording}}</p>
{_FORMS["en"]}"""),
        "done": (200, "Thank you, it is confirmed", """
<p>{brand} has written down your answer:</p>
<p>{wording}</p>
<p>Every mail has a link to unsubscribe.</p>"""),
        "confirmed": (200, "This is confirmed already", """
<p>There is nothing else to do. If you unsubscribed since, nothing is sent: ask for the mails once
more.</p>"""),
        "expired": (410, "This link is too old", """
<p>It worked for 30 days. Nothing is sent to you; if you want the mails, ask for them once
more.</p>"""),
        "unknown": (404, "This link does not work", """
<p>A part of it may be missing. Open it once more from the mail.</p>"""),
        "again": (503, "That did not work just now", f"""
<p>Your answer could not be written down. Please try again in a minute.</p>
{_FORMS["en"]}"""),
    },
    "de": {
        "open": (200, "Möchten Sie diese E-Mails?", f"""
<p>Jemand hat {{brand}} gebeten, an die Adresse zu schreiben, die den Link bekam. Wenn Sie das
waren, drücken Sie den Knopf:</p>
<p>{{wording}}</p>
{_FORMS["de"]}"""),
        "done": (200, "Danke, das ist bestätigt", """
<p>{brand} hat Ihre Antwort festgehalten:</p>
<p>{wording}</p>
<p>In jeder E-Mail ist ein Link zum Abmelden.</p>"""),
        "confirmed": (200, "Das ist schon bestätigt", """
<p>Es ist nichts weiter zu tun. Wenn Sie sich seitdem abgemeldet haben, kommt nichts: Melden Sie
sich dann noch einmal an.</p>"""),
        "expired": (410, "Dieser Link ist zu alt", """
<p>Er galt 30 Tage. Sie bekommen nichts; wenn Sie die E-Mails möchten, melden Sie sich noch einmal
an.</p>"""),
    },
}  # fmt: skip
