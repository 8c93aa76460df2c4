"""A real OpenSearch 2.19 and a real Elasticsearch 8.19, each started when a test first asks for it.

``opensearch`` and ``elasticsearch`` give a server without any index; ``search_server`` runs a test
on both. All of them take seconds to start, so what uses them is marked slow.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator

import pytest

from bench.search_server import Elasticsearch, NoSearchServerError, OpenSearch
from bench.search_server import SearchServer as SearchServer


def serving(kind: type[SearchServer], free_port: Callable[[], int]) -> Iterator[SearchServer]:
    try:
        server = kind(free_port)
    except NoSearchServerError as exc:
        if os.environ.get("CI") == "true" and shutil.which("javac") and shutil.which("mvn"):
            pytest.fail(str(exc))
        pytest.skip(str(exc))
    try:
        server.start()
        yield server
    finally:
        server.remove()


def _emptied(server: SearchServer) -> SearchServer:
    if not server.alive():  # a test killed it
        server.start()
    server.empty()
    return server


@pytest.fixture(scope="session")
def opensearch_server(free_port: Callable[[], int]) -> Iterator[SearchServer]:
    yield from serving(OpenSearch, free_port)


@pytest.fixture(scope="session")
def elasticsearch_server(free_port: Callable[[], int]) -> Iterator[SearchServer]:
    yield from serving(Elasticsearch, free_port)


@pytest.fixture
def opensearch(opensearch_server: SearchServer) -> SearchServer:
    """The session's OpenSearch, without any index."""
    return _emptied(opensearch_server)


@pytest.fixture
def elasticsearch(elasticsearch_server: SearchServer) -> SearchServer:
    """The session's Elasticsearch, without any index."""
    return _emptied(elasticsearch_server)


@pytest.fixture(params=["opensearch", "elasticsearch"])
def search_server(request: pytest.FixtureRequest) -> SearchServer:
    """Each of the two in turn, without any index."""
    server: SearchServer = request.getfixturevalue(request.param)
    return server
