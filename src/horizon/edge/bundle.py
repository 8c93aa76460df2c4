"""analytics.js for web pages, from the address that Segment's snippet asks for it.

The files in ``analytics_js/`` are those of @segment/analytics-next (MIT), unchanged: see
requirements/analytics-js.sh. What is served is fitted to this collector, so that no request of a
page leaves for Segment.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import re
from functools import cache
from importlib import resources
from typing import Final, NamedTuple

from horizon.serving.http import Refusal, Reply, Request

MAIN: Final = re.compile(r"/analytics\.js/v1/[^/]+/(?:platform/)?analytics(?:\.min)?\.js")
CHUNKS: Final = "/analytics-next/bundles/"

_FOLDER: Final = "analytics_js"
_CHUNK: Final = re.compile(r"[\w-]+\.bundle\.[0-9a-f]+\.js")
_TYPE: Final = {"content-type": "text/javascript; charset=utf-8"}
# A chunk's name holds its digest; the bundle's address stays when the bundle changes.
_FOR_EVER: Final = "public, max-age=31536000, immutable"
_AN_HOUR: Final = "public, max-age=3600"

# It finds its own host in its script tag, but only where that begins with https, and takes
# Segment's host otherwise. document.currentScript is null where a page runs it by other means.
_PRELUDE: Final = (
    "!function(){{var s=document.currentScript,"
    'k=s&&s.getAttribute("data-global-segment-analytics-key")||"analytics",'
    "a=window[k]=window[k]||[],m=s&&/^(.+)\\/analytics\\.js\\/v1\\//.exec(s.src);"
    "a._cdn=a._cdn||(m?m[1]:{url})}}();\n"
)
_SEGMENT_API: Final = '"api.segment.io/v1"'  # where it would report its own failures


class _File(NamedTuple):
    body: bytes
    packed: bytes
    digest: str


class Bundle:
    def __init__(self, public_url: str) -> None:
        self._public_url = public_url

    def answer(self, request: Request) -> Reply:
        """For an address that MAIN matches or that begins with CHUNKS. Raises Refusal."""
        if request.method not in ("GET", "HEAD"):
            raise Refusal(405, "wrong_method", "Fetch it with GET.", {"allow": "GET, HEAD"})
        if request.path.startswith(CHUNKS):
            return _reply(request, _chunk(request.path[len(CHUNKS) :]), _FOR_EVER)
        return _reply(request, _main(self._public_url), _AN_HOUR)


def _reply(request: Request, file: _File, kept: str) -> Reply:
    packed = b"gzip" in request.headers.get(b"accept-encoding", b"")
    tag = f'"{file.digest}-gzip"' if packed else f'"{file.digest}"'
    headers = {"etag": tag, "cache-control": kept, "vary": "accept-encoding"}
    if tag.encode() in request.headers.get(b"if-none-match", b""):
        return Reply(304, headers=headers)
    if packed:
        return Reply(200, file.packed, {**headers, **_TYPE, "content-encoding": "gzip"})
    return Reply(200, file.body, {**headers, **_TYPE})


@cache
def _main(public_url: str) -> _File:
    text = _text("standalone.js")
    api = json.dumps(f"{public_url.partition('://')[2]}/v1")
    prelude = _PRELUDE.format(url=json.dumps(public_url))
    return _file(prelude + text.replace(_SEGMENT_API, api))


@cache
def _chunks() -> dict[str, _File]:
    folder = resources.files("horizon.edge") / _FOLDER
    names = [file.name for file in folder.iterdir() if _CHUNK.fullmatch(file.name)]
    return {name: _file(_text(name)) for name in names}


def _chunk(name: str) -> _File:
    found = _chunks().get(name)
    if found is None:
        raise Refusal(404, "not_found", "There is no such part of analytics.js: load it anew.")
    return found


def _text(name: str) -> str:
    return (resources.files("horizon.edge") / _FOLDER / name).read_text()


def _file(text: str) -> _File:
    body = text.encode()
    return _File(body, gzip.compress(body, mtime=0), hashlib.sha256(body).hexdigest()[:32])
