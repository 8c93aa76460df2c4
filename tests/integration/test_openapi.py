"""The OpenAPI document, and the running API held against it: schemathesis asks what it allows and
what it forbids, with all of its checks."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import jsonschema
import pytest

from horizon.api.openapi import document
from horizon.api.scopes import Scope
from horizon.api.tokens import add_token
from horizon.postgres.database import Role
from tests.servers.collector import ProfileApi
from tests.world import DAY, NOW, World

# The server itself answers 414 or 431 to an address that is too long, of the right form or not.
TOO_LONG = """
[checks.negative_data_rejection]
expected-statuses = [400, 401, 403, 404, 405, 414, 431]
[checks.positive_data_acceptance]
expected-statuses = [200, 401, 403, 404, 414, 431]
"""
PARTS = ("", "/traits", "/events", "/identifiers", "/segments", "/scores", "/messages")


def test_the_document_names_each_part() -> None:
    described = json.loads(document())
    assert described["openapi"] == "3.1.0"
    assert set(described["paths"]) == {f"/v1/profiles/{{identifier}}{part}" for part in PARTS}
    for schema in described["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(schema)


@pytest.fixture
def api(world: World) -> Iterator[ProfileApi]:
    assert world.planned("ada") == 1
    world.put(*(world.track("ada", n * DAY, f"E{n}") for n in range(30)))
    world.put({"type": "page", "anonymousId": "c1"})
    world.identify_all()
    with ProfileApi(world.horizon.settings) as running:
        yield running


@pytest.mark.slow
@pytest.mark.parametrize(
    "identifier",
    ["", "user_id:ada", "anonymous_id:c1"],
    ids=["anybody", "somebody", "somebody without a user id"],
)
def test_what_is_answered_is_what_the_document_says(
    world: World, api: ProfileApi, tmp_path: Path, identifier: str
) -> None:
    with world.horizon.database.transaction(Role.WORKER) as tx:
        token = add_token(tx, "all", list(Scope), now=NOW, expires_at=None)
    asked = f'[parameters]\n"path.identifier" = "{identifier}"\n' if identifier else ""
    (tmp_path / "schemathesis.toml").write_text(asked + TOO_LONG)
    done = subprocess.run(
        [sys.executable, "-m", "schemathesis.cli", "run", f"{api.url}/v1/openapi.json",
         "--header", f"Authorization: Bearer {token}", "--checks", "all", "--max-examples", "50",
         "--seed", "7", "--generation-database", "none", "--no-color"],
        cwd=tmp_path, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    assert "Tested: 7" in done.stdout
