"""Both campaigns' mails and the demo's, in a real browser: widths, taps, contrast, no requests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from horizon.delivery.templating import load_template
from tests.parts import system_program

pytestmark = pytest.mark.slow

ALERT = {
    "profile": "018f2f6c-7d1e-7c3a-9b1e-0d6a00000001",
    "user_id": "a-rather-long-name.with-dots.and-more@subdomain.example.com",
    "score": 0.928576,
    "tier": "high",
    "days_silent": 13,
    "created": "2025-09-25 12:25",
}
VALUES: dict[str, object] = {
    "first_name": "Ana",
    "days_silent": 13,
    "last_seen": "12 September 2025",
    "activity_count": 42,
    "shop_url": "https://shop.example/?a=1&b=2",
    "unsubscribe_url": "https://mail.example/u/abc",
    "preferences_url": "https://mail.example/p/abc",
    "brand": "Horizon",
    "postal_address": "1 Harbour Street, 1010 Vienna, Austria",
    "count": 28,
    "alerts": [ALERT] * 28,
}
LONG = {
    **VALUES,
    "first_name": "Maximiliane-Charlotte-Alexandrina-Victoria-Wilhelmina",
    "brand": "Thistledown Brothers Woollen Manufacturers International",
    "postal_address": "W" * 80,
}
NAMES = ["miss_you", "good_activity", "demo_alert", "demo_digest"]

# WCAG 2.2, contrast: every visible text against the nearest background that is painted.
LEAST_CONTRAST = """() => {
  const parts = (css) => css.match(/[\\d.]+/g).map(Number);
  const light = (css) => {
    const [r, g, b] = parts(css).slice(0, 3).map((byte) => {
      const part = byte / 255;
      return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const painted = (css) => parts(css).length < 4 || parts(css)[3] > 0;
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  let least = 21, seen = 0;
  while (texts.nextNode()) {
    const element = texts.currentNode.parentElement;
    if (!texts.currentNode.data.trim() || !element.checkVisibility()) continue;
    let ground = element;
    while (!painted(getComputedStyle(ground).backgroundColor)) ground = ground.parentElement;
    const pair = [light(getComputedStyle(element).color),
                  light(getComputedStyle(ground).backgroundColor)].sort((a, b) => b - a);
    least = Math.min(least, (pair[0] + 0.05) / (pair[1] + 0.05));
    seen += 1;
  }
  return [seen, least];
}"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    program = system_program(["/usr/bin/chromium"], "chromium")
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(
            executable_path=str(program), args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        yield opened
        opened.close()


@pytest.fixture(params=[(320, "light"), (320, "dark"), (1200, "light"), (1200, "dark")],
                ids=lambda param: f"{param[0]}-{param[1]}")  # fmt: skip
def page(browser: Browser, request: pytest.FixtureRequest) -> Iterator[Page]:
    width, scheme = request.param
    context = browser.new_context(viewport={"width": width, "height": 700}, color_scheme=scheme)
    yield context.new_page()
    context.close()


def show(page: Page, html: str, folder: Path) -> list[str]:
    """Opens the mail as a file, takes its picture and gives the addresses it asked for."""
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    file = folder / "mail.html"
    file.write_text(html, encoding="utf-8")
    page.goto(file.as_uri(), wait_until="networkidle")
    page.screenshot(path=folder / "mail.png", full_page=True)
    return asked


def fits(page: Page) -> bool:
    return bool(page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"))


@pytest.mark.parametrize("name", NAMES)
def test_a_mail_looks_right(name: str, page: Page, tmp_path: Path) -> None:
    asked = show(page, load_template(name).render(VALUES).html, tmp_path)
    assert asked == [(tmp_path / "mail.html").as_uri()]
    assert fits(page)
    button = page.locator(f'a[href="{VALUES["shop_url"]}"]')
    assert button.count() == 1
    assert button.is_visible()
    box = button.bounding_box()
    assert box is not None
    assert box["height"] >= 44
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= page.evaluate("window.innerWidth")
    assert page.locator(f'a[href="{VALUES["unsubscribe_url"]}"]').is_visible()
    assert page.locator("h1").count() == 1
    assert page.locator("html").get_attribute("lang") == "en"
    texts, contrast = page.evaluate(LEAST_CONTRAST)
    assert texts > 8
    assert contrast >= 4.5


@pytest.mark.parametrize("name", NAMES)
def test_long_values_do_not_widen_a_mail(name: str, page: Page, tmp_path: Path) -> None:
    show(page, load_template(name).render(LONG).html, tmp_path)
    assert fits(page)


def test_the_dark_scheme_is_dark(browser: Browser, tmp_path: Path) -> None:
    grounds = []
    for scheme in ("light", "dark"):
        context = browser.new_context(color_scheme=scheme)
        opened = context.new_page()
        show(opened, load_template("miss_you").render(VALUES).html, tmp_path)
        css = "getComputedStyle(document.querySelector('.card table')).backgroundColor"
        grounds.append(opened.evaluate(css))
        context.close()
    assert grounds == ["rgb(255, 255, 255)", "rgb(24, 33, 43)"]


def test_the_checks_see_what_they_look_for(browser: Browser, tmp_path: Path) -> None:
    opened = browser.new_page(viewport={"width": 320, "height": 700})
    html = '<body style="background:#fff"><p style="width:900px;color:#999">x<img src="x.png">'
    assert len(show(opened, html, tmp_path)) == 2
    assert not fits(opened)
    assert opened.evaluate(LEAST_CONTRAST)[1] < 3
    opened.close()
