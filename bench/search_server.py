"""A real OpenSearch 2.19 and a real Elasticsearch 8.19, for the tests and the benches.

requirements/search-servers.sh fetches them; nothing is downloaded here.
"""

from __future__ import annotations

import json
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
FETCHED = ROOT / ".venv" / "search"
START_TIMEOUT_S = 180  # 11 s on a quiet machine, 50 s on a loaded one
STOP_TIMEOUT_S = 40
HEAP = "-Xms512m -Xmx512m"

_ELASTICSEARCH = """
discovery.type: single-node
xpack.security.enabled: false
node.store.allow_mmap: false
cluster.routing.allocation.disk.threshold_enabled: false
action.destructive_requires_name: false
network.host: 127.0.0.1
http.port: {http}
transport.port: {transport}
path.data: {folder}/data
path.logs: {folder}/logs
"""


class NoSearchServerError(Exception):
    """This machine cannot start one; the message says what to do."""


class SearchServer(ABC):
    """One node on loopback, in a folder of its own; it dies with the process that started it."""

    name: str

    def __init__(self, free_port: Callable[[], int]) -> None:
        _java()
        self.port, self.transport_port = free_port(), free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.folder = Path(tempfile.mkdtemp(prefix=f"horizon-{self.name}-"))
        self.folder.chmod(0o755)  # nobody's server walks through it
        self.opener = urllib.request.build_opener()
        self._process: subprocess.Popen[bytes] | None = None

    @abstractmethod
    def _launch(self, output: Any) -> subprocess.Popen[bytes]: ...

    def start(self) -> None:
        """Start it, or start it again on the same port and data, and wait until it serves."""
        with (self.folder / "output").open("ab") as output:
            self._process = self._launch(output)
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self._serves():
            late = time.monotonic() > deadline
            if late or self._process.poll() is not None:
                said = (self.folder / "output").read_text(errors="replace")[-2000:]
                self.kill()
                raise RuntimeError(f"{self.name} does not start: {said}")
            time.sleep(0.1)

    def _serves(self) -> bool:
        try:
            health = self.ask("GET", "/_cluster/health")
        except (OSError, ValueError):
            return False
        return isinstance(health, dict) and health.get("status") in {"green", "yellow"}

    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def kill(self) -> None:
        """End it as a power cut does: SIGKILL to its whole group."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    def remove(self) -> None:
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _end(self, number: signal.Signals) -> None:
        if self._process is None:
            return
        for attempt in (number, signal.SIGKILL):
            try:
                os.killpg(self._process.pid, attempt)  # it leads a group of its own
                self._process.wait(STOP_TIMEOUT_S)
            except ProcessLookupError:
                break
            except subprocess.TimeoutExpired:
                continue
        self._process.wait()
        self._process = None

    def headers(self) -> dict[str, str]:
        """What tells the server who asks."""
        return {}

    def ask(self, method: str, path: str, body: Any = None, timeout_s: float = 60) -> Any:
        """The answer's JSON, or its text; ``body`` is JSON, or bytes that are sent as they are.

        Raises urllib's HTTPError where the server refuses, OSError where it is away.
        """
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        kind = "application/x-ndjson" if isinstance(body, bytes) else "application/json"
        headers = {"Content-Type": kind, **self.headers()}
        request = urllib.request.Request(self.url + path, data, headers, method=method)
        with self.opener.open(request, timeout=timeout_s) as answer:
            text = answer.read().decode()
        try:
            return json.loads(text)
        except ValueError:
            return text

    def search(self, index: str, body: Any) -> Any:
        return self.ask("POST", f"/{index}/_search", body)

    def documents(self, index: str = "cdp_events") -> dict[str, dict[str, Any]]:
        """Every document of the index by its id; none where there is no such index."""
        found: dict[str, dict[str, Any]] = {}
        try:
            self.ask("POST", f"/{index}/_refresh")
        except urllib.error.HTTPError as exc:
            if exc.code == 404:
                return found
            raise
        page = self.ask("POST", f"/{index}/_search?scroll=1m", {"size": 5000, "sort": ["_doc"]})
        while hits := page["hits"]["hits"]:
            for hit in hits:
                assert hit["_id"] not in found, "an id that is there twice"
                found[hit["_id"]] = hit["_source"]
            page = self.ask(
                "POST", "/_search/scroll", {"scroll": "1m", "scroll_id": page["_scroll_id"]}
            )
        return found

    def empty(self) -> None:
        """Take away every index, data stream and template that a test made.

        This Elasticsearch, built for tests, makes data streams but cannot drop them: a test that
        makes one there names it after itself.
        """
        self._forget("/_data_stream/*")
        self._forget("/*?expand_wildcards=open,closed")
        self._forget("/_index_template/cdp_events")

    def _forget(self, path: str) -> None:
        try:
            self.ask("DELETE", path)
        except urllib.error.HTTPError as exc:
            if exc.code not in {404, 405}:
                raise


class OpenSearch(SearchServer):
    name = "opensearch"

    def _launch(self, output: Any) -> subprocess.Popen[bytes]:
        words = [
            _java() / "bin" / "java",
            "-Dlog4j.shutdownHookEnabled=false",  # a stop takes 30 s with it
            *HEAP.split(), "-cp", FETCHED / "*", ROOT / "bench" / "OpenSearch.java",
            self.port, self.transport_port, self.folder / "node",
        ]  # fmt: skip
        return _start(words, output, self.folder)


class Elasticsearch(SearchServer):
    name = "elasticsearch"

    def _launch(self, output: Any) -> subprocess.Popen[bytes]:
        home = self._unpacked()
        environment = {
            "ES_JAVA_HOME": str(_java()), "ES_PATH_CONF": str(home / "config"),
            "ES_TMPDIR": str(self.folder / "tmp"), "ES_JAVA_OPTS": HEAP,
        }  # fmt: skip
        user = ["--reuid=nobody", "--regid=nogroup", "--clear-groups"]  # it refuses root
        words = [*(user if os.geteuid() == 0 else []), home / "bin" / "elasticsearch"]
        return _start(words, output, self.folder, environment)

    def _unpacked(self) -> Path:
        (archive,) = FETCHED.glob("elasticsearch-*.zip")
        home = self.folder / archive.stem
        if home.exists():
            return home
        with zipfile.ZipFile(archive) as packed:
            packed.extractall(self.folder)
        for program in (home / "bin").iterdir():
            program.chmod(0o755)
        for name in ("data", "logs", "tmp"):
            (self.folder / name).mkdir()
        (home / "config" / "elasticsearch.yml").write_text(
            _ELASTICSEARCH.format(http=self.port, transport=self.transport_port, folder=self.folder)
        )
        options = home / "config" / "jvm.options"
        options.write_text(
            options.read_text().replace("\n9-:-Xlog:gc", "\n#").replace("\n-Xlog", "\n#")
        )
        if os.geteuid() == 0:
            give_to_nobody(self.folder)
        return home


def give_to_nobody(folder: Path) -> None:
    account = pwd.getpwnam("nobody")
    for path in [folder, *folder.rglob("*")]:
        os.chown(path, account.pw_uid, account.pw_gid)


def _start(
    words: list[Any], output: Any, folder: Path, environment: dict[str, str] | None = None
) -> subprocess.Popen[bytes]:
    # --pdeathsig: a test run that is killed leaves no server behind.
    return subprocess.Popen(
        ["setpriv", "--pdeathsig=KILL", *map(str, words)], cwd=folder, stdin=subprocess.DEVNULL,
        stdout=output, stderr=subprocess.STDOUT, start_new_session=True,
        env={"PATH": os.environ["PATH"], "HOME": str(folder), **(environment or {})},
    )  # fmt: skip


def _java() -> Path:
    """JAVA_HOME, where the servers are there as well. Raises NoSearchServerError."""
    compiler = shutil.which("javac")
    if compiler is None:
        raise NoSearchServerError(
            "there is no JDK, so no search server: apt-get install default-jdk-headless maven"
        )
    listed = ROOT / "requirements" / "search-servers.sha256"
    fetched = FETCHED / "fetched"
    if not fetched.exists() or fetched.read_text() != listed.read_text():
        raise NoSearchServerError(
            "the search servers are not fetched: sh requirements/search-servers.sh"
        )
    return Path(compiler).resolve().parents[1]
