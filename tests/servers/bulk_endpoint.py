"""A real HTTP server that takes bulk requests and refuses what a test wants refused."""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from horizon.observe.shipper.schema import mappings

# What becomes of one document: None where it is taken, else the item's status and error.
Verdict = Callable[[dict[str, Any], int], tuple[int, dict[str, Any]] | None]


class BulkEndpoint:
    """Keeps documents by their ids, as a search server does.

    ``judge(document, request)`` decides of each document, with the number of the bulk request;
    ``whole(request, size)`` may answer a whole request instead: a status, or 0 to hang up.
    ``say`` may change any other answer: it has the path, and the status and body that are due.
    """

    def __init__(
        self,
        judge: Verdict = lambda _d, _n: None,
        whole: Callable[[int, int], int] = lambda _n, _s: 200,
        say: Callable[[str, int, Any], tuple[int, Any]] = lambda _p, status, body: (status, body),
    ) -> None:
        self.documents: dict[str, dict[str, Any]] = {}
        self.requests = 0
        self.there = 0
        self.headers: list[dict[str, str]] = []
        self.puts: list[str] = []
        self.mapping: Any = {"cdp_events": {"mappings": mappings()}}  # as it tells it
        # As a data stream that has rolled over: it takes an id again that an older part has.
        self.rolls_over = False
        self.doubled = 0
        self.searches = 0
        self.judge, self.whole, self.say = judge, whole, say
        self._lock = threading.Lock()
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: object) -> None:
                pass

            def do_GET(self) -> None:
                self._answer(404 if endpoint.mapping is None else 200, endpoint.mapping)

            def do_PUT(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"] or 0))
                endpoint.puts.append(self.path)
                endpoint.headers.append(dict(self.headers))
                self._answer(200, {"acknowledged": True})

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                endpoint.headers.append(dict(self.headers))
                path = self.path.partition("?")[0]
                if path.endswith(("_refresh", "_search")):
                    status, answer = 200, endpoint.look(body)
                else:
                    status, answer = endpoint.bulk(body)
                status, answer = endpoint.say(self.path, status, answer)
                if status == 0:
                    self.connection.close()
                    self.close_connection = True
                else:
                    self._answer(status, answer)

            def _answer(self, status: int, answer: Any) -> None:
                body = json.dumps(answer, separators=(",", ":")).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> BulkEndpoint:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def bulk(self, body: bytes) -> tuple[int, Any]:
        with self._lock:
            self.requests += 1
            status = self.whole(self.requests, len(body))
            if status not in {0, 200}:
                return status, {"error": {"type": "told_to", "reason": f"told to answer {status}"}}
            lines = body.split(b"\n")[:-1]
            if lines and b'"delete"' in lines[0]:
                return status, {"errors": False, "items": [{"delete": {"status": 404}}]}
            items = [
                self._one(json.loads(action)["create"]["_id"], source)
                for action, source in zip(lines[::2], lines[1::2], strict=True)
            ]
            errors = any(item["create"]["status"] > 299 for item in items)
            return status, {"errors": errors, "items": items}

    def look(self, body: bytes) -> dict[str, Any]:
        """Which of the ids that a search names are there; a refresh names none."""
        self.searches += 1
        named = json.loads(body)["query"]["ids"]["values"] if body else []
        hits = [{"_id": id_} for id_ in named if id_ in self.documents]
        return {"timed_out": False, "_shards": {"failed": 0}, "hits": {"hits": hits}}

    def _one(self, id_: str, source: bytes) -> dict[str, Any]:
        document = json.loads(source)
        if id_ in self.documents and self.rolls_over:
            self.doubled += 1
            return {"create": {"status": 201}}
        if id_ in self.documents:
            self.there += 1
            return {
                "create": {
                    "status": 409,
                    "error": {"type": "version_conflict_engine_exception", "reason": "there"},
                }
            }
        if refused := self.judge(document, self.requests):
            return {"create": {"status": refused[0], "error": refused[1]}}
        self.documents[id_] = document
        return {"create": {"status": 201}}
