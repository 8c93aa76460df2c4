"""A site of its own origin whose pages a real browser opens, and what the browser asks for."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import Browser, Page, Response, sync_playwright


class Site:
    """Serves ``pages``: text by path. A path without an ending is HTML."""

    def __init__(self, pages: Mapping[str, str]) -> None:
        self.pages = dict(pages)

    def __enter__(self) -> Site:
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                path = urlsplit(self.path).path
                text = site.pages.get(path)
                self.send_response(200 if text is not None else 404)
                kind = "text/javascript" if path.endswith(".js") else "text/html"
                self.send_header("content-type", f"{kind}; charset=utf-8")
                self.end_headers()
                self.wfile.write((text or "").encode())

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@contextmanager
def browser(program: Path) -> Iterator[Browser]:
    """Chromium that knows no host but this machine."""
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(
            executable_path=str(program),
            args=["--no-sandbox", "--disable-dev-shm-usage",
                  "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1"],
        )  # fmt: skip
        yield opened
        opened.close()


class Visit:
    """A page that is open, with all that it asked for and complained of."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.asked: list[str] = []  # "POST http://..."
        self.answers: list[tuple[int, str]] = []
        self.complaints: list[str] = []
        page.on("request", lambda request: self.asked.append(f"{request.method} {request.url}"))
        page.on("response", self._note)
        page.on("console", lambda message: self.complaints.append(f"{message.type} {message.text}"))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def _note(self, response: Response) -> None:
        self.answers.append((response.status, response.url))

    def paths(self, method: str, url: str) -> list[str]:
        """What was asked of that host, in order."""
        start = f"{method} {url}"
        return [line[len(start) :] for line in self.asked if line.startswith(f"{start}/")]

    def hosts(self) -> set[str]:
        """Of everything that was asked for: "127.0.0.1:8100"."""
        return {urlsplit(line.partition(" ")[2]).netloc for line in self.asked}
