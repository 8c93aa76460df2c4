"""``horizon up`` ships the log where ES_URL is set, and comes up where the server is away."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from horizon.observe.shipper.state import lag
from horizon.settings import Settings
from tests.e2e.horizon_command import Command, wait_until
from tests.servers.bulk_endpoint import BulkEndpoint

pytestmark = pytest.mark.slow


def test_up_ships_the_log(tmp_path: Path, settings: Settings) -> None:
    with BulkEndpoint() as endpoint:
        command = Command(tmp_path, settings, PIPELINE_CRON="* * * * * *", ES_URL=endpoint.url)
        with command.up():
            wait_until(lambda: any(one["stage"] == "score" for one in endpoint.documents.values()))
            assert lag(settings).running
        refused = command("ship", "--once")
        assert refused.returncode == 0, refused.stderr
        lines = settings.log_path.read_text().splitlines()
        assert len(endpoint.documents) == len(lines)
    assert not lag(settings).running
    assert lag(settings).lines == 0


def test_up_comes_up_while_the_search_server_is_away(
    tmp_path: Path, settings: Settings, free_port: Callable[[], int]
) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    command = Command(tmp_path, settings, PIPELINE_CRON="* * * * * *", ES_URL=url)
    with command.up() as process:
        wait_until(lambda: lag(settings).lines > 0)
        wait_until(lambda: (status := lag(settings).status) is not None and status.server == "away")
        assert process.poll() is None
        second = command("ship", "--once")
        assert second.returncode == 1
        assert "A shipper runs already" in second.stderr
