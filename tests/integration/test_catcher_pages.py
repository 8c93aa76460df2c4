"""The pages of received mails: shown safely, whatever stands in a mail."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from email.message import EmailMessage
from email.policy import SMTP
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

from horizon.catcher import MailStore
from horizon.catcher.pages import Pages
from tests.servers.catcher import Catcher


@pytest.fixture(scope="module")
def catcher(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Catcher]:
    with Catcher(tmp_path_factory.mktemp("mail")) as running:
        yield running


@pytest.fixture
def store(tmp_path: Path) -> MailStore:
    return MailStore(tmp_path / "mail")


def test_damaged_files_do_not_break_the_list(store: MailStore) -> None:
    good = store.add(b"Subject: good\r\n\r\n", "a@example.com", ["b@example.com"])
    name = f"{1:020d}-0000000{{}}.eml".format
    (store.folder / name(1)).write_bytes(b"")
    (store.folder / name(2)).write_bytes(bytes(range(256)) * 20)
    (store.folder / name(3)).mkdir()
    (store.folder / name(4)).symlink_to("nowhere")
    (store.folder / "notes.eml").write_text("not ours")
    bad = store.add(
        b"Subject: =?utf-8?b?!!!?=\r\nFrom: <<@@>>,;\r\nDate: yesterday\r\n"
        b"Content-Type: multipart/mixed; boundary=\xff\r\n\r\n--",
        "a@example.com",
        ["b@example.com"],
    )
    assert [mail.id for mail in store.list()][:2] == [bad, good]
    assert [mail.damaged for mail in store.list()] == [False, False, True, True, True, True]
    pages = Pages(store, "127.0.0.1", 25)
    assert pages.respond("/", "localhost").status == 200
    assert [pages.respond(f"/mails/{mail.id}", "localhost").status for mail in store.list()] == [
        200, 200, 404, 404, 200, 200,
    ]  # fmt: skip


@pytest.mark.parametrize(
    "path",
    [
        "/mails/../../../etc/passwd/raw",
        "/mails/..%2f..%2fetc%2fpasswd/raw",
        "/api/mails/%2e%2e/raw",
        "/api/mails/..%00/raw",
        "/mails/notes/raw",
        "/mails/00000000000000000001-00000000",
        "/style.css/../pages.py",
        "//[",
        "/nothing",
    ],
)
def test_what_is_not_a_mail_is_404(catcher: Catcher, path: str) -> None:
    assert catcher.get(path)[0] == 404


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:80", "localhost.evil.example", "0.0.0.0", ""]
)
def test_a_rebound_name_is_refused(catcher: Catcher, host: str) -> None:
    for path in ("/", "/api/mails", "/style.css"):
        status, _, body = catcher.get(path, host=host)
        assert status == 403
        assert b"localhost" in body


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1", "127.0.0.1:8025", "[::1]:8025"])
def test_loopback_names_are_served(catcher: Catcher, host: str) -> None:
    assert catcher.get("/", host=host)[0] == 200


def test_bound_elsewhere_it_answers_to_any_name(store: MailStore) -> None:
    assert Pages(store, "0.0.0.0", 25).respond("/", "mail.internal").status == 200
    assert Pages(store, "localhost", 25).respond("/", "mail.internal").status == 403


def test_every_answer_is_guarded(catcher: Catcher) -> None:
    catcher.send(b"Content-Type: text/html\r\n\r\n<p>hello</p>\r\n")
    mail_id = catcher.mails()[0]["id"]
    for path in ("/", f"/mails/{mail_id}", f"/mails/{mail_id}/html", "/nothing"):
        _, headers, _ = catcher.get(path)
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["content-security-policy"].startswith("default-src 'none';")
        assert "script" not in headers["content-security-policy"]
    assert "sandbox" in catcher.get(f"/mails/{mail_id}/html")[1]["content-security-policy"]
    assert catcher.get(f"/mails/{mail_id}/raw")[1]["content-disposition"].startswith("attachment")


def test_an_unchanged_page_is_not_sent_again(catcher: Catcher) -> None:
    _, headers, _ = catcher.get("/?live=off")
    status, _, body = catcher.get("/?live=off", If_None_Match=headers["etag"])
    assert (status, body) == (304, b"")
    catcher.send(b"Subject: new\r\n\r\n")
    assert catcher.get("/?live=off", If_None_Match=headers["etag"])[0] == 200


def test_the_empty_page_says_what_to_do_and_looks_again(store: MailStore) -> None:
    page = Pages(store, "127.0.0.1", 1025).respond("/", "localhost").body.decode()
    assert "make demo" in page
    assert "127.0.0.1:1025" in page
    assert '<meta http-equiv="refresh"' in page


def test_subjects_cannot_become_markup(store: MailStore) -> None:
    mail_id = store.add(b"Subject: <script>x</script>\r\n\r\n", "a", ["<b>@example.com"])
    pages = Pages(store, "127.0.0.1", 25)
    for path in ("/", f"/mails/{mail_id}?view=headers", "/?q=<script>x"):
        page = pages.respond(path, "localhost").body.decode()
        assert "<script" not in page
        assert "&lt;script&gt;x" in page


def test_long_lists_have_pages_and_a_search(store: MailStore) -> None:
    for number in range(52):
        store.add(f"Subject: number {number}\r\n\r\n".encode(), "a", [f"p{number}@example.com"])
    pages = Pages(store, "127.0.0.1", 25)
    first = pages.respond("/", "localhost").body.decode()
    assert "number 51<" in first
    assert "number 1<" not in first
    older = pages.respond(f"/?before={store.list()[49].id}", "localhost").body.decode()
    assert [f"number {n}<" in older for n in (2, 1, 0)] == [False, True, True]
    assert "http-equiv" not in older
    found = json.loads(pages.respond("/api/mails?q=P51@", "localhost").body)
    assert [mail["subject"] for mail in found] == ["number 51"]


def test_attached_files_and_pictures_of_its_own(store: MailStore) -> None:
    mail = EmailMessage()
    mail.set_content("text")
    mail.add_alternative('<img src="cid:logo"><a href="https://example.com/">x</a>', subtype="html")
    html = mail.get_body(("html",))
    assert isinstance(html, EmailMessage)
    html.add_related(b"\x89PNG", "image", "png", cid="<logo>")
    mail.add_attachment(b"a,b\r\n", maintype="text", subtype="csv", filename="Umsätze.csv")
    mail_id = store.add(mail.as_bytes(), "a@example.com", ["b@example.com"])
    pages = Pages(store, "127.0.0.1", 25)
    assert (
        b'src="data:image/png;base64,iVBORw=='
        in pages.respond(f"/mails/{mail_id}/html", "localhost").body
    )
    page = pages.respond(f"/mails/{mail_id}", "localhost").body.decode()
    link = page.partition("Umsätze.csv")[0].rpartition('href="')[2].partition('"')[0]
    reply = pages.respond(link, "localhost")
    assert reply.body == b"a,b\r\n"
    assert reply.headers["Content-Disposition"].endswith("Ums%C3%A4tze.csv")


@pytest.fixture(scope="module")
def browser(chromium: Path) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        yield running
        running.close()


class Outside(ThreadingHTTPServer):
    """The network that a mail must not reach: it notes every request."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        asked = self.asked

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                asked.append(self.path)
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                pass

        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"


