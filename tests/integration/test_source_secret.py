"""`horizon source secret`, and the collector that believes what it signed."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterator

import pytest

from horizon import keys
from horizon.cli import main
from horizon.events.nodes import node_of
from horizon.events.secrets import opened_secrets
from horizon.events.sources import add_source
from horizon.postgres.database import Role
from horizon.serving import known_keys
from tests.servers.collector import Application
from tests.world import World

Said = pytest.CaptureFixture[str]


@pytest.fixture
def site(here: World) -> str:
    with here.horizon.database.transaction(Role.WORKER) as tx:
        return add_source(tx, "site", "public")


@pytest.fixture
def app(here: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[Application]:
    monkeypatch.setattr(known_keys, "FRESH_S", 0.0)
    with Application(here.horizon.settings.changed(VERIFIED_ONLY="user_id")) as running:
        yield running


def secret(*words: str) -> int:
    return main.run(["source", "secret", *words])


def made(said: Said, *words: str) -> tuple[str, str]:
    assert secret(*words) == 0
    out = said.readouterr().out
    found = re.search(r"again: ([0-9a-f]{64})", out)
    assert found
    return found[1], out


def hashed(secret: str, user_id: str = "ann") -> str:
    return hmac.new(secret.encode(), user_id.encode(), hashlib.sha256).hexdigest()


def is_believed(here: World, app: Application, key: str, secret: str) -> bool:
    item = {
        "userId": "ann", "anonymousId": "a1", "event": "Seen", "context": {"userHash": hashed(secret)},
    }  # fmt: skip
    answer = app.post("/v1/track", item, key)
    assert answer.json == {"success": True, "rejected": []}
    (row,) = here.rows("SELECT nodes, context FROM events ORDER BY received_at DESC LIMIT 1")
    assert "userHash" not in row.context
    believed = node_of(here.horizon.keys.node, "user_id", "ann") in row.nodes
    assert believed != ("identityError" in row.context)
    return believed


def test_two_secrets_hold_while_a_server_gets_the_new_one(
    here: World, site: str, app: Application, capsys: Said
) -> None:
    assert not is_believed(here, app, site, "x")
    first, said = made(capsys, "site")
    assert "old one" not in said
    assert is_believed(here, app, site, first)
    second, said = made(capsys, "site")
    assert "is believed until" in said
    assert second != first
    assert is_believed(here, app, site, first)
    assert is_believed(here, app, site, second)
    assert secret("site") == 2
    assert "--finish" in capsys.readouterr().err
    assert secret("site", "--finish") == 0
    assert not is_believed(here, app, site, first)
    assert is_believed(here, app, site, second)
    third, said = made(capsys, "site", "--old-until", "now")
    assert not is_believed(here, app, site, second)
    assert is_believed(here, app, site, third)
    assert [row.action for row in here.rows("SELECT action FROM audit ORDER BY audit_id")] == [
        "source:secret:made", "source:secret:made", "source:secret:ended", "source:secret:made",
    ]  # fmt: skip


def test_it_is_kept_encrypted_for_its_source_and_installation(
    here: World, site: str, capsys: Said
) -> None:
    said, _ = made(capsys, "site")
    (row,) = here.rows("SELECT source_id, box FROM source_secrets")
    assert said.encode() not in bytes(row.box)
    assert said not in repr(here.rows("SELECT * FROM audit"))
    link = here.horizon.keys.link
    assert opened_secrets(link, row.source_id, [row.box]) == (said,)
    assert opened_secrets(link, row.source_id + 1, [row.box]) == ()
    assert opened_secrets(bytes(keys.KEY_BYTES), row.source_id, [row.box, row.box]) == ()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["nobody"], "There is no source 'nobody'"),
        (["shop"], "believed unsigned"),
        (["horizon"], "has no key"),
        (["site", "--finish"], "no old secret"),
        (["site", "--finish", "--old-until", "now"], "leave --old-until out"),
        (["site", "--old-until", "2001-01-01"], "is over already"),
    ],
)
def test_what_cannot_be_done_is_said(
    here: World, site: str, capsys: Said, words: list[str], told: str
) -> None:
    assert site
    with here.horizon.database.transaction(Role.WORKER) as tx:
        add_source(tx, "shop", "server")
    assert secret(*words) == 2
    assert told in " ".join(capsys.readouterr().err.split())
    assert here.rows("SELECT FROM source_secrets") == []
