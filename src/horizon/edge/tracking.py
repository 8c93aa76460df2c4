"""Opens and clicks: a pixel and redirects. A click goes on at once, whatever can be written."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from uuid import UUID

from horizon import clock, links
from horizon.edge.language import language_of
from horizon.edge.machines import machine_of
from horizon.edge.pages import Pages
from horizon.edge.responses import Fetch, Recorder
from horizon.edge.targets import Targets
from horizon.serving.held import Unavailable
from horizon.serving.http import Reply, Request, json_reply

_COMMON = {
    "cache-control": "no-store",
    "referrer-policy": "no-referrer",  # the address holds the token
    "x-robots-tag": "noindex, nofollow",
}
# One transparent point, the smallest picture that every mail program shows.
PIXEL = Reply(
    200,
    base64.b64decode("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7"),
    {**_COMMON, "content-type": "image/gif", "x-content-type-options": "nosniff"},
)
_WRONG_METHOD = json_reply(
    405, {"code": "wrong_method", "message": "Open the link."}, {"allow": "GET, HEAD"}
)


class TrackingLinks:
    """``/c/TOKEN/TARGET`` and ``/o/TOKEN``. No cookie, no address of the client, no word of it."""

    def __init__(
        self, targets: Targets, recorder: Recorder, link_keys: Sequence[bytes], pages: Pages
    ) -> None:
        self._targets = targets
        self._recorder = recorder
        self._keys = link_keys
        self._pages = pages

    def start(self) -> None:
        self._targets.start()
        self._recorder.start()

    async def stop(self) -> None:
        await self._targets.stop()
        await self._recorder.stop()

    async def click(self, request: Request, rest: str) -> Reply:
        """``rest`` is the address's path from the token on."""
        if request.method not in ("GET", "HEAD"):
            return _WRONG_METHOD
        token, _, target_id = rest.partition("/")
        message_id = self._message_of(token)
        if message_id is None:
            return self._pages.unknown_link(language_of(request))
        try:
            target = await self._targets.find(target_id)
        except Unavailable:
            return self._pages.try_again(language_of(request))
        if target is None:
            return self._pages.unknown_link(language_of(request))
        self._recorder.note(
            Fetch(
                "click", message_id, int(target_id), target.url,
                machine_of(request.method, request.headers), clock.now(),
            )
        )  # fmt: skip
        return Reply(302, headers={**_COMMON, "location": target.location})

    async def open(self, request: Request, token: str) -> Reply:
        if request.method not in ("GET", "HEAD"):
            return _WRONG_METHOD
        message_id = self._message_of(token)
        if message_id is None:
            return self._pages.unknown_link(language_of(request))
        machine = machine_of(request.method, request.headers)
        self._recorder.note(Fetch("open", message_id, None, None, machine, clock.now()))
        return PIXEL

    def _message_of(self, token: str) -> UUID | None:
        verified = links.verify(self._keys, token)
        return verified[0] if verified is not None and verified[1] == "track" else None
