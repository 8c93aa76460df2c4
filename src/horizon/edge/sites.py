"""What SDKs in browsers and phones ask for besides sending events, from pages of any origin."""

from __future__ import annotations

from typing import Final

from horizon.edge.admission import Admission
from horizon.edge.bundle import CHUNKS, MAIN, Bundle
from horizon.edge.pixel import ADDRESSES as PIXELS
from horizon.edge.pixel import Pixel
from horizon.edge.project_settings import ADDRESS as SETTINGS
from horizon.edge.project_settings import ProjectSettings
from horizon.edge.segment import SegmentApi
from horizon.serving.held import Unavailable
from horizon.serving.http import Refusal, Reply, Request, json_reply, unavailable

METRICS: Final = "/v1/m"
METRICS_BYTES: Final = 65_536

_CORS: Final = {"access-control-allow-origin": "*"}
_PREFLIGHT: Final = {
    **_CORS,
    "access-control-allow-methods": "GET, POST, OPTIONS",
    "access-control-allow-headers": "authorization, content-type",
    "access-control-max-age": "86400",
}


class Sites:
    def __init__(self, segment: SegmentApi, admission: Admission, public_url: str) -> None:
        self._pixel = Pixel(segment)
        self._settings = ProjectSettings(admission, public_url)
        self._bundle = Bundle(public_url)

    async def answer(self, request: Request) -> Reply | None:
        """None: the address is none of these."""
        try:
            reply = await self._reply(request)
        except Refusal as refusal:
            reply = refusal.reply()
        except Unavailable:
            reply = unavailable().reply()
        if reply is None:
            return None
        return Reply(reply.status, reply.body, {**reply.headers, **_CORS})

    async def _reply(self, request: Request) -> Reply | None:
        path = request.path
        settings = SETTINGS.fullmatch(path)
        bundle = MAIN.fullmatch(path) or path.startswith(CHUNKS)
        if request.method == "OPTIONS" and (
            settings or bundle or path in PIXELS or path == METRICS
        ):
            return Reply(204, headers=_PREFLIGHT)
        if settings:
            return await self._settings.answer(request, settings[1])
        if bundle:
            return self._bundle.answer(request)
        if path in PIXELS:
            return await self._pixel.answer(request, PIXELS[path])
        return await _drop(request) if path == METRICS else None


async def _drop(request: Request) -> Reply:
    """A page's figures about analytics.js itself: nobody here reads them."""
    if request.method != "POST":
        raise Refusal(405, "wrong_method", "Send metrics with POST.", {"allow": "POST, OPTIONS"})
    await request.read(METRICS_BYTES)
    return json_reply(200, {"success": True})
