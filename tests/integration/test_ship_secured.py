"""The shipper and a real Elasticsearch that wants TLS and to know who asks."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from horizon.log import LineFile, log_to
from horizon.observe.shipper import bulk, run
from horizon.observe.shipper.run import Shipped, Shipper
from horizon.settings import Settings
from tests.parts import certificate
from tests.search_server import serving
from tests.secured_server import USERS, SecuredElasticsearch

pytestmark = pytest.mark.slow

SHIPPER = {"ES_USER": "shipper", "ES_PASSWORD": USERS["shipper"]}


@pytest.fixture(scope="module")
def server(free_port: Callable[[], int]) -> Iterator[SecuredElasticsearch]:
    yield from serving(SecuredElasticsearch, free_port)


@pytest.fixture
def settings(
    server: SecuredElasticsearch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Settings:
    monkeypatch.setattr(run, "ATTEMPTS_ONCE", 1)
    server.empty()
    log = tmp_path / "logs" / "cdp_events.log"
    for number in range(3):
        log_to(LineFile(log)).info("line", count=number)
    return Settings(
        HORIZON_HOME=str(tmp_path / "home"), LOG_PATH=str(log), ES_URL=server.url,
        ES_CA=str(server.authority),
    )  # fmt: skip


def ship(settings: Settings) -> Shipped:
    return Shipper(settings, once=True, stop=threading.Event()).run()


def test_a_user_with_the_documented_role_ships(
    server: SecuredElasticsearch, settings: Settings
) -> None:
    assert ship(settings.changed(**SHIPPER)).indexed == 3
    assert len(server.documents()) == 3


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, r"does not know who asks \(401\): set ES_API_KEY, or ES_USER"),
        ({"ES_USER": "shipper", "ES_PASSWORD": "wrong"}, r"does not know who asks \(401\)"),
        ({"ES_API_KEY": "id:wrong"}, r"does not know who asks \(401\)"),
        (
            {"ES_USER": "looker", "ES_PASSWORD": USERS["looker"]},
            r"forbids it \(403: .*\): give the account manage_index_templates, and",
        ),
    ],
)
def test_who_may_not_is_told_what_to_set(
    server: SecuredElasticsearch, settings: Settings, given: dict[str, str], said: str
) -> None:
    with pytest.raises(bulk.GaveUpError, match=said):
        ship(settings.changed(**given))
    assert server.documents() == {}


def test_a_password_that_is_changed_holds_the_log_back(
    server: SecuredElasticsearch, settings: Settings
) -> None:
    ship(settings.changed(**SHIPPER))
    log_to(LineFile(settings.log_path)).info("line", count=3)
    with pytest.raises(bulk.GaveUpError, match=r"\(401\)"):
        ship(settings.changed(ES_USER="shipper", ES_PASSWORD="yesterday's"))
    assert ship(settings.changed(**SHIPPER)).indexed == 1
    assert len(server.documents()) == 4


def test_a_certificate_of_another_authority_is_refused(settings: Settings, tmp_path: Path) -> None:
    other, _ = certificate(tmp_path / "other")
    with pytest.raises(bulk.GaveUpError, match=r"proves nothing .*: set ES_CA"):
        ship(settings.changed(ES_CA=str(other), **SHIPPER))
