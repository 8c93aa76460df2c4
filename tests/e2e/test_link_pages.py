"""The pages behind a mail's links in a real browser: without JavaScript, by keyboard, and by axe."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, sync_playwright

from horizon.edge.language import LANGUAGES
from horizon.keys import Keys
from horizon.postgres.database import Database, Role
from horizon.settings import Settings
from tests.link_pages import FORM, anns_page, consents, rows, show, suppress
from tests.servers.collector import Answer, Application, Collector

EVERYTHING = b"horizon=1&everything=1"
LONG = "Thistledown Brothers Woollen Manufacturers International " + "W" * 40
WIDENED = "document.documentElement.scrollWidth > window.innerWidth"


@pytest.fixture(scope="module")
def browser(chromium: Path) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        yield opened
        opened.close()


@pytest.fixture
def collector(settings: Settings) -> Iterator[Collector]:
    with Collector(settings) as running:
        yield running


@pytest.fixture
def path(database: Database, keys: Keys) -> str:
    return anns_page(database, keys)


@pytest.fixture
def plain(browser: Browser) -> Iterator[Page]:
    """A page of a browser whose JavaScript is turned off."""
    context = browser.new_context(java_script_enabled=False, locale="en-GB")
    yield context.new_page()
    context.close()


def test_open_change_save_reopen(
    plain: Page, collector: Collector, database: Database, path: str
) -> None:
    asked: list[str] = []
    plain.on("request", lambda request: asked.append(request.url))
    plain.goto(collector.url + path)
    assert plain.get_by_label("News and offers").is_checked()
    plain.get_by_label("News and offers").uncheck()
    plain.get_by_label("Opens and clicks").check()
    plain.get_by_label("At most one a month").check()
    plain.get_by_label("No emails for 30 days").check()
    plain.get_by_role("button", name="Save").click()
    assert plain.title().startswith("Saved")
    told = plain.get_by_role("status").inner_text()
    assert "At most one a month" in told
    assert "Until " in told
    plain.goto(collector.url + path)
    assert not plain.get_by_label("News and offers").is_checked()
    assert plain.get_by_label("Opens and clicks").is_checked()
    assert plain.get_by_label("At most one a month").is_checked()
    plain.get_by_label("End the pause now").check()
    plain.get_by_role("button", name="Save").click()
    assert plain.get_by_label("No emails for 30 days").is_visible()
    assert set(asked) == {collector.url + path}  # nothing else was loaded
    assert len(rows(database, "preferences")) == 2


def test_from_unsubscribing_to_everything_in_german(
    plain: Page, collector: Collector, database: Database, path: str
) -> None:
    plain.goto(collector.url + path.replace("/p/", "/u/"))
    plain.get_by_role("link", name="Deutsch").click()
    assert plain.locator("html").get_attribute("lang") == "de"
    plain.get_by_role("link", name="Lieber weniger").click()
    assert plain.url.startswith(collector.url + path)
    plain.get_by_role("link", name="Deutsch").click()
    plain.get_by_role("button", name="Alles abbestellen").click()
    assert plain.title().startswith("Gespeichert")
    assert {(name, yes) for name, yes, _ in consents(database)} == {
        ("marketing", False), ("tracking", False),
    }  # fmt: skip
    assert not plain.get_by_label("Neuigkeiten und Angebote").is_checked()


def test_the_keyboard_reaches_everything_in_order(
    plain: Page, collector: Collector, database: Database, path: str
) -> None:
    plain.goto(collector.url + path)
    reached = []
    for _ in range(7):
        plain.keyboard.press("Tab")
        focus = plain.locator(":focus-visible")
        assert focus.evaluate("node => getComputedStyle(node).outlineStyle") == "solid"
        reached.append(focus.get_attribute("id") or focus.inner_text())
    assert reached == [
        "purpose-marketing", "purpose-tracking", "every-always", "pause", "Save",
        "Unsubscribe from everything", "Deutsch",
    ]  # fmt: skip
    plain.locator("#purpose-marketing").focus()
    plain.keyboard.press("Space")
    plain.keyboard.press("Enter")  # the form's first button: it saves, and refuses nothing else
    plain.wait_for_selector("[role=status]")
    assert [(name, yes) for name, yes, _ in consents(database)] == [("marketing", False)]
    assert plain.locator(":focus").get_attribute("role") == "status"  # what is read first


States = dict[str, Answer]


@pytest.fixture
def states(settings: Settings, database: Database, keys: Keys) -> Callable[[str], States]:
    """Every state of every page, as the collector answers it in a language."""

    def take(language: str) -> States:
        path = anns_page(database, keys)
        unsubscribe, tongue = path.replace("/p/", "/u/"), f"?lang={language}"
        with Application(settings.changed(BRAND=LONG)) as one:
            found = {
                "question": one.ask("GET", unsubscribe + tongue),
                "unknown": one.ask("GET", "/u/x" + tongue),
                "form": one.ask("GET", path + tongue),
                "unread": one.ask("POST", path + tongue, b"", FORM),
                "saved": one.ask("POST", path + tongue, EVERYTHING, FORM),
                "unchanged": one.ask("POST", path + tongue, EVERYTHING, FORM),
                "paused": one.ask("POST", path + tongue, b"horizon=1&pause=1", FORM),
                "done": one.ask("POST", unsubscribe + tongue, b"", FORM),
            }
            with database.transaction(Role.OWNER) as tx:
                tx.execute("UPDATE preferences SET every_days = 14")
                tx.execute("DELETE FROM suppressions")
            suppress(database, keys, "*", "hard_bounce")
            found["stopped"] = one.ask("GET", path + tongue)
        with database.named("postgres").connect(autocommit=True) as admin:
            admin.execute(f"ALTER DATABASE {database.name} ALLOW_CONNECTIONS false".encode())
            with Application(settings) as away:
                found["away"] = away.ask("POST", unsubscribe + tongue, b"", FORM)
            admin.execute(f"ALTER DATABASE {database.name} ALLOW_CONNECTIONS true".encode())
        return found

    return take


def violations(page: Page) -> list[str]:
    found: Any = Axe().run(page, options={}).response
    assert "color-contrast" in {one["id"] for one in found["passes"]}
    assert found["incomplete"] == []  # what axe could not decide
    return [
        f"{one['id']}: {node['html'][:200]}" for one in found["violations"] for node in one["nodes"]
    ]


@pytest.mark.slow
@pytest.mark.parametrize("language", LANGUAGES)
def test_axe_finds_nothing_and_nothing_is_cut_off(
    language: str, browser: Browser, states: Callable[[str], States]
) -> None:
    taken = states(language)
    assert [answer.status for answer in taken.values()].count(200) == 7
    for width in (320, 1280):
        for scheme in ("light", "dark"):
            context = browser.new_context(
                viewport={"width": width, "height": 800}, color_scheme=scheme
            )
            page = context.new_page()
            errors: list[str] = []
            page.on("console", lambda message: errors.append(message.text))  # noqa: B023
            for name, answer in taken.items():
                where = f"{name} {width} {scheme}"
                show(page, answer)
                assert not page.evaluate(WIDENED), where
                assert violations(page) == [], where
                page.evaluate("document.documentElement.style.fontSize = '200%'")
                assert not page.evaluate(WIDENED), f"{where}, text twice as large"
            assert [text for text in errors if "Content Security" in text] == []
            context.close()


@pytest.mark.slow
def test_in_forced_colours_every_control_has_an_edge(
    browser: Browser, states: Callable[[str], States]
) -> None:
    context = browser.new_context(forced_colors="active", color_scheme="dark")
    page = context.new_page()
    for name, answer in states("en").items():
        show(page, answer)
        assert violations(page) == [], name
        for button in page.get_by_role("button").all():
            edge = button.evaluate("node => getComputedStyle(node).borderTopWidth")
            assert float(edge.removesuffix("px")) > 0
    context.close()


@pytest.mark.slow
def test_the_checks_see_what_they_look_for(browser: Browser) -> None:
    page = browser.new_page(viewport={"width": 320, "height": 700})
    body = "<html><title>x</title><p style='color:#ccc'>hardly to be read</p><hr style='width:900px'><input>"
    page.set_content(body)
    assert page.evaluate(WIDENED)
    found: Any = Axe().run(page, options={}).response
    assert {"color-contrast", "html-has-lang", "label"} <= {
        one["id"] for one in found["violations"]
    }
    page.close()
