"""The preference page behind a mail's signed link: what for, how often, a pause, nothing at all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from uuid import UUID

from horizon import clock, links
from horizon.edge.held import Desk, Unavailable
from horizon.edge.holding import Saved, look, save
from horizon.edge.http import Refusal, Reply, Request, wrong_link_method
from horizon.edge.language import LANGUAGES, language_of
from horizon.edge.pages import Pages
from horizon.edge.wishes import Wish, fields_of, read_wish

BODY_BYTES = 65_536


class PreferencesLink:
    """GET and HEAD only look; POST saves.

    Nobody's browser can be made to save unasked (CSRF): what allows it is the token in the
    address, which another site does not know, and no cookie that a browser would add by itself.
    """

    def __init__(self, desk: Desk, link_keys: Sequence[bytes], pages: Pages) -> None:
        self._desk = desk
        self._keys = link_keys
        self._pages = pages

    async def answer(self, request: Request, token: str) -> Reply:
        if request.method not in ("GET", "HEAD", "POST"):
            return wrong_link_method()
        language = language_of(request)
        verified = links.verify(self._keys, token)
        if verified is None or verified[1] != "unsubscribe":
            return self._pages.unknown_link(language)
        try:
            if request.method == "POST":
                return await self._take(request, verified[0], language)
            return await self._show(verified[0], language)
        except Refusal as refusal:
            return refusal.reply()
        except Unavailable:
            return self._pages.try_again(language)

    async def _show(self, message_id: UUID, language: str, *, unread: bool = False) -> Reply:
        now = clock.now()
        holding = await self._desk.ask(lambda tx, _: look(tx, message_id, now))
        if holding is None:
            return self._pages.unknown_link(language)
        return self._pages.preferences(language, holding, now, unread=unread)

    async def _take(self, request: Request, message_id: UUID, language: str) -> Reply:
        fields = fields_of(await request.read(BODY_BYTES))
        if fields is None:
            return await self._show(message_id, language, unread=True)
        shown_in = fields.get("lang", [language])[-1]  # the language of the sentences agreed to
        language = shown_in if shown_in in LANGUAGES else language
        saved = await self._save(message_id, read_wish(fields), language)
        if saved is None:
            return self._pages.unknown_link(language)
        return self._pages.preferences(language, saved.holding, saved.now, saved=saved)

    async def _save(self, message_id: UUID, wish: Wish, language: str) -> Saved | None:
        def wording(purpose: str, titles: Mapping[str, str]) -> str:
            return self._pages.purpose(purpose, titles, language).wording

        return await self._desk.ask(lambda tx, era: save(tx, message_id, wish, wording, era=era))
