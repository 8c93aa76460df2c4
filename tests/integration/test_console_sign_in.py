"""Getting into the console, and staying out of it."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest

from horizon import clock
from horizon.console.links import INVITATION_LASTS, OWNER_LASTS, make_link
from horizon.postgres.database import Database, Role
from tests.console_people import console as console
from tests.servers.console import PASSWORD, Console, Scripts, Visitor, add_person

COMMON = "password1234"


def owner_link(console: Console, database: Database, ago: timedelta = timedelta()) -> str:
    with database.transaction(Role.CONSOLE) as tx:
        return make_link(tx, "", made_by="cli:test", now=clock.now() - ago)


def begin(visitor: Visitor, link: str, email: str, password: str = PASSWORD) -> int:
    values = {"email": email, "name": "Ada", "password": password}
    return visitor.post(link, values).status_code


def is_in(visitor: Visitor) -> bool:
    answer = visitor.get("/")
    assert answer.status_code == 200 or answer.headers["Location"].startswith("/sign-in")
    return answer.status_code == 200


def test_a_link_makes_the_owner_once(console: Console, module_database: Database) -> None:
    visitor = console.visitor()
    link = owner_link(console, module_database)
    assert begin(visitor, link, "Ada@Example.com") == 302
    assert visitor.get(link).status_code == 404
    assert begin(console.visitor(), link, "eve@example.com") == 404
    assert not is_in(visitor)
    assert visitor.sign_in("ada@example.com").status_code == 302
    assert is_in(visitor)
    with module_database.transaction(Role.CONSOLE) as tx:
        row = tx.execute(
            "SELECT roles, password FROM console.people WHERE email = 'ada@example.com'"
        ).fetchone()
    assert row.roles == ["owner"]
    assert row.password.startswith("argon2$argon2id$")


def test_a_link_s_time_ends(console: Console, module_database: Database) -> None:
    late = owner_link(console, module_database, OWNER_LASTS + timedelta(seconds=1))
    assert console.visitor().get(late).status_code == 404
    in_time = owner_link(console, module_database, OWNER_LASTS - timedelta(minutes=1))
    assert console.visitor().get(in_time).status_code == 200


def test_a_new_link_ends_those_before(console: Console, module_database: Database) -> None:
    first = owner_link(console, module_database)
    second = owner_link(console, module_database)
    assert console.visitor().get(first).status_code == 404
    assert console.visitor().get(second).status_code == 200


@pytest.mark.parametrize("password", [COMMON, "short", "early.bird@example.com", ""])
def test_a_password_that_others_guess_is_refused(
    password: str, console: Console, module_database: Database
) -> None:
    link = owner_link(console, module_database)
    assert begin(console.visitor(), link, "early.bird@example.com", password) == 200
    assert console.visitor().get(link).status_code == 200  # and the link opens still


def test_only_the_invited_address_is_taken(console: Console, module_database: Database) -> None:
    email = add_person(module_database, "support", email="invited@example.com")
    with module_database.transaction(Role.CONSOLE) as tx:
        row = tx.execute(
            "SELECT person_id FROM console.people WHERE email = %s", [email]
        ).fetchone()
        link = make_link(tx, "", made_by="t", now=clock.now(), person_id=row.person_id)
    assert INVITATION_LASTS > OWNER_LASTS
    assert begin(console.visitor(), link, "else@example.com", "quite another sentence") == 302
    assert console.visitor().sign_in(email, "quite another sentence").status_code == 302
    with module_database.transaction(Role.CONSOLE) as tx:
        found = tx.execute("SELECT roles FROM console.people WHERE email = 'else@example.com'")
        assert found.fetchone() is None


def test_wrong_passwords_are_counted_for_each_account(
    console: Console, module_database: Database
) -> None:
    email = add_person(module_database, "analyst", email="guessed@example.com")
    other = add_person(module_database, "analyst", email="other@example.com")
    visitor = console.visitor()
    for number in range(5):
        assert visitor.sign_in(email, f"guess {number}").status_code == 200
    assert visitor.sign_in(email).status_code == 200  # the right one, and it is not let in
    assert not is_in(visitor)
    assert console.visitor().sign_in(other).status_code == 302


def test_an_unknown_address_reads_like_a_wrong_password(
    console: Console, module_database: Database
) -> None:
    email = add_person(module_database, "analyst", email="known@example.com")
    said = [
        re.findall(
            r'class="errorlist.*?</ul>', console.visitor().sign_in(one, "wrong").text, re.DOTALL
        )
        for one in (email, "nobody@example.com")
    ]
    assert said[0] == said[1] != []


def test_sign_out_ends_it_and_the_back_button_shows_nothing(
    console: Console, module_database: Database
) -> None:
    visitor = console.person(module_database, "engineer", email="back@example.com")
    assert "no-store" in visitor.get("/").headers["Cache-Control"]
    assert visitor.get("/sign-out").status_code == 200  # a link to it signs nobody out
    assert is_in(visitor)
    assert visitor.post("/sign-out", at="/").status_code == 302
    assert not is_in(visitor)


def test_one_s_sign_ins_are_shown_and_ended(console: Console, module_database: Database) -> None:
    email = "many@example.com"
    here = console.person(module_database, "engineer", email=email)
    there = console.visitor()
    there.sign_in(email)
    assert here.get("/account/sign-ins").text.count("<time") == 2
    assert here.post("/account/sign-ins").status_code == 302
    assert is_in(here)
    assert not is_in(there)


def test_who_is_disabled_is_out_at_once(console: Console, module_database: Database) -> None:
    visitor = console.person(module_database, "engineer", email="gone@example.com")
    assert is_in(visitor)
    with module_database.transaction(Role.CONSOLE) as tx:
        tx.execute("UPDATE console.people SET active = false WHERE email = 'gone@example.com'")
    assert not is_in(visitor)
    assert console.visitor().sign_in("gone@example.com").headers.get("Location") != "/"


def test_a_form_without_its_token_changes_nothing(
    console: Console, module_database: Database
) -> None:
    visitor = console.person(module_database, "engineer", email="forged@example.com")
    answer = visitor.raw_post("/sign-out", {})
    assert answer.status_code == 403
    assert "Nothing was changed" in answer.text
    assert is_in(visitor)


def test_a_host_that_is_not_ours_is_refused(console: Console) -> None:
    assert console.ask("GET", "/sign-in", headers={"Host": "evil.example"}).status == 400
    assert (
        console.ask("GET", "/sign-in", headers={"Host": f"localhost:{console.port}"}).status == 200
    )


def test_a_page_runs_nothing_that_stands_in_it(console: Console, module_database: Database) -> None:
    visitor = console.person(module_database, "owner", email="policy@example.com")
    for path in ("/", "/account/factors", "/account/sign-ins", "/account/password", "/nowhere"):
        answer = visitor.get(path)
        policy = answer.headers["Content-Security-Policy"]
        assert "unsafe" not in policy
        assert "default-src 'none'" in policy
        assert "script-src 'self'" in policy
        found = Scripts(answer.text)
        assert (found.found, found.elsewhere) == ([], [])
    assert Scripts("<script>1</script><p style='x' onclick='y'>").found == [
        "script",
        "style",
        "onclick",
    ]


def test_files_are_named_by_their_content_and_kept(console: Console) -> None:
    page = console.visitor().get("/sign-in").text
    paths = re.findall(r'(?:src|href)="(/static/[^"]+)"', page)
    assert len(paths) >= 4
    for path in paths:
        assert re.search(r"\.[0-9a-f]{12}\.(css|js|svg)$", path), path
        answer = console.visitor().get(path)
        assert answer.status_code == 200
        assert "immutable" in answer.headers["Cache-Control"]


def test_cookies_are_the_browser_s_alone(console: Console, module_database: Database) -> None:
    visitor = console.visitor()
    add_person(module_database, "engineer", email="cookie@example.com")
    answer = visitor.sign_in("cookie@example.com")
    said = answer.headers["Set-Cookie"]
    session = next(one for one in re.split(r", (?=\w+=)", said) if "horizon_session" in one)
    assert "HttpOnly" in session
    assert "SameSite=Lax" in session


@pytest.mark.parametrize("language", ["de", "en"])
def test_the_page_speaks_the_browser_s_language(language: str, console: Console) -> None:
    answer = console.visitor().get("/sign-in", Accept_Language=language)
    assert f'<html lang="{language}">' in answer.text
