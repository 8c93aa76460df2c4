"""``make screenshots``: runs the demo in a folder of its own and takes every committed picture."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

from horizon.catcher.store import MailStore
from tests.parts import system_program

PICTURES = Path(__file__).parent.parent / "docs" / "pictures"
HORIZON = [sys.executable, "-m", "horizon.cli"]
CHROMIUM = [
    "--no-sandbox",
    "--disable-dev-shm-usage",
    "--disable-gpu",
    "--disable-background-networking",
]


@contextmanager
def demo() -> Iterator[Path]:
    """A folder where the demo has run."""
    folder = Path(tempfile.mkdtemp(prefix="horizon-pictures-"))
    folder.chmod(0o755)
    environment = {**os.environ, "HORIZON_HOME": str(folder / ".horizon")}
    try:
        subprocess.run([*HORIZON, "demo"], cwd=folder, env=environment, check=True)
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


def main() -> None:
    PICTURES.mkdir(parents=True, exist_ok=True)
    chromium = system_program(["chromium", "chromium-browser"], "chromium")
    with demo() as folder, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=CHROMIUM)
        page(browser, folder)
        mails(browser, folder)
        browser.close()
    print("\n".join(sorted(str(path) for path in PICTURES.glob("*.png"))))


if __name__ == "__main__":
    main()
