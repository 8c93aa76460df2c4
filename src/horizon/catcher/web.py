"""HTTP for the pages: the standard library's server, which is enough for one person."""

from __future__ import annotations

import contextlib
import socket
import socketserver
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from horizon.catcher.pages import Pages


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "horizon"
    sys_version = ""
    timeout = 30.0  # an idle connection holds a thread
    server: PageServer

    def do_GET(self) -> None:
        reply = self.server.pages.respond(
            self.path, self.headers.get("Host", ""), self.headers.get("If-None-Match", "")
        )
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        if reply.status != 304:
            self.send_header("Content-Length", str(len(reply.body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(reply.body)

    do_HEAD = do_GET  # noqa: N815

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Nothing: a line for each refresh helps nobody."""


class PageServer(ThreadingHTTPServer):
    """Listens as soon as it is made, which raises OSError; answers while ``running``."""

    daemon_threads = True
    allow_reuse_port = False

    def __init__(self, host: str, port: int, pages: Pages) -> None:
        self.pages = pages
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        super().__init__((host, port), _Handler)

    def server_bind(self) -> None:
        # Not HTTPServer's: it looks the host's name up, which can hang without a resolver.
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = self.socket.getsockname()[:2]

    def handle_error(self, request: object, client_address: object) -> None:
        """Nothing: a browser that closed its connection is no error."""

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        thread = threading.Thread(target=self.serve_forever, args=(0.1,), name="mail-pages")
        thread.start()
        try:
            yield
        finally:
            self.shutdown()
            thread.join()
            self.server_close()
