"""A Segment-compatible endpoint on loopback that answers by what a batch holds."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

from tests.servers.http_recorder import HttpRecorder, Request, Say, answer

Events = list[dict[str, Any]]
Judge = Callable[[Events], bytes | Say | None]

TAKEN = answer(200, body=b'{"success":true}')


class SegmentEndpoint(HttpRecorder):
    """``judge`` is asked before the answer: None takes the batch. A batch is noted in ``batches``
    whatever the answer, and its events in ``events`` where it was taken."""

    def __init__(self, judge: Judge = lambda _: None) -> None:
        super().__init__()
        self.judge = judge
        self.batches: list[Events] = []
        self.events: Events = []

    @property
    def url(self) -> str:
        return f"http://{self.place}"

    def _next(self, request: Request) -> bytes | Say:
        assert request.path.partition("?")[0] == "/v1/batch", request.path
        batch = json.loads(request.body)["batch"]
        self.batches.append(batch)
        said = self.judge(batch)
        if said is None:
            self.events += batch
        return said or TAKEN

    @property
    def once(self) -> Events:
        """As a receiver that knows messageIds counts them: each where it came first."""
        return list({event["messageId"]: event for event in reversed(self.events)}.values())[::-1]


def key_of(request: Request) -> str:
    scheme, _, text = request.headers["authorization"].partition(" ")
    assert scheme == "Basic"
    return base64.b64decode(text).decode()
