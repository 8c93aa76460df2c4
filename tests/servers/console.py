"""The console in a process of its own, and somebody who visits it as a browser would."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urljoin

import requests
from argon2 import PasswordHasher

from horizon import clock
from horizon.postgres.database import Database, Role
from horizon.settings import Settings
from tests.servers.collector import Collector

PASSWORD = "a long enough sentence 1843"
_HASH = "argon2" + PasswordHasher(time_cost=2, memory_cost=102_400, parallelism=8).hash(PASSWORD)


class Console(Collector):
    """Starts ``python -m horizon.console``."""

    module = "horizon.console"

    @staticmethod
    def port_of(settings: Settings) -> int:
        return settings.CONSOLE_PORT

    @property
    def origin(self) -> str:
        return f"http://localhost:{self.port}"

    def visitor(self) -> Visitor:
        return Visitor(self.origin)

    def person(self, database: Database, *roles: str, email: str = "") -> Visitor:
        """Somebody new with these roles, signed in."""
        visitor = self.visitor()
        visitor.sign_in(add_person(database, *roles, email=email))
        return visitor


def add_person(database: Database, *roles: str, email: str = "") -> str:
    """Somebody who may sign in with PASSWORD; their address."""
    email = email or f"{'-'.join(roles)}@example.com"
    with database.transaction(Role.CONSOLE) as tx:
        tx.execute(
            "INSERT INTO console.people (email, name, password, roles, created_at) "
            "VALUES (%s, %s, %s, %s, %s)",
            [email, email.partition("@")[0].title(), _HASH, list(roles), clock.now()],
        )
    return email


class Visitor:
    """Follows no redirect by itself; posts a page's own hidden fields, its CSRF token too."""

    def __init__(self, origin: str) -> None:
        self.origin = origin
        self.session = requests.Session()
        self.session.trust_env = False

    def get(self, path: str, **headers: str) -> requests.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.session.get(
            urljoin(self.origin, path), headers=named, allow_redirects=False, timeout=20
        )

    def post(
        self, path: str, values: dict[str, Any] | None = None, at: str = ""
    ) -> requests.Response:
        """The form of the page ``at`` (``path`` itself, where none is named) that goes to ``path``."""
        return self.answer(self.get(at or path), path, values)

    def answer(
        self, page: requests.Response, path: str, values: dict[str, Any] | None = None
    ) -> requests.Response:
        """The form of a page that was read already."""
        token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page.text)
        sent = {"csrfmiddlewaretoken": token[1] if token else "", **(values or {})}
        return self.raw_post(path, sent)

    def raw_post(self, path: str, values: dict[str, Any]) -> requests.Response:
        return self.session.post(
            urljoin(self.origin, path), values, headers={"Origin": self.origin},
            allow_redirects=False, timeout=20,
        )  # fmt: skip

    def sign_in(self, email: str, password: str = PASSWORD) -> requests.Response:
        return self.post("/sign-in", {"login": email, "password": password})


class Scripts(HTMLParser):
    """What of a page a strict policy would not run: scripts, styles and handlers that stand in it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.elsewhere: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        named = dict(attributes)
        if tag == "style" or (
            tag == "script" and not named.get("src") and named.get("type") != "application/json"
        ):
            self.found.append(tag)
        self.found += [
            name for name in named if name == "style" or name.startswith(("on", "hx-on"))
        ]
        for name in ("src", "href", "action"):
            value = named.get(name) or ""
            if "//" in value and not value.startswith("data:"):
                self.elsewhere.append(value)