@pytest.fixture
def outside() -> Iterator[Outside]:
    with Outside() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


HOSTILE = """<!doctype html><html><head>
<base href="{url}/base/"><link rel="stylesheet" href="{url}/css">
<link rel="prefetch" href="{url}/pre">
<style>@import "{url}/import"; @font-face {{ font-family: f; src: url({url}/font) }}
body {{ background: url({url}/bg); font-family: f }}</style>
<meta http-equiv="refresh" content="0;url={url}/refresh">
<script>document.title = "ran"; new Image().src = "{url}/script"</script></head>
<body onload="fetch('{url}/onload')"><h1 id="seen">We miss you</h1>
<img src="{url}/img"><img src="x" onerror="document.getElementById('seen').textContent='ran'">
<svg onload="fetch('{url}/svg')"></svg><iframe src="{url}/frame"></iframe>
<object data="{url}/object"></object><video poster="{url}/poster" src="{url}/video"></video>
<form action="{url}/form"><button id="send">send</button></form>
<a id="go" href="{url}/link">go</a><a id="js" href="javascript:document.title='ran'">js</a>
</body></html>
"""


def test_html_runs_nothing_and_asks_nobody(
    catcher: Catcher, browser: Browser, outside: Outside
) -> None:
    mail = EmailMessage()
    mail.set_content("We miss you")
    mail.add_alternative(HOSTILE.format(url=outside.url), subtype="html")
    catcher.send(mail.as_bytes(policy=SMTP))
    address = f"http://localhost:{catcher.page_port}/mails/{catcher.mails()[0]['id']}"
    with browser.new_page() as page:
        page.goto(address)
        frame = page.frame_locator("iframe")
        assert frame.locator("#seen").inner_text() == "We miss you"
        frame.locator("#send").click()
        page.wait_for_timeout(400)
        assert frame.locator("#seen").inner_text() == "We miss you"
        page.goto(f"{address}/html")  # also where somebody opens it without the frame
        page.locator("#js").click()
        page.wait_for_timeout(400)
        assert page.locator("#seen").inner_text() == "We miss you"
        assert page.title() != "ran"
        assert page.url == f"{address}/html"
        assert outside.asked == []
        page.goto(address)
        with page.context.expect_page() as opened:
            frame.locator("#go").click()
        opened.value.wait_for_load_state()
        assert outside.asked[0] == "/link"  # the witness can see


def test_widths_and_a_page_that_fits_a_phone(catcher: Catcher, browser: Browser) -> None:
    catcher.send(b"Content-Type: text/html\r\nSubject: hello\r\n\r\n<p>hello</p>\r\n")
    address = f"http://localhost:{catcher.page_port}"
    with browser.new_page(viewport={"width": 375, "height": 700}) as page:
        for path in ("/", f"/mails/{catcher.mails()[0]['id']}"):
            page.goto(address + path)
            assert page.evaluate("document.documentElement.scrollWidth") <= 375
        page.get_by_role("link", name="Phone").click()
        box = page.locator("iframe").bounding_box()
        assert box is not None
        assert box["width"] == 320


def test_new_mail_appears_by_itself(catcher: Catcher, browser: Browser) -> None:
    with browser.new_page() as page:
        page.goto(f"http://localhost:{catcher.page_port}/")
        catcher.send(b"Subject: only just sent\r\n\r\nhello\r\n")
        page.get_by_text("only just sent").wait_for(timeout=8000)
