"""Settings and the tokens of the profile API, on their screens."""

from __future__ import annotations

import re
from typing import Any

import pytest

from horizon.events.sources import key_digest
from horizon.postgres.database import Database, Role
from tests.console_people import console as console
from tests.servers.console import PASSWORD, Console, Visitor

AT = "/settings/tokens"


@pytest.fixture(scope="module")
def engineer(console: Console, module_database: Database) -> Visitor:
    visitor = console.person(module_database, "engineer")
    visitor.post("/account/again", {"password": PASSWORD})
    return visitor


def kept(database: Database, name: str) -> list[Any]:
    with database.transaction(Role.CONSOLE) as tx:
        return tx.execute("SELECT * FROM read_tokens WHERE name = %s", [name]).fetchall()


def test_a_token_is_shown_once_and_kept_as_its_digest(
    engineer: Visitor, module_database: Database
) -> None:
    assert "No token yet" in engineer.get(AT).text
    values = {"name": "shop", "scopes": ["traits:read", "scores:read"], "days": "30"}
    token = re.search(r"hzr_[0-9a-f]{40}", engineer.post(f"{AT}/add", values, at=AT).text)
    assert token is not None
    (row,) = kept(module_database, "shop")
    assert bytes(row.token_sha256) == key_digest(token[0])
    assert row.scopes == ["traits:read", "scores:read"]
    assert (row.expires_at - row.created_at).days == 30
    page = engineer.get(AT).text
    assert "shop" in page
    assert token[0] not in page
    with module_database.transaction(Role.CONSOLE) as tx:
        entry = tx.execute("SELECT * FROM audit WHERE action = 'token:added'").fetchone()
    assert (entry.actor, entry.object) == ("console:engineer@example.com", "shop")
    assert token[0] not in str(entry.details)


def test_a_revoked_token_s_name_is_free_again(engineer: Visitor, module_database: Database) -> None:
    values = {"name": "desk", "scopes": ["traits:read"], "days": "90"}
    engineer.post(f"{AT}/add", values, at=AT)
    assert "of this name already" in engineer.post(f"{AT}/add", values, at=AT).text
    engineer.post(f"{AT}/revoke", {"name": "desk"}, at=AT)
    assert kept(module_database, "desk")[0].revoked_at is not None
    engineer.post(f"{AT}/revoke", {"name": "desk"}, at=AT)
    assert "No token of this name is in use" in engineer.get(AT).text
    engineer.post(f"{AT}/add", values, at=AT)
    assert len(kept(module_database, "desk")) == 2


@pytest.mark.parametrize(
    "wrong",
    [{"name": ""}, {"name": "Big"}, {"name": "<script>"}, {"name": "x" * 64}, {"name": "a'; --"},
     {"scopes": []}, {"scopes": ["everything"]}, {"days": "36500"}, {"days": "x"}, {"days": ""}],
)  # fmt: skip
def test_what_makes_no_token_is_told(
    wrong: dict[str, Any], engineer: Visitor, module_database: Database
) -> None:
    values = {"name": "wrong", "scopes": ["traits:read"], "days": "90", **wrong}
    answer = engineer.post(f"{AT}/add", values, at=AT)
    assert answer.status_code == 200
    assert "errorlist" in answer.text
    assert "hzr_" not in re.sub(r"hzr_\w{6}…", "", answer.text)
    assert kept(module_database, "wrong") == []


def test_the_password_is_asked_before_a_token_is_made(
    console: Console, module_database: Database
) -> None:
    visitor = console.person(module_database, "engineer", email="fresh@example.com")
    values = {"name": "early", "scopes": ["traits:read"], "days": "90"}
    answer = visitor.post(f"{AT}/add", values, at=AT)
    assert answer.headers["Location"].startswith("/account/again")
    assert kept(module_database, "early") == []


def test_an_auditor_reads_the_tokens_and_makes_none(
    console: Console, module_database: Database
) -> None:
    text = console.person(module_database, "auditor").get(AT).text
    assert "Make a token" not in text
    assert "Revoke" not in text


def test_settings_are_shown_without_their_secrets(
    console: Console, engineer: Visitor, module_database: Database
) -> None:
    text = engineer.get("/settings").text
    assert module_database.dsn not in text
    assert re.search(r'id="PG_DSN">.*?•••.*?chosen here', text)
    assert re.search(r'id="WINDOW_DAYS">.*?<td>14', text)
    assert re.search(r'id="MAILGUN_API_KEY">.*?not set', text)
