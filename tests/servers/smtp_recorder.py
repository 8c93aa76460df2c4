"""A mail server for tests, in a process of its own: it records what it accepts, fails by script.

A message is accepted when its final dot was read; then one JSON line about it is appended to the
record, and then 250 is answered. PIPELINING, 8BITMIME, SMTPUTF8, SIZE; AUTH and STARTTLS if asked.

A script is a list of rules; the first that fits and is not used up decides:

    {"at": "rcpt", "match": "busy", "answer": "451 4.3.2 try later"}
    {"at": "content", "nth": 3, "action": "close", "record": true}

at      connect, starttls, mail, rcpt, data, content (the answer after the dot), content-half
match   part of a recipient (at mail: of the sender; at data and content: of any recipient)
nth     the nth MAIL of this process, from 1 (at connect and starttls: the nth connection)
answer  what is said instead; a 354 at data is said even without a recipient; 421 ends it
action  hang (say nothing more), close (drop the connection), slow (wait ``seconds``, then go on),
        drip (answer a byte every ``seconds``), sip (at content-half: read a byte every ``seconds``)
times   only for the first N fits;  after_bytes  how much of it content-half reads first
record  at content, with hang, close or slow: the message was taken before that, only the answer
        is lost, or late
"""

from __future__ import annotations

import argparse
import asyncio
import json
import selectors
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.servers.smtp_script import Script
from tests.servers.smtp_session import Record, Server

_ROOT = Path(__file__).resolve().parents[2]
_START_S = 20.0


class SmtpRecorder:
    """Starts and stops a recorder; its record stands in ``folder`` and outlives a kill."""

    def __init__(
        self,
        folder: Path,
        script: Sequence[dict[str, Any]] = (),
        *,
        auth: str | None = None,
        starttls: tuple[Path, Path] | None = None,
        keep_content: bool = False,
        pipelining: bool = True,
    ) -> None:
        self.port = 0
        self.path = folder / "recorded.jsonl"
        self._script = list(script)
        self._options: list[str] = ["--keep-content"] if keep_content else []
        if not pipelining:
            self._options.append("--no-pipelining")
        if auth is not None:
            self._options += ["--auth", auth]
        if starttls is not None:
            self._options += ["--starttls", *map(str, starttls)]
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> SmtpRecorder:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Listen: at first on any free port, later on the same one again.

        A rule with a name or word that does not exist raises TypeError or ValueError here.
        """
        Script(self._script)
        command = [sys.executable, "-m", "tests.servers.smtp_recorder", "--port", str(self.port)]
        command += ["--file", str(self.path), "--script", json.dumps(self._script)]
        self._process = subprocess.Popen(
            command + self._options, cwd=_ROOT, stdout=subprocess.PIPE, text=True
        )
        self.port = self._wait_ready()

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """As ``kill -9``: connections break wherever they are."""
        self._end(signal.SIGKILL)

    def restart(self, script: Sequence[dict[str, Any]] | None = None) -> None:
        """Start again on the same port with the same record; rules count from the beginning."""
        self.kill()
        if script is not None:
            self._script = list(script)
        self.start()

    def messages(self) -> list[dict[str, Any]]:
        """Every message accepted so far, in order, over all restarts."""
        if not self.path.exists():
            return []
        written = self.path.read_text()
        whole = written[: written.rfind("\n") + 1]  # a line may be in the middle of its write
        return [json.loads(line) for line in whole.splitlines()]

    def wait_for(self, count: int, timeout_s: float = 10.0) -> list[dict[str, Any]]:
        """The messages, as soon as there are ``count``; raises TimeoutError."""
        deadline = time.monotonic() + timeout_s
        while len(messages := self.messages()) < count:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{len(messages)} of {count} messages after {timeout_s} s")
            time.sleep(0.01)
        return messages

    def _wait_ready(self) -> int:
        assert self._process is not None and self._process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            line = self._process.stdout.readline() if selector.select(_START_S) else ""
        if not line.startswith("ready "):
            self.kill()
            raise RuntimeError("the SMTP recorder did not start: see what it wrote above")
        return int(line.split()[1])

    def _end(self, number: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(number)
        process.wait(timeout=_START_S)
        if process.stdout is not None:
            process.stdout.close()


async def _serve(options: argparse.Namespace) -> None:
    tls = None
    if options.starttls:
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(*options.starttls)
    record = Record(options.file, options.keep_content)
    server = Server(
        Script(json.loads(options.script)), record, options.auth, tls, options.pipelining
    )
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    listener = await asyncio.start_server(
        server.serve, "127.0.0.1", options.port, limit=1 << 20, backlog=512
    )
    print(f"ready {listener.sockets[0].getsockname()[1]}", flush=True)
    await stopped.wait()
    listener.close()


def main() -> None:
    parser = argparse.ArgumentParser(description="A mail server for tests that records.")
    parser.add_argument("--port", type=int, default=0, help="0 means any free port")
    parser.add_argument("--file", type=Path, required=True, help="the JSON lines of the record")
    parser.add_argument("--script", default="[]", help="JSON list of rules")
    parser.add_argument("--auth", metavar="USER:PASSWORD")
    parser.add_argument("--starttls", nargs=2, type=Path, metavar=("CERT", "KEY"))
    parser.add_argument("--no-pipelining", dest="pipelining", action="store_false")
    parser.add_argument("--keep-content", action="store_true", help="base64 of it in the record")
    asyncio.run(_serve(parser.parse_args()))


if __name__ == "__main__":
    main()
