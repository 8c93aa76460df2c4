"""``horizon up`` sends on from the first ``horizon forward add``, and again after a kill."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from horizon.alone import holder
from horizon.settings import Settings
from tests.e2e.horizon_command import Command, wait_until
from tests.servers.collector import Collector
from tests.servers.segment_endpoint import SegmentEndpoint

pytestmark = pytest.mark.slow


def test_up_sends_on_from_the_first_forward(tmp_path: Path, settings: Settings) -> None:
    command = Command(tmp_path, settings)
    lock = settings.home / "forward.lock"
    with SegmentEndpoint() as there, command.up():
        assert holder(lock) is None
        key = command("source", "add", "shop", "--json")
        assert key.returncode == 0, key.stderr
        added = command("forward", "add", there.url, "--key", "k", "--allow-private")
        assert added.returncode == 0, added.stderr
        wait_until(lambda: bool(holder(lock)))
        collector = Collector(settings)
        body: dict[str, Any] = {"type": "track", "event": "Seen", "userId": "ann"}
        source = json.loads(key.stdout)["key"]
        for number in range(2):
            posted = collector.post("/v1/track", {**body, "messageId": f"m{number}"}, source)
            assert posted.status == 200, posted.body
            wait_until(lambda wanted=number: len(there.once) > wanted)  # type: ignore[misc]
            before = holder(lock)
            assert before
            os.kill(before, signal.SIGKILL)
            wait_until(lambda was=before: holder(lock) not in (None, 0, was))  # type: ignore[misc]
        assert [event["messageId"] for event in there.once] == ["m0", "m1"]
    assert holder(lock) is None
