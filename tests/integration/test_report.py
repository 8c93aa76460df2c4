"""The report in a real browser: its numbers are the tables', it asks nobody, and all can read it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, sync_playwright

from horizon.cli.main import run
from horizon.observe.kibana.panels import PANELS
from horizon.pipeline.installation import open_installation
from horizon.postgres.database import Role
from horizon.report import page as report
from tests.e2e.horizon_command import Command
from tests.world import DAY, NOW, World

HOSTILE = '<img src=x onerror=alert(1)></script><script>document.title="taken"</script>'
LINK = '<a href="https://evil.example">click</a>'
LONG = "a-very-long-user-id-of-more-than-twenty-four-letters-"


@pytest.fixture(scope="module")
def browser(chromium: Path) -> Iterator[Browser]:
    arguments = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"]
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=chromium, args=arguments)
        yield launched
        launched.close()


def lived(world: World) -> report.Report:
    for number, name in enumerate(
        ["gina", "olaf@example.com", HOSTILE, LINK, LONG + "1", LONG + "2"]
    ):
        world.person(name, (13 - number / 10) * DAY, email=f"u{number}@example.com")
    world.person("adam", DAY)
    world.score()
    world.alert()
    world.plan()
    world.rows(
        "UPDATE messages SET status = 'sent', finished_at = %s WHERE status = 'planned' RETURNING 1",
        NOW,
    )
    with world.horizon.database.transaction(Role.READER) as tx:
        return report.gather(tx, "horizon", NOW)


class Reader:
    """A browser's page with the report in it, and what went wrong there."""

    def __init__(self, browser: Browser, file: Path, **context: Any) -> None:
        self.context = browser.new_context(**context)
        self.page: Page = self.context.new_page()
        self.said: list[str] = []
        self.asked: list[str] = []
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.goto(file.as_uri())

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *_: object) -> None:
        self.context.close()


@pytest.fixture
def file(world: World, tmp_path: Path) -> Path:
    path = tmp_path / "report.html"
    path.write_text(report.render(lived(world)))
    return path


def test_the_numbers_are_the_tables(world: World, browser: Browser, tmp_path: Path) -> None:
    shown = lived(world)
    file = tmp_path / "report.html"
    file.write_text(report.render(shown))
    with Reader(browser, file, viewport={"width": 1200, "height": 900}) as reader:
        assert reader.said == []
        for one in shown.panels:
            drawn = reader.page.locator(f"#{one.panel.name} .picture svg.main-svg").count()
            assert bool(drawn) == bool(one.rows), one.panel.name
            rows = reader.page.locator(f"#{one.panel.name} tbody tr").count()
            assert rows == len(one.rows)
        for name, values in (("events_resolved", ["14"]), ("score_distribution", ["7"]),
                             ("alerts", ["6", "0"]), ("campaign_timeline", ["6"])):  # fmt: skip
            assert reader.page.locator(f"#{name} dd").all_inner_texts() == values, name
        bars = reader.page.locator("#score_distribution .bars .point").count()
        assert bars == 20


def test_nothing_in_it_runs_or_asks_anybody(browser: Browser, file: Path) -> None:
    text = file.read_text()
    assert "olaf@example.com" not in text
    assert "u1@example.com" not in text
    with Reader(browser, file) as reader:
        assert reader.page.title() == "Report of 15 June 2026 · Horizon"
        labels = reader.page.locator("#top_users .ytick").all_inner_texts()
        assert len(labels) == 7, "two long names are two people"
        assert reader.page.locator("#top_users a, #top_users img").count() == 0
        cells = reader.page.locator("#top_users tbody tr td:first-child").all_text_contents()
        assert {HOSTILE, LINK, "gina"} <= set(cells)
        assert [url for url in reader.asked if not url.startswith(("data:", "blob:"))] == [
            file.as_uri()
        ]
        assert reader.said == []
        policy = reader.page.locator("meta[http-equiv]").get_attribute("content") or ""
        assert "unsafe-eval" not in policy
        assert "unsafe-inline" not in policy.partition("script-src")[2].partition(";")[0]
        with pytest.raises(Exception, match=r"Failed to fetch|Content Security"):
            reader.page.evaluate("fetch('http://127.0.0.1:9/')")


def test_without_scripts_every_number_is_there(browser: Browser, file: Path) -> None:
    with Reader(browser, file, java_script_enabled=False) as reader:
        assert reader.page.locator("#alerts dd").first.inner_text() == "6"
        reader.page.locator("#top_users summary").click()
        assert reader.page.get_by_role("cell", name="gina", exact=True).is_visible()


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 1200])
def test_axe_finds_nothing_and_nothing_is_cut_off(
    browser: Browser, file: Path, scheme: Any, width: int
) -> None:
    with Reader(
        browser, file, viewport={"width": width, "height": 900}, color_scheme=scheme
    ) as reader:
        for summary in reader.page.locator("summary").all():
            summary.click()
        found: Any = Axe().run(reader.page, options={}).response
        assert [one["id"] for one in found["violations"]] == []
        assert reader.page.evaluate("document.documentElement.scrollWidth") == width
        assert reader.said == []


@pytest.mark.slow
def test_the_pictures_follow_the_reader_s_colours(browser: Browser, file: Path) -> None:
    with Reader(browser, file, color_scheme="light") as reader:
        bar = reader.page.locator("#alerts .bars .point path").first
        style = bar.get_attribute("style") or ""
        assert "rgb(194, 80, 26)" in style
        reader.page.emulate_media(color_scheme="dark")
        reader.page.wait_for_function(
            "document.querySelector('#alerts .bars .point path').getAttribute('style').includes('rgb(238, 129, 71)')"
        )


@pytest.mark.slow
def test_a_new_installation_says_what_to_do(
    tmp_path: Path, settings: Any, browser: Browser, capsys: pytest.CaptureFixture[str]
) -> None:
    open_installation(settings)
    done = Command(tmp_path, settings)("report", "--out", "reports/today.html")
    assert done.returncode == 0, done.stderr
    assert done.stdout == "Written: reports/today.html\n"
    with Reader(browser, tmp_path / "reports" / "today.html") as reader:
        assert "horizon demo" in reader.page.locator(".lede").inner_text()
        told = reader.page.locator(".nothing").all_inner_texts()
        assert told == [panel.empty.replace("`", "") for panel in PANELS]
        assert reader.page.locator(".picture").count() == 0
        assert reader.said == []


def test_the_report_is_whole(file: Path) -> None:
    """One file: plotly's script is in it, and the panels stand in their order."""
    text = file.read_text()
    assert text.count("<script") == 3
    assert not re.search(r"""<(?:script|link|img)[^>]+(?:src|href)=["']?https?:""", text)
    titles = [unescape(one) for one in re.findall(r"<h2[^>]*>(.*?)</h2>", text)]
    assert titles == [panel.title for panel in PANELS]


def test_the_file_has_to_be_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["report"]) == 2
    assert "--out" in capsys.readouterr().err
