"""Every route of the console, times every role; and the tables of docs/security.md."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as django_settings
from hypothesis import given
from hypothesis import strategies as st

from horizon.console.project import setup
from horizon.console.rules import GRANTED, Permission, may_give, permissions_of
from horizon.console.rules import Role as Held
from horizon.postgres.database import Database, Role
from tests.console_people import console as console
from tests.console_people import console_settings
from tests.servers.console import Console, Visitor, add_person

DOCUMENT = Path(__file__).parents[2] / "docs" / "security.md"
SAMPLES = {"token": "x", "pk": "{pk}"}
SIGN_IN = "/sign-in"


@pytest.fixture(scope="module")
def routes(
    module_database: Database,
    tmp_path_factory: pytest.TempPathFactory,
    free_port: Callable[[], int],
) -> list[Any]:
    """Django's own list of them, in this process."""
    if not django_settings.configured:
        setup(
            console_settings(module_database, tmp_path_factory.mktemp("django"), free_port()),
            module_database,
        )
    from horizon.console.urls import urlpatterns

    return urlpatterns


@pytest.fixture(scope="module")
def everybody(console: Console, module_database: Database) -> Iterator[dict[str, Visitor]]:
    yield {role: console.person(module_database, role) for role in Held}


def path_of(route: Any, pk: int) -> str:
    text = re.sub(r"<\w+:(\w+)>", lambda found: SAMPLES[found[1]], str(route.pattern))
    return "/" + text.format(pk=pk)


def decision_of(route: Any) -> Any:
    return getattr(route.callback, "decision", None)


def undecided(routes: list[Any]) -> list[str]:
    return [route.name for route in routes if decision_of(route) is None]


def test_every_route_has_a_decision(routes: list[Any]) -> None:
    assert undecided(routes) == []
    assert len({route.name for route in routes}) == len(routes) > 20


def test_a_route_without_one_would_be_found(routes: list[Any]) -> None:
    from django.urls import path

    assert undecided([*routes, path("x", lambda request: None, name="forgotten")]) == ["forgotten"]


def test_every_route_times_every_role(
    routes: list[Any], everybody: dict[str, Visitor], module_database: Database
) -> None:
    """Who may not open it finds nothing there; who may gets some other answer."""
    add_person(module_database, "support", email="object@example.com")
    with module_database.transaction(Role.CONSOLE) as tx:
        row = tx.execute(
            "SELECT person_id FROM console.people WHERE email = 'object@example.com'"
        ).fetchone()
    wrong = []
    for route in routes:
        decision = decision_of(route)
        if not isinstance(decision, Permission):
            continue
        path = path_of(route, row.person_id)
        for role, visitor in everybody.items():
            found = visitor.get(path).status_code
            if (found != 404) != (role in GRANTED[decision]) or found >= 500:
                wrong.append((route.name, role, found))
            if decision is not Permission.PIPELINE_READ and role not in GRANTED[decision]:
                # Nor by a POST with a token that is good.
                page = visitor.get("/account/sign-ins").text
                token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page)[1]  # type: ignore[index]
                if visitor.raw_post(path, {"csrfmiddlewaretoken": token}).status_code != 404:
                    wrong.append((route.name, role, "POST"))
    assert wrong == []


def test_without_a_sign_in_nothing_but_the_sign_in_is_there(
    routes: list[Any], console: Console
) -> None:
    for route in routes:
        if getattr(decision_of(route), "name", "") == "PUBLIC":
            continue
        answer = console.visitor().get(path_of(route, 1))
        assert answer.status_code == 302, route.name
        assert answer.headers["Location"].startswith(SIGN_IN), route.name


def test_what_changes_something_asks_the_password_again(
    routes: list[Any], everybody: dict[str, Visitor]
) -> None:
    asking = {route.name for route in routes if getattr(route.callback, "again", False)}
    assert asking == {
        "invite",
        "member_roles",
        "member_active",
        "member_link",
        "audit_export",
        "token_add",
    }
    answer = everybody["owner"].post("/audit/export", at="/audit")
    assert answer.headers["Location"].startswith("/account/again")


def tables(routes: list[Any]) -> str:
    heads = list(Held)
    lines = [f"| permission | {' | '.join(heads)} |", f"|---{'|---' * len(heads)}|"]
    for permission in Permission:
        cells = ["yes" if role in GRANTED[permission] else "" for role in heads]
        lines.append(f"| `{permission}` | {' | '.join(cells)} |")
    lines += ["", "| route | who opens it | password again |", "|---|---|---|"]
    for route in routes:
        decision = decision_of(route)
        who = f"`{decision}`" if isinstance(decision, Permission) else decision.value
        lines.append(f"| `/{route.pattern}` | {who} | {'yes' if route.callback.again else ''} |")
    return "\n".join(line.replace("|  |", "| |") for line in lines)


def test_the_tables_stand_in_the_document(routes: list[Any]) -> None:
    """To print them anew, take what stands between the two marks away."""
    begin, end = "<!-- printed by test_console_routes.py -->\n", "\n<!-- end -->"
    text = DOCUMENT.read_text()
    head, _, rest = text.partition(begin)
    printed, _, tail = rest.partition(end.lstrip("\n"))
    wanted = tables(routes) + "\n"
    if not printed.strip():
        DOCUMENT.write_text(head + begin + wanted + end.lstrip("\n") + tail)
    assert printed == wanted


roles = st.sets(st.sampled_from(Held))


@given(roles, roles)
def test_more_roles_never_take_anything_away(some: set[Held], more: set[Held]) -> None:
    assert permissions_of(some) | permissions_of(more) == permissions_of(some | more)


@given(roles, roles, roles)
def test_nobody_but_an_owner_makes_or_unmakes_one(
    own: set[Held], before: set[Held], after: set[Held]
) -> None:
    if may_give(own, before, after):
        assert own & {Held.OWNER, Held.ADMIN}
        assert Held.OWNER in own or Held.OWNER not in before | after


def test_an_auditor_changes_nothing_and_an_owner_may_do_everything() -> None:
    assert permissions_of([Held.OWNER]) == set(Permission)
    for permission in permissions_of([Held.AUDITOR]):
        assert permission.rpartition(":")[2] in {"read", "export"}
    assert permissions_of(["emperor"]) == frozenset()
