"""The settings that Segment's browser and mobile SDKs ask for before they send."""

from __future__ import annotations

import re
from typing import Final

from horizon.edge.admission import Admission
from horizon.serving.http import Refusal, Reply, Request, json_reply

ADDRESS: Final = re.compile(r"/v1/projects/([^/]+)/settings")

_KEPT: Final = {"cache-control": "public, max-age=120"}


class ProjectSettings:
    def __init__(self, admission: Admission, public_url: str) -> None:
        self._admission = admission
        self._public_url = public_url

    async def answer(self, request: Request, key: str) -> Reply:
        """For whoever may send with this key. Raises Refusal and Unavailable."""
        if request.method not in ("GET", "HEAD"):
            raise Refusal(405, "wrong_method", "Fetch it with GET.", {"allow": "GET, HEAD"})
        try:
            source = await self._admission.source(key, request.headers)
        except Refusal as refusal:
            if refusal.code != "unknown_key":
                raise
            raise Refusal(404, "unknown_key", refusal.message) from refusal
        if source.kind != "public":
            raise Refusal(
                403, "secret_key",
                f"The key of {source.name} has to stay secret, and here anybody can read it: use "
                "that of a public source (`horizon source add NAME --kind public`), and give "
                f"{source.name} a new one.",
            )  # fmt: skip
        return json_reply(200, settings_of(key, self._public_url), _KEPT)


def settings_of(key: str, public_url: str) -> dict[str, object]:
    """What an SDK needs to send here and nowhere else.

    Without ``metrics`` a page reports on itself to Segment's host, and without ``integrations`` the
    SDK does not start.
    """
    protocol, _, host = public_url.partition("://")
    api = f"{host}/v1"
    return {
        "integrations": {
            "Segment.io": {"apiKey": key, "apiHost": api, "protocol": protocol},
        },
        "metrics": {"sampleRate": 0, "host": api, "protocol": protocol},
        "plan": {},
    }
