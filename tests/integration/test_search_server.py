"""The servers that the tests start are what they say, and survive what the tests do to them."""

from __future__ import annotations

import pytest

from tests.search_server import SearchServer

pytestmark = pytest.mark.slow


def test_it_keeps_documents_and_survives_a_kill(search_server: SearchServer) -> None:
    search_server.ask("PUT", "/cdp_events/_doc/1?refresh=true", {"stage": "score"})
    assert search_server.documents() == {"1": {"stage": "score"}}
    search_server.kill()
    assert not search_server.alive()
    search_server.start()
    assert search_server.documents() == {"1": {"stage": "score"}}
    search_server.empty()
    assert search_server.documents() == {}
