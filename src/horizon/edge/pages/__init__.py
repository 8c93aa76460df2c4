"""The pages that a person sees who opens a link of ours. They work without JavaScript."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from datetime import datetime, timedelta
from http import HTTPStatus
from pathlib import Path

import jinja2

from horizon.edge.holding import Holding, Saved
from horizon.edge.language import LANGUAGES, day_of, words
from horizon.edge.purposes import PurposeWords, purpose_words
from horizon.edge.wishes import MARK, OTHER, PAUSE_DAYS, every_name
from horizon.serving.http import Reply

TEMPLATES = Path(__file__).parent / "templates"
_STYLE = (TEMPLATES / "style.css").read_text()
_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_HEADERS = {
    "content-type": "text/html; charset=utf-8",
    "cache-control": "no-store",
    "content-security-policy": (
        f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; form-action 'self'; "
        "base-uri 'none'; frame-ancestors 'none'"
    ),
    "referrer-policy": "no-referrer",  # the address holds the token
    "x-content-type-options": "nosniff",
    "x-robots-tag": "noindex, nofollow",
}
_RETRY_AFTER_S = 30


class Pages:
    """Made once at the start. Every text that is handed in is plain: it is escaped here."""

    def __init__(self, brand: str) -> None:
        self._brand = brand
        self._environments = {language: _environment(language, brand) for language in LANGUAGES}

    def page(
        self,
        language: str,
        title: str,
        *paragraphs: str,
        status: int = HTTPStatus.OK,
        button: str = "",
        note: str = "",
        link: tuple[str, str] | None = None,
        switch: bool = True,
    ) -> Reply:
        """A page of some sentences in that language.

        ``button`` posts to the page's own address; ``note`` stands below it; ``link`` is an address
        and its words. Without ``switch`` no other language is offered: its link is a GET, and
        would not lead to the answer of a POST.
        """
        return self._render(
            language, "message.html", status, title=title, paragraphs=paragraphs, button=button,
            note=note, link=link, switch=switch,
        )  # fmt: skip

    def question(self, language: str, token: str) -> Reply:
        """What a person sees who opens the unsubscribe link."""
        _ = words(language).gettext
        return self.page(
            language,
            _("Stop these emails?"),
            _(
                "%(brand)s will send no more emails of this kind to the address that got the "
                "link. It takes effect at once."
            )
            % {"brand": self._brand},
            button=_("Unsubscribe"),
            note=_("You opened this by mistake? Close the page and nothing changes."),
            link=(_preferences(token), _("Fewer emails instead, or only some kinds?")),
        )

    def done(self, language: str, token: str) -> Reply:
        _ = words(language).gettext
        return self.page(
            language,
            _("You are unsubscribed"),
            _("%(brand)s will send no more emails of this kind to this address.")
            % {"brand": self._brand},
            _("There is nothing else to do; you can close this page."),
            link=(_preferences(token), _("See and change everything you agreed to")),
            switch=False,
        )

    def unknown_link(self, language: str) -> Reply:
        _ = words(language).gettext
        return self.page(
            language,
            _("This link does not work"),
            _(
                "A part of it may be missing. Open it once more from the email, or use the link "
                "of a newer one."
            ),
            status=HTTPStatus.NOT_FOUND,
        )

    def try_again(self, language: str, button: str = "") -> Reply:
        """``button`` repeats a POST that has no body, in the words of what it does."""
        _ = words(language).gettext
        reply = self.page(
            language,
            _("That did not work just now"),
            _("Nothing could be read or saved. Please try again in a minute."),
            status=HTTPStatus.SERVICE_UNAVAILABLE,
            button=button,
        )
        return Reply(
            reply.status, reply.body, {**reply.headers, "retry-after": str(_RETRY_AFTER_S)}
        )

    def confirmation(self, language: str, state: str, wording: str) -> Reply:
        """An opt-in as it stands: open, done just now, confirmed before, or expired."""
        _ = words(language).gettext
        brand = {"brand": self._brand}
        if state == "open":
            asked = _(
                "Somebody asked %(brand)s to write to the address that got the link. If that was "
                "you, press the button:"
            )
            return self.page(
                language, _("Do you want these emails?"), asked % brand, wording,
                button=_("Yes, I agree"),
                note=_("It was not you? Close the page and nothing is sent."),
            )  # fmt: skip
        if state == "done":
            said = _("%(brand)s has written down your answer:") % brand
            link = _("Every email has a link to unsubscribe.")
            title = _("Thank you, it is confirmed")
            return self.page(language, title, said, wording, link, switch=False)
        if state == "confirmed":
            said = _(
                "There is nothing else to do. If you unsubscribed since, nothing is sent: ask for "
                "the emails once more."
            )
            return self.page(language, _("This is confirmed already"), said)
        old = _(
            "It worked for 30 days. Nothing is sent to you; if you want the emails, ask for them "
            "once more."
        )
        return self.page(language, _("This link is too old"), old, status=HTTPStatus.GONE)

    def purpose(self, purpose: str, titles: Mapping[str, str], language: str) -> PurposeWords:
        return purpose_words(purpose, titles, self._brand, language)

    def preferences(
        self,
        language: str,
        holding: Holding,
        now: datetime,
        *,
        saved: Saved | None = None,
        unread: bool = False,
    ) -> Reply:
        """The form as things are; after a save, with what holds now; ``unread`` with an error."""
        pause = holding.state.pause_at(now)
        named = {
            purpose: self.purpose(purpose, titles, language)
            for purpose, titles in holding.titles.items()
        }
        return self._render(
            language, "preferences.html", HTTPStatus.BAD_REQUEST if unread else HTTPStatus.OK,
            holding=holding, named=named, saved=saved, unread=unread, switch=True, mark=MARK,
            every=every_name(holding.state.every_days), other=OTHER,
            paused_until=pause and day_of(pause, language),
            pause_end=day_of(now + timedelta(days=PAUSE_DAYS), language), pause_days=PAUSE_DAYS,
        )  # fmt: skip

    def _render(self, language: str, template: str, status: int, **values: object) -> Reply:
        html = self._environments[language].get_template(template).render(values)
        return Reply(status, html.encode(), {**_HEADERS, "content-language": language})


def _environment(language: str, brand: str) -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
        extensions=["jinja2.ext.i18n"],
    )
    environment.install_gettext_translations(words(language), newstyle=True)  # type: ignore[attr-defined]
    environment.globals.update(language=language, languages=LANGUAGES, brand=brand, style=_STYLE)
    return environment


def _preferences(token: str) -> str:
    """From /u/TOKEN, whatever stands before it in TRACKING_URL."""
    return f"../p/{token}"
