"""The preference page behind a mail's signed link: what for, how often, a pause, nothing at all."""

from __future__ import annotations

from collections.abc import Mapping
from uuid import UUID

from horizon import clock
from horizon.edge.holding import Saved, look, save
from horizon.edge.language import LANGUAGES
from horizon.edge.signed_link import BODY_BYTES, SignedLink
from horizon.edge.wishes import Wish, fields_of, read_wish
from horizon.serving.http import Reply, Request


class PreferencesLink(SignedLink):
    purpose = "unsubscribe"

    async def _show(
        self, _request: Request, subject: UUID, language: str, _token: str
    ) -> Reply | None:
        return await self._form(subject, language)

    async def _form(self, subject: UUID, language: str, *, unread: bool = False) -> Reply | None:
        now = clock.now()
        holding = await self._desk.ask(lambda tx, _: look(tx, subject, now))
        if holding is None:
            return None
        return self._pages.preferences(language, holding, now, unread=unread)

    async def _take(
        self, request: Request, subject: UUID, language: str, _token: str
    ) -> Reply | None:
        fields = fields_of(await request.read(BODY_BYTES))
        if fields is None:
            return await self._form(subject, language, unread=True)
        shown_in = fields.get("lang", [language])[-1]  # the language of the sentences agreed to
        language = shown_in if shown_in in LANGUAGES else language
        saved = await self._save(subject, read_wish(fields), language)
        if saved is None:
            return None
        return self._pages.preferences(language, saved.holding, saved.now, saved=saved)

    async def _save(self, message_id: UUID, wish: Wish, language: str) -> Saved | None:
        def wording(purpose: str, titles: Mapping[str, str]) -> str:
            return self._pages.purpose(purpose, titles, language).wording

        return await self._desk.ask(lambda tx, era: save(tx, message_id, wish, wording, era=era))
