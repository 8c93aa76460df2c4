"""``make screenshots``: takes every committed picture, each part of them in a folder of its own.

``ARGS="pages"`` takes those of the pages behind a mail's links only, ``ARGS="report"`` the
report's, ``ARGS="profile"`` those of a profile's graph, ``ARGS="demo"`` the others.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from playwright.sync_api import Browser, sync_playwright

from horizon.catcher.store import MailStore
from horizon.edge.language import LANGUAGES
from horizon.pipeline.installation import open_installation
from horizon.settings import Settings
from tests import profile_story
from tests.link_pages import anns_page, show
from tests.parts import system_program
from tests.servers.collector import Application

PICTURES = Path(__file__).parent.parent / "docs" / "pictures"
SAVED = b"horizon=1&listed=tracking&purpose=tracking&every=week&pause=1"
BACK = b"horizon=1&listed=tracking&granted=tracking&every=always&resume=1"
HORIZON = [sys.executable, "-m", "horizon.cli"]
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
CHROMIUM = [
    "--no-sandbox",
    "--disable-dev-shm-usage",
    "--disable-gpu",
    "--disable-background-networking",
]


@contextmanager
def installation(*command: str) -> Iterator[Path]:
    """A folder with an installation, where ``horizon COMMAND`` has run."""
    folder = Path(tempfile.mkdtemp(prefix="horizon-pictures-"))
    folder.chmod(0o755)
    environment = {**os.environ, "HORIZON_HOME": str(folder / ".horizon")}
    try:
        subprocess.run([*HORIZON, *command], cwd=folder, env=environment, check=True)
        yield folder
    finally:
        subprocess.run([*HORIZON, "down"], cwd=folder, env=environment, check=True)
        shutil.rmtree(folder, ignore_errors=True)


def page(browser: Browser, folder: Path) -> None:
    view = browser.new_page(viewport={"width": 1280, "height": 1010})
    view.goto((folder / ".horizon" / "demo.html").as_uri())
    view.screenshot(path=PICTURES / "demo.png")
    box = view.locator("#pipeline").bounding_box()
    assert box is not None
    around = {
        "x": box["x"] - 40,
        "y": box["y"] - 24,
        "width": box["width"] + 80,
        "height": box["height"] + 48,
    }
    view.screenshot(path=PICTURES / "flow.png", full_page=True, clip=around)


def mails(browser: Browser, folder: Path) -> None:
    store = MailStore(folder / ".horizon" / "mail")
    wanted = {"miss_you", "good_activity"}
    for entry in reversed(store.list()):
        mail = store.read(entry.id)
        name = str(mail["Feedback-ID"]).partition(":")[0]
        body = mail.get_body(("html",))
        if name not in wanted or body is None:
            continue
        wanted.discard(name)
        for width in (320, 1200):
            view = browser.new_page(viewport={"width": width, "height": 640})
            view.set_content(body.get_content())
            view.screenshot(path=PICTURES / f"{name}-{width}.png", full_page=True)


def link_pages(browser: Browser, folder: Path) -> None:
    """The preference page in each language, and what it says after a save."""
    own = open_installation(
        Settings(HORIZON_HOME=str(folder / ".horizon"), LOG_PATH=str(folder / "log"))
    )
    with Application(own.settings.changed(PG_DSN=own.database.dsn)) as collector:
        for language in LANGUAGES:
            path = f"{anns_page(own.database, own.keys)}?lang={language}"
            taken = {
                "preferences": collector.ask("GET", path),
                "preferences-saved": collector.ask("POST", path, SAVED),
                "unsubscribe": collector.ask("GET", path.replace("/p/", "/u/")),
            }
            for name, answer in taken.items():
                for width in (320, 1200):
                    view = browser.new_page(viewport={"width": width, "height": 400})
                    show(view, answer)
                    file = PICTURES / f"{name}-{language}-{width}.png"
                    view.screenshot(path=file, full_page=True)
                    view.close()
            collector.ask("POST", path, BACK)


def report(browser: Browser, folder: Path) -> None:
    """After the demo, as each reader sees it."""
    environment = {**os.environ, "HORIZON_HOME": str(folder / ".horizon")}
    command = [*HORIZON, "report", "--out", "report.html"]
    subprocess.run(command, cwd=folder, env=environment, check=True)
    in_each_look(browser, folder / "report.html", "report", (320, 1200))


def profile(browser: Browser, folder: Path) -> None:
    """Ann of docs/profiles.md."""
    environment = {**os.environ, "HORIZON_HOME": str(folder / ".horizon")}
    profile_story.begin(folder, environment)
    command = "horizon profile graph user_id:ann --out ann.html"
    profile_story.typed(command, folder, environment)
    in_each_look(browser, folder / "ann.html", "profile", (390, 1200))


def in_each_look(browser: Browser, file: Path, name: str, widths: tuple[int, ...]) -> None:
    for scheme in SCHEMES:
        for width in widths:
            context = browser.new_context(
                viewport={"width": width, "height": 800}, color_scheme=scheme
            )
            view = context.new_page()
            view.goto(file.as_uri())
            view.screenshot(path=PICTURES / f"{name}-{scheme}-{width}.png", full_page=True)
            context.close()


def main() -> None:
    parts = sys.argv[1:] or ["demo", "report", "pages", "profile"]
    PICTURES.mkdir(parents=True, exist_ok=True)
    chromium = system_program(["chromium", "chromium-browser"], "chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=CHROMIUM)
        if {"demo", "report"} & set(parts):
            with installation("demo") as folder:
                if "demo" in parts:
                    page(browser, folder)
                    mails(browser, folder)
                if "report" in parts:
                    report(browser, folder)
        if "pages" in parts:
            with installation("init") as folder:
                link_pages(browser, folder)
        if "profile" in parts:
            with installation("init") as folder:
                profile(browser, folder)
        browser.close()
    print("\n".join(sorted(str(path) for path in PICTURES.glob("*.png"))))


if __name__ == "__main__":
    main()
