"""What all signed links in mails share: who may ask, and what is answered when it fails."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar
from uuid import UUID

from horizon import links
from horizon.edge.language import language_of, words
from horizon.edge.pages import Pages
from horizon.serving.held import Desk, Unavailable
from horizon.serving.http import Refusal, Reply, Request, wrong_link_method

BODY_BYTES = 65_536


class SignedLink:
    """GET and HEAD change nothing, since mail scanners follow links; POST does.

    Nobody's browser can be made to POST unasked (CSRF): what allows it is the token in the
    address, which another site does not know, and no cookie that a browser would add by itself.
    """

    purpose: ClassVar[links.Purpose]
    button: ClassVar[str] = ""  # what repeats the POST when nothing could be written: a msgid

    def __init__(self, desk: Desk, link_keys: Sequence[bytes], pages: Pages) -> None:
        self._desk = desk
        self._keys = link_keys
        self._pages = pages

    async def answer(self, request: Request, token: str) -> Reply:
        if request.method not in ("GET", "HEAD", "POST"):
            return wrong_link_method()
        language = language_of(request)
        verified = links.verify(self._keys, token)
        if verified is None or verified[1] != self.purpose:
            return self._pages.unknown_link(language)
        try:
            if request.method == "POST":
                reply = await self._take(request, verified[0], language, token)
            else:
                reply = await self._show(request, verified[0], language, token)
        except Refusal as refusal:
            return refusal.reply()
        except Unavailable:
            button = words(language).gettext(self.button) if self.button else ""
            return self._pages.try_again(language, button)
        return self._pages.unknown_link(language) if reply is None else reply

    async def _show(
        self, request: Request, subject: UUID, language: str, token: str
    ) -> Reply | None:
        """The page; None where what the token names is not there."""
        raise NotImplementedError

    async def _take(
        self, request: Request, subject: UUID, language: str, token: str
    ) -> Reply | None:
        """What a POST does; None as above. Raises Refusal, Unavailable."""
        raise NotImplementedError
