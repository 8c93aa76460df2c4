"""The recorder's side of SMTP: the record, one connection."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import json
import os
import re
import ssl
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.servers.smtp_script import Rule, Script
from tests.servers.smtp_wire import ConnectionOver, Wire

SIZE_LIMIT_BYTES = 50 * 1024 * 1024
_ADDRESS = re.compile(r"(?:FROM|TO):\s*<([^>]*)>", re.IGNORECASE)
_MESSAGE_ID = re.compile(rb"^message-id:\s*(\S+)", re.IGNORECASE | re.MULTILINE)


def _plain(encoded: str) -> str:
    try:
        return base64.b64decode(encoded, validate=True).decode("utf-8", "replace")
    except ValueError:
        return ""


class Record:
    """The file of accepted messages: one write a message, so a kill leaves whole lines."""

    def __init__(self, path: Path, keep_content: bool) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._keep_content = keep_content

    def add(self, content: bytes, **facts: object) -> None:
        found = _MESSAGE_ID.search(content.partition(b"\r\n\r\n")[0])
        line: dict[str, object] = {
            **facts,
            "message_id": found.group(1).decode("utf-8", "replace") if found else None,
            "sha256": hashlib.sha256(content).hexdigest(),
            "size_bytes": len(content),
            "time": time.time(),
        }
        if self._keep_content:
            line["content"] = base64.b64encode(content).decode()
        os.write(self._file, json.dumps(line).encode() + b"\n")


@dataclass
class Server:
    """What all connections share."""

    script: Script
    record: Record
    auth: str | None = None
    tls: ssl.SSLContext | None = None
    pipelining: bool = True
    connections: int = 0
    mails: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        wire = Wire(reader, writer)
        with contextlib.suppress(ConnectionOver, ConnectionError, ssl.SSLError):
            await Session(self, wire, self.connections).run()
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            await wire.flush()
        writer.close()


class Session:
    """One connection."""

    def __init__(self, server: Server, wire: Wire, connection: int) -> None:
        self._server, self._wire, self._connection = server, wire, connection
        self._user: str | None = None
        self._secure = False
        self._number = 0
        self._reset()

    def _reset(self) -> None:
        self._sender: str | None = None
        self._recipients: list[str] = []

    async def run(self) -> None:
        await self._answer("connect", "220 recorder ESMTP", (), self._connection)
        while True:
            line = (await self._wire.line()).decode("utf-8", "surrogateescape")
            verb, _, rest = line.partition(" ")
            command = getattr(self, f"_on_{verb.lower()}", None)
            if command is None:
                self._wire.say("500 5.5.1 unknown command")
            else:
                await command(rest)

    async def _answer(
        self, at: str, usual: str, texts: Sequence[str], number: int | None = None
    ) -> str:
        """Say what the script wants at this point, or the usual; give back what was said."""
        rule = self._server.script.find(at, texts, self._number if number is None else number)
        if rule is not None and rule.action is not None:
            await self._act(rule)
        answer = (rule.answer if rule else None) or usual
        if (
            at == "content"
            and answer.startswith("2")
            and not (rule and rule.action and rule.record)
        ):
            self._keep()
        if rule is not None and rule.action == "drip":
            await self._wire.drip(answer, rule.seconds)
        else:
            self._wire.say(answer)
        if answer.startswith("421"):
            raise ConnectionOver
        return answer

    async def _act(self, rule: Rule) -> None:
        await self._wire.flush()
        if rule.at == "content" and rule.record:
            self._keep()
        if rule.action == "slow":
            await asyncio.sleep(rule.seconds)
        if rule.action in ("slow", "drip"):
            return
        if rule.action == "sip":
            await self._wire.sip(rule.seconds)
        if rule.action == "hang":
            await self._wire.swallow()
        raise ConnectionOver

    def _keep(self) -> None:
        self._server.record.add(
            self._content,
            mail_from=self._sender,
            rcpt=self._recipients,
            connection=self._connection,
            user=self._user,
            tls=self._secure,
        )

    async def _on_ehlo(self, rest: str) -> None:
        self._reset()
        offers = ["recorder", "PIPELINING", "8BITMIME", "SMTPUTF8", f"SIZE {SIZE_LIMIT_BYTES}"]
        if not self._server.pipelining:
            offers.remove("PIPELINING")
        if self._server.tls and not self._secure:
            offers.append("STARTTLS")
        elif self._server.auth:
            offers.append("AUTH PLAIN LOGIN")
        for offer in offers:
            self._wire.say(f"250-{offer}")
        self._wire.say("250 ENHANCEDSTATUSCODES")

    async def _on_helo(self, rest: str) -> None:
        self._reset()
        self._wire.say("250 recorder")

    async def _on_noop(self, rest: str) -> None:
        self._wire.say("250 2.0.0 ok")

    async def _on_rset(self, rest: str) -> None:
        self._reset()
        await self._on_noop(rest)

    async def _on_quit(self, rest: str) -> None:
        self._wire.say("221 2.0.0 bye")
        raise ConnectionOver

    async def _on_starttls(self, rest: str) -> None:
        if self._server.tls is None or self._secure:
            self._wire.say("502 5.5.1 no TLS here")
            return
        said = await self._answer("starttls", "220 2.0.0 go ahead", (), self._connection)
        if not said.startswith("220"):
            return
        await self._wire.start_tls(self._server.tls)
        self._secure, self._user = True, None
        self._reset()

    async def _on_auth(self, rest: str) -> None:
        mechanism, _, initial = rest.partition(" ")
        if self._server.auth is None or mechanism.upper() not in {"PLAIN", "LOGIN"}:
            self._wire.say("504 5.5.4 no such mechanism")
            return
        if mechanism.upper() == "PLAIN":
            said = initial or await self._ask("")
            given = ":".join(_plain(said).split("\0")[1:])
        else:
            user = initial or await self._ask("VXNlcm5hbWU6")
            given = f"{_plain(user)}:{_plain(await self._ask('UGFzc3dvcmQ6'))}"
        if given != self._server.auth:
            self._wire.say("535 5.7.8 wrong user or password")
            return
        self._user = given.partition(":")[0]
        self._wire.say("235 2.7.0 welcome")

    async def _ask(self, challenge: str) -> str:
        self._wire.say(f"334 {challenge}")
        return (await self._wire.line()).decode("ascii", "replace")

    async def _on_mail(self, rest: str) -> None:
        if not self._server.pipelining and self._wire.waiting:
            self._wire.say("503 5.5.1 commands in a group, and no PIPELINING was offered")
            return
        address = _ADDRESS.match(rest)
        if self._server.auth and self._user is None:
            self._wire.say("530 5.7.0 authentication required")
        elif address is None:
            self._wire.say("501 5.5.4 MAIL FROM:<address>")
        elif self._sender is not None:
            self._wire.say("503 5.5.1 nested MAIL")
        else:
            self._server.mails += 1
            self._number = self._server.mails
            said = await self._answer("mail", "250 2.1.0 ok", (address.group(1),))
            self._sender = address.group(1) if said.startswith("2") else None

    async def _on_rcpt(self, rest: str) -> None:
        address = _ADDRESS.match(rest)
        if self._sender is None:
            self._wire.say("503 5.5.1 MAIL first")
        elif address is None:
            self._wire.say("501 5.5.4 RCPT TO:<address>")
        else:
            said = await self._answer("rcpt", "250 2.1.5 ok", (address.group(1),))
            if said.startswith("2"):
                self._recipients.append(address.group(1))

    async def _on_data(self, rest: str) -> None:
        if self._sender is None:
            self._wire.say("503 5.5.1 MAIL first")
            return
        usual = "354 end with a lone dot" if self._recipients else "554 5.5.1 no valid recipients"
        said = await self._answer("data", usual, self._recipients)
        if not said.startswith("354"):
            return
        half = self._server.script.find("content-half", self._recipients, self._number)
        if half is not None:
            await self._wire.wait_for_bytes(half.after_bytes)
            await self._act(half)
        self._content = await self._wire.content()
        if self._recipients:
            await self._answer("content", "250 2.0.0 recorded", self._recipients)
        else:
            self._wire.say("554 5.5.1 no valid recipients")
        self._reset()
