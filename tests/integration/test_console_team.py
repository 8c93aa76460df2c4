"""People and roles, and the audit of what is done there."""

from __future__ import annotations

import csv
import hmac
import io
import re
import struct
import time
from base64 import b32decode
from typing import Any

import pytest

from horizon.postgres.audit import write_audit
from horizon.postgres.database import Database, Role
from tests.console_people import console as console
from tests.servers.console import PASSWORD, Console, Visitor, add_person


@pytest.fixture(scope="module")
def owner(console: Console, module_database: Database) -> Visitor:
    visitor = console.person(module_database, "owner")
    again(visitor)
    return visitor


def again(visitor: Visitor) -> None:
    """Give the password once more."""
    assert visitor.post("/account/again", {"password": PASSWORD}).status_code == 302


def row(database: Database, email: str) -> Any:
    with database.transaction(Role.CONSOLE) as tx:
        return tx.execute("SELECT * FROM console.people WHERE email = %s", [email]).fetchone()


def audited(database: Database, action: str) -> list[Any]:
    with database.transaction(Role.CONSOLE) as tx:
        return tx.execute(
            "SELECT * FROM audit WHERE action = %s ORDER BY audit_id DESC", [action]
        ).fetchall()


def test_an_invitation_lets_somebody_in(
    owner: Visitor, console: Console, module_database: Database
) -> None:
    answer = owner.post(
        "/settings/people/invite",
        {"email": "New@Example.com", "roles": ["marketer", "analyst"]},
        at="/settings/people",
    )
    link = re.search(r"http://localhost:\d+(/start/[\w-]+)", answer.text)
    assert link is not None
    guest = console.visitor()
    assert guest.post(link[1], {"name": "New", "password": PASSWORD}).status_code == 302
    assert guest.sign_in("new@example.com").status_code == 302
    assert guest.get("/").status_code == 200
    entry = audited(module_database, "person:invited")[0]
    assert entry.actor == "console:owner@example.com"
    assert entry.origin == "127.0.0.1"
    assert entry.details["after"] == {"email": "new@example.com", "roles": ["analyst", "marketer"]}


@pytest.mark.parametrize(
    ("email", "roles"),
    [("", ["support"]), ("x", ["support"]), ("a" * 300 + "@example.com", ["support"]), ("ok@example.com", []),
     ("ok@example.com", ["emperor"]), ("owner@example.com", ["support"]), ("<script>@example.com", ["support"]),
     ("ok@example.com'; DROP TABLE console.people; --", ["support"])],
)  # fmt: skip
def test_what_makes_no_person_is_told(
    email: str, roles: list[str], owner: Visitor, module_database: Database
) -> None:
    answer = owner.post(
        "/settings/people/invite", {"email": email, "roles": roles}, at="/settings/people"
    )
    assert answer.status_code == 200
    assert "errorlist" in answer.text
    assert "<script>@" not in answer.text
    assert row(module_database, "ok@example.com") is None


def test_only_an_owner_makes_an_owner(console: Console, module_database: Database) -> None:
    admin = console.person(module_database, "admin")
    again(admin)
    answer = admin.post(
        "/settings/people/invite",
        {"email": "up@example.com", "roles": ["owner"]},
        at="/settings/people",
    )
    assert "Only an owner" in answer.text
    assert row(module_database, "up@example.com") is None
    boss = row(module_database, "owner@example.com") or row(
        module_database, add_person(module_database, "owner")
    )
    assert (
        admin.post(
            f"/settings/people/{boss.person_id}/active", {"version": "1"}, at="/settings/people"
        ).status_code
        == 404
    )
    assert (
        admin.post(f"/settings/people/{boss.person_id}/link", at="/settings/people").status_code
        == 404
    )
    mine = row(module_database, "admin@example.com")
    values = {"version": mine.version, "roles": ["owner"]}
    admin.post(
        f"/settings/people/{mine.person_id}/roles", values, at=f"/settings/people/{mine.person_id}"
    )
    assert row(module_database, "admin@example.com").roles == ["admin"]


def test_the_second_of_two_who_edit_is_told(owner: Visitor, module_database: Database) -> None:
    found = row(module_database, add_person(module_database, "support", email="edited@example.com"))
    at = f"/settings/people/{found.person_id}"
    for role in ("analyst", "engineer"):
        owner.post(f"{at}/roles", {"version": found.version, "roles": [role]}, at=at)
    assert "Somebody else changed" in owner.get(at).text
    assert row(module_database, "edited@example.com").roles == ["analyst"]
    (entry,) = [
        one
        for one in audited(module_database, "person:changed")
        if one.object == f"person {found.person_id}"
    ]
    assert entry.details == {
        "before": {"roles": ["support"], "active": True}, "after": {"roles": ["analyst"], "active": True},
    }  # fmt: skip


def test_disabling_ends_every_sign_in_for_good(
    owner: Visitor, console: Console, module_database: Database
) -> None:
    visitor = console.person(module_database, "support", email="leaver@example.com")
    found = row(module_database, "leaver@example.com")
    at = f"/settings/people/{found.person_id}"
    owner.post(f"{at}/active", {"version": found.version}, at=at)
    assert visitor.get("/").status_code == 302
    owner.post(f"{at}/active", {"version": found.version + 1, "active": "on"}, at=at)
    assert row(module_database, "leaver@example.com").active
    assert visitor.get("/").status_code == 302  # the old sign-in does not come back


