"""The console in a real browser: the first owner, a passkey, the keyboard, and axe on every screen."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from horizon import clock
from horizon.console.links import make_link
from horizon.postgres.audit import write_audit
from horizon.postgres.database import Database, Role
from tests.console_people import console as console
from tests.servers.console import PASSWORD, Console, add_person

WIDENED = "document.documentElement.scrollWidth > window.innerWidth"
SCREENS = {
    "home": "/", "team": "/settings/people", "member": "/settings/people/1", "audit": "/audit", "audit-empty": "/audit?actor=x",
    "factors": "/account/factors", "sign-ins": "/account/sign-ins", "password": "/account/password",
    "app": "/account/factors/app", "passkey": "/account/factors/passkeys/new", "again": "/account/again",
    "nothing": "/nowhere", "settings": "/settings", "tokens": "/settings/tokens",
}  # fmt: skip
OUTSIDE = {"sign-in": "/sign-in", "link-over": "/start/x"}


@pytest.fixture(scope="module")
def browser(chromium: Path) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def owner(module_database: Database, console: Console) -> str:
    with module_database.transaction(Role.CONSOLE) as tx:
        details = {
            "before": {"roles": ["support"]},
            "after": {"roles": ["analyst"], "note": "W" * 200},
        }
        write_audit(
            tx,
            "person:changed",
            "person 1",
            details,
            who="console:ada@example.com",
            origin="192.0.2.7",
        )
    add_person(module_database, "marketer", "analyst", email=f"{'w' * 60}@example.com")
    return add_person(module_database, "owner")


def entered(context: BrowserContext, console: Console, email: str) -> Page:
    """Signed in, and the password given once more."""
    page = context.new_page()
    page.goto(f"{console.origin}/sign-in?next=/account/again")
    page.locator("#id_login").fill(email)
    page.locator("#id_password").fill(PASSWORD)
    page.locator("main form button").first.click()
    page.wait_for_url("**/account/again")
    page.locator("#id_password").fill(PASSWORD)
    page.locator("main form button").first.click()
    page.wait_for_url(f"{console.origin}/")
    return page


def violations(page: Page) -> list[str]:
    found: Any = Axe().run(page, options={}).response
    undecided = [one["id"] for one in found["incomplete"]]
    return undecided + [
        f"{one['id']}: {node['html'][:200]}" for one in found["violations"] for node in one["nodes"]
    ]


def test_from_the_first_link_to_the_pipeline(
    browser: Browser, console: Console, module_database: Database
) -> None:
    with module_database.transaction(Role.CONSOLE) as tx:
        link = make_link(tx, console.origin, made_by="cli:test", now=clock.now())
    context = browser.new_context(locale="en-GB")
    page = context.new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.goto(link)
    page.get_by_label("E-mail").fill("grace@example.com")
    page.get_by_label("Name").fill("Grace")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Make my account").click()
    assert "Welcome, Grace" in page.get_by_role("status").inner_text()
    page.locator("#id_login").fill("grace@example.com")
    page.locator("#id_password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in", exact=True).click()
    assert page.get_by_role("heading", name="The pipeline").is_visible()
    before = page.locator(".asof").inner_text()
    page.wait_for_function(
        "before => document.querySelector('.asof').innerText !== before", arg=before
    )
    assert [text for text in said if "Content Security" in text] == []
    page.get_by_role("button", name="Sign out").click()
    page.go_back()
    assert page.get_by_role("button", name="Sign in", exact=True).is_visible()
    context.close()


def test_a_passkey_opens_the_door(
    browser: Browser, console: Console, module_database: Database
) -> None:
    email = add_person(module_database, "engineer", email="passkey@example.com")
    context = browser.new_context(locale="en-GB")
    page = entered(context, console, email)
    devices = context.new_cdp_session(page)
    devices.send("WebAuthn.enable")
    devices.send("WebAuthn.addVirtualAuthenticator", {"options": {
        "protocol": "ctap2", "transport": "internal", "hasResidentKey": True,
        "hasUserVerification": True, "isUserVerified": True, "automaticPresenceSimulation": True,
    }})  # fmt: skip
    page.goto(f"{console.origin}/account/factors/passkeys/new")
    page.locator("#id_passwordless").check()
    page.locator("#mfa_webauthn_add").click()
    page.wait_for_url("**/account/factors/codes")
    page.get_by_role("button", name="Sign out").click()
    page.get_by_role("button", name="Sign in with a passkey").click()
    page.wait_for_url(f"{console.origin}/")
    assert page.get_by_role("heading", name="The pipeline").is_visible()
    context.close()


def test_the_keyboard_goes_past_the_menu(browser: Browser, console: Console, owner: str) -> None:
    context = browser.new_context(locale="en-GB")
    page = entered(context, console, owner)
    page.keyboard.press("Tab")
    assert page.locator(":focus").inner_text() == "Skip to the content"
    page.keyboard.press("Enter")
    assert page.locator(":focus").get_attribute("id") == "content"
    page.goto(f"{console.origin}/settings/people")
    for _ in range(3):
        page.keyboard.press("Tab")
        shown = page.locator(":focus-visible").evaluate(
            "node => getComputedStyle(node).outlineStyle"
        )
        assert shown == "solid"
    context.close()


@pytest.mark.slow
@pytest.mark.parametrize("language", ["en-GB", "de-DE"])
@pytest.mark.parametrize("width", [360, 1280])
def test_axe_finds_nothing_on_any_screen(
    width: int, language: str, browser: Browser, console: Console, owner: str
) -> None:
    for scheme in ("light", "dark"):
        context = browser.new_context(
            viewport={"width": width, "height": 800}, color_scheme=scheme, locale=language
        )  # fmt: skip
        said: list[str] = []
        context.on("console", lambda message: said.append(message.text))  # noqa: B023
        look(context.new_page(), console, OUTSIDE, f"{scheme}-{width}-{language}")
        look(entered(context, console, owner), console, SCREENS, f"{scheme}-{width}-{language}")
        assert [text for text in said if "Content Security" in text] == []
        context.close()


def look(page: Page, console: Console, screens: dict[str, str], where: str) -> None:
    language = re.sub(r".*-(\w\w)-\w\w$", r"\1", where)
    for name, path in screens.items():
        page.goto(console.origin + path)
        assert page.locator("html").get_attribute("lang") == language
        if folder := os.environ.get("CONSOLE_PICTURES"):
            page.screenshot(path=Path(folder) / f"{name}-{where}.png", full_page=True)
        assert violations(page) == [], f"{name} {where}"
        assert not page.evaluate(WIDENED), f"{name} {where}"
        if not where.startswith("dark"):
            page.evaluate("document.documentElement.style.fontSize = '200%'")
            assert not page.evaluate(WIDENED), f"{name} {where}, text twice as large"
