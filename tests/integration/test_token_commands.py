"""`horizon token`, and the commands of docs/profiles-api.md as a person types them."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from horizon.api import tokens
from horizon.cli import main
from horizon.postgres.database import Role
from tests.servers.collector import ProfileApi
from tests.world import World

TEXT = (Path(__file__).parents[2] / "docs" / "profiles-api.md").read_text()
Said = pytest.CaptureFixture[str]


def token(*words: str) -> int:
    return main.run(["token", *words])


def test_a_token_is_shown_once_and_each_change_is_in_the_audit(here: World, capsys: Said) -> None:
    assert (
        token("add", "support", "--scope", "traits:read", "--scope", "scores:read", "--json") == 0
    )
    made = json.loads(capsys.readouterr().out)
    assert made["scopes"] == ["traits:read", "scores:read"]
    with here.horizon.database.transaction(Role.READER) as tx:
        (known,) = tokens.known_tokens(tx).values()
    assert (known.name, known.scopes) == ("support", {"traits:read", "scores:read"})
    assert token("list", "--json") == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["name"], row["hint"], row["last_used_at"]) == ("support", made["token"][:10], None)
    assert token("revoke", "support") == 0
    assert token("add", "support", "--scope", "all", "--expires", "2999-01-01") == 0
    assert made["token"] not in capsys.readouterr().out
    audit = here.rows("SELECT action, object, details FROM audit ORDER BY audit_id")
    assert [(row.action, row.object) for row in audit] == [
        ("token:added", "support"), ("token:revoked", "support"), ("token:added", "support"),
    ]  # fmt: skip
    assert made["token"] not in repr(audit)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("add", "x"), "without a scope"),
        (("add", "x", "--scope", "trait:read"), "no scope 'trait:read'"),
        (("add", "X!", "--scope", "all"), "no name for a token"),
        (("add", "taken", "--scope", "all"), "is a token 'taken' already"),
        (("add", "x", "--scope", "all", "--expires", "2020-01-01"), "over already"),
        (("add", "x", "--scope", "all", "--expires", "soon"), "is not a time"),
        (("revoke", "nobody"), "No token 'nobody' is in use"),
    ],
)
def test_what_cannot_be_is_said(
    here: World, capsys: Said, words: tuple[str, ...], said: str
) -> None:
    assert token("add", "taken", "--scope", "all") == 0
    capsys.readouterr()
    assert token(*words) == 2
    assert said in capsys.readouterr().err
    assert len(here.rows("SELECT FROM read_tokens")) == 1


def test_the_document_s_commands_do_what_it_says(here: World, tmp_path: Path) -> None:
    here.people("ann")
    here.identify_all()
    (block,) = re.findall(r"^```sh\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
    settings = here.horizon.settings
    script = f'horizon() {{ "{sys.executable}" -m horizon.cli "$@"; }}\n' + block.replace(
        ":8200/", f":{settings.API_PORT}/"
    ).replace("\ncurl", "\necho; curl")
    with ProfileApi(settings):
        done = subprocess.run(
            ["sh", "-e", "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=60,
            env=dict(os.environ),
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    answers = [
        json.JSONDecoder().raw_decode(line)[0]
        for line in done.stdout.splitlines()
        if line.startswith("{")
    ]
    assert answers[0]["user_id"] == "ann"
    assert answers[1]["traits"]["email"] == "ann@example.com"
    assert [one["event"] for one in answers[2]["data"]] == ["Product Viewed"]
    assert "The token of support is revoked." in done.stdout