def test_the_last_owner_stays(owner: Visitor, module_database: Database) -> None:
    with module_database.transaction(Role.CONSOLE) as tx:
        tx.execute(
            "UPDATE console.people SET active = false WHERE 'owner' = ANY(roles) AND email <> 'owner@example.com'"
        )
    found = row(module_database, "owner@example.com")
    at = f"/settings/people/{found.person_id}"
    for values in ({"version": found.version, "roles": ["admin"]},):
        owner.post(f"{at}/roles", values, at=at)
    owner.post(f"{at}/active", {"version": found.version}, at=at)
    assert "last owner" in owner.get(at).text
    assert row(module_database, "owner@example.com").roles == ["owner"]


def test_the_password_is_asked_again_and_the_change_goes_on(
    console: Console, module_database: Database
) -> None:
    visitor = console.person(module_database, "admin", email="careful@example.com")
    found = row(module_database, add_person(module_database, "support", email="asked@example.com"))
    at = f"/settings/people/{found.person_id}"
    answer = visitor.post(f"{at}/roles", {"version": found.version, "roles": ["analyst"]}, at=at)
    assert answer.headers["Location"].startswith("/account/again")
    assert row(module_database, "asked@example.com").roles == ["support"]
    values = {"password": PASSWORD, "next": f"{at}/roles"}
    assert visitor.post("/account/again", values, at=answer.headers["Location"]).status_code == 302
    assert row(module_database, "asked@example.com").roles == ["analyst"]


def code(secret: str, ago_s: int = 0) -> str:
    """RFC 6238."""
    counter = struct.pack(">Q", int(time.time() - ago_s) // 30)
    digest = hmac.digest(b32decode(secret), counter, "sha1")
    number = struct.unpack(">I", digest[digest[-1] & 15 :][:4])[0] & 0x7FFFFFFF
    return f"{number % 1_000_000:06}"


def test_an_app_s_code_is_asked_for_and_its_secret_is_sealed(
    console: Console, module_database: Database
) -> None:
    visitor = console.person(module_database, "engineer", email="careful2@example.com")
    again(visitor)
    page = visitor.get("/account/factors/app")
    secret = re.search(r'value="([A-Z2-7]{32})"', page.text)
    assert secret is not None
    answer = visitor.answer(page, "/account/factors/app", {"code": code(secret[1], 30)})
    assert answer.status_code == 302
    codes = re.findall(r"\b\d{8}\b", visitor.get("/account/factors/codes").text)
    assert len(codes) == 10
    with module_database.transaction(Role.CONSOLE) as tx:
        kept = str(tx.execute("SELECT data FROM console.mfa_authenticator").fetchall())
    assert secret[1] not in kept
    assert not any(one in kept for one in codes)
    later = console.visitor()
    assert later.sign_in("careful2@example.com").headers["Location"].startswith("/sign-in/factor")
    assert later.get("/").status_code == 302
    assert later.post("/sign-in/factor", {"code": "000000"}).status_code == 200
    assert later.get("/").status_code == 302
    assert later.post("/sign-in/factor", {"code": codes[0]}).status_code == 302
    assert later.get("/").status_code == 200
    once = console.visitor()
    once.sign_in("careful2@example.com")
    assert once.post("/sign-in/factor", {"code": codes[0]}).status_code == 200
    assert {one.details["factor"] for one in audited(module_database, "person:factor:added")} >= {
        "totp"
    }


def test_a_refused_sign_in_is_in_the_audit(console: Console, module_database: Database) -> None:
    console.visitor().sign_in("nobody@example.com", "guess")
    entry = audited(module_database, "sign-in:refused")[0]
    assert entry.details == {"email": "nobody@example.com"}
    assert entry.origin == "127.0.0.1"


def test_the_audit_is_read_in_pages(owner: Visitor, module_database: Database) -> None:
    with module_database.transaction(Role.CONSOLE) as tx:
        for number in range(120):
            write_audit(
                tx, "test:paged", f"thing {number}", {"number": number}, who="console:pager"
            )
    seen: list[str] = []
    path = "/audit?actor=console:pager&action=test:paged"
    while path:
        text = owner.get(path).text
        seen += re.findall(r"<td>(thing \d+)</td>", text)
        older = re.search(r'href="([^"]+before=\d+)"', text)
        path = older[1].replace("&amp;", "&") if older else ""
    assert seen == [f"thing {number}" for number in reversed(range(120))]
    assert "Nothing like that" in owner.get("/audit?actor=x").text
    for odd in ("x", "-1", "9" * 30):
        assert owner.get(f"/audit?before={odd}").status_code == 404


def test_the_export_runs_nothing_and_is_noted(owner: Visitor, module_database: Database) -> None:
    with module_database.transaction(Role.CONSOLE) as tx:
        for number in range(1_100):
            write_audit(
                tx,
                "test:exported",
                '=HYPERLINK("http://x.example")',
                {"n": number},
                who="console:sheet",
            )
    answer = owner.post("/audit/export", {"action": "test:exported"}, at="/audit")
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert len(rows) == 1_100
    assert {one["object"] for one in rows} == {'\'=HYPERLINK("http://x.example")'}
    assert audited(module_database, "audit:exported")[0].details == {
        "filter": {"actor": None, "action": "test:exported"}
    }


def test_an_auditor_sees_who_did_what_and_no_customer(
    console: Console, owner: Visitor, module_database: Database
) -> None:
    with module_database.transaction(Role.CONSOLE) as tx:
        details = {"email": "ann@example.com", "name": "Ann Smith", "roles": ["support"]}
        write_audit(
            tx,
            "test:masked",
            "thing",
            details,
            who="console:writer@example.com",
            origin="192.0.2.7",
        )
    auditor = console.person(module_database, "auditor")
    text = auditor.get("/audit?action=test:masked").text
    assert "console:writer@example.com" in text
    assert "a***@e***.com" in text
    assert "support" in text
    assert not any(one in text for one in ("ann@", "Smith", "192.0.2.7"))
    assert "ann@example.com" in owner.get("/audit?action=test:masked").text
