"""Calls as pictures, for mails and pages without scripts: GET /v1/pixel/track?data=BASE64."""

from __future__ import annotations

import base64
import binascii
from typing import Final
from urllib.parse import parse_qs

from horizon.edge.segment import CALL_NAMES, SegmentApi
from horizon.edge.tracking import PIXEL
from horizon.serving.http import Refusal, Reply, Request, too_large

ADDRESSES: Final = {f"/v1/pixel/{name}": name for name in CALL_NAMES}

_STANDARD: Final = str.maketrans("-_ ", "+/+")  # of both alphabets; a + in an address is a space


class Pixel:
    def __init__(self, segment: SegmentApi) -> None:
        self._segment = segment

    async def answer(self, request: Request, call: str) -> Reply:
        """A picture where the event is kept, as for any other call an error where not."""
        if request.method not in ("GET", "HEAD"):
            raise Refusal(405, "wrong_method", "Fetch it with GET.", {"allow": "GET, HEAD"})
        if request.method == "HEAD":  # who only asks what is here sends no event
            return PIXEL
        reply = await self._segment.answer(_Told(request, _data(request.query)), call)
        rejected = b'"rejected":[]' not in reply.body
        return reply if reply.status != 200 or rejected else PIXEL


class _Told(Request):
    """The same request as if its data had been posted."""

    def __init__(self, request: Request, body: bytes) -> None:
        self.method = "POST"
        self.path = request.path
        self.query = b""
        self.headers = request.headers
        self._body = body

    async def read(self, limit: int) -> bytes:
        if len(self._body) > limit:
            raise too_large(limit)
        return self._body


def _data(query: bytes) -> bytes:
    """Raises Refusal."""
    values = parse_qs(query.decode("ascii", errors="replace")).get("data", [""])
    text = values[0].translate(_STANDARD).rstrip("=")
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (ValueError, binascii.Error) as exc:
        raise Refusal(
            400, "bad_data", "data is not base64: encode the event's JSON so, with its writeKey."
        ) from exc
