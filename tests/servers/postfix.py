"""Debian's Postfix, an instance of the test's own: its configuration, queue and mailboxes in one
folder, on loopback, and nothing leaves it."""

from __future__ import annotations

import email
import email.policy
import json
import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Sequence
from email.message import EmailMessage
from pathlib import Path
from types import TracebackType
from typing import Any

import pytest

from tests.parts import system_program

DOMAIN = "good.example"
IDN_DOMAIN = "xn--bcher-kva.example"
SENDER = "shop@shop.example"

_MAIN = """
compatibility_level = 3.6
queue_directory = {folder}/queue
data_directory = {folder}/data
maillog_file = {folder}/mail.log
maillog_file_prefixes = {folder}
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
myhostname = mx.{domain}
mydestination =
mynetworks =
alias_maps =
local_recipient_maps =
biff = no
smtpd_peername_lookup = no
smtpd_recipient_restrictions = reject_unauth_destination
smtputf8_enable = yes
virtual_mailbox_domains = {domain}, {idn_domain}, shop.example
virtual_mailbox_base = {folder}/mail
virtual_mailbox_maps = texthash:{folder}/etc/mailboxes
virtual_uid_maps = static:{uid}
virtual_gid_maps = static:{gid}
virtual_minimum_uid = 1
transport_maps = texthash:{folder}/etc/transport
default_transport = error:5.1.2 nothing leaves this test
minimal_backoff_time = 3600s
{tls}
"""
_MASTER = """
127.0.0.1:{port} inet n - n - - smtpd
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
proxymap unix - - n - - proxymap
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
postlog unix-dgram n - n - 1 postlogd
gone unix - n n - - pipe user=nobody argv=/bin/sh {folder}/etc/gone
later unix - n n - - pipe user=nobody argv=/bin/sh {folder}/etc/later
"""
_COMMANDS = {
    "gone": "echo no such mailbox; exit 67\n",
    "later": "echo full; exit 75\n",
}  # sysexits.h


class Postfix:
    """``users`` have a mailbox. What is taken for the users of ``gone`` bounces after that, and
    what is taken for those of ``later`` stays in the queue."""

    def __init__(
        self,
        port: int,
        users: Sequence[str],
        gone: Sequence[str] = (),
        later: Sequence[str] = (),
        tls: tuple[Path, Path] | None = None,
    ) -> None:
        self._programs = system_program(["/usr/sbin/postfix"], "postfix").parent
        if os.geteuid() != 0:
            pytest.skip("Postfix gives each of its parts another account: run this test as root")
        self.port = port
        # Its accounts have to walk through it, and pytest's own folders are closed to them.
        self.folder = Path(tempfile.mkdtemp(prefix="horizon-postfix-"))
        self.folder.chmod(0o755)
        self._write([SENDER, *users, *gone, *later], tls)
        (self.folder / "etc" / "transport").write_text(
            "".join(f"{user} gone:\n" for user in gone)
            + "".join(f"{user} later:\n" for user in later)
        )

    def _write(self, boxes: Sequence[str], tls: tuple[Path, Path] | None) -> None:
        account = pwd.getpwnam("postfix")
        for name in ("etc", "queue", "data", "mail"):
            (self.folder / name).mkdir()
        for name in ("data", "mail"):
            os.chown(self.folder / name, account.pw_uid, account.pw_gid)
        said = ""
        if tls is not None:
            said = "smtpd_tls_cert_file = {}\nsmtpd_tls_key_file = {}\n".format(*tls)
            said += "smtpd_tls_security_level = may\nsmtpd_tls_received_header = yes"
        etc = self.folder / "etc"
        (etc / "main.cf").write_text(_MAIN.format(
            folder=self.folder, domain=DOMAIN, idn_domain=IDN_DOMAIN, uid=account.pw_uid,
            gid=account.pw_gid, tls=said,
        ))  # fmt: skip
        (etc / "master.cf").write_text(_MASTER.format(port=self.port, folder=self.folder))
        (etc / "mailboxes").write_text("".join(f"{user} {user}/\n" for user in boxes))
        for name, text in _COMMANDS.items():
            (etc / name).write_text(text)

    def __enter__(self) -> Postfix:
        done = self._run("postfix", "start")
        if done.returncode != 0:
            self.stop()
            raise RuntimeError(f"Postfix did not start: {done.stdout}")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def stop(self) -> None:
        self._run("postfix", "stop")
        shutil.rmtree(self.folder, ignore_errors=True)

    def mails(self, user: str) -> list[EmailMessage]:
        """What lies in the user's mailbox."""
        files = sorted((self.folder / "mail" / user / "new").glob("*"))
        return [_parsed(file.read_bytes()) for file in files]

    def wait_for(self, user: str, timeout_s: float = 20) -> list[EmailMessage]:
        deadline = time.monotonic() + timeout_s
        while not (mails := self.mails(user)):
            assert time.monotonic() < deadline, f"nothing for {user}: {self.log()}"
            time.sleep(0.05)
        return mails

    def queue(self) -> list[dict[str, Any]]:
        """Each mail that waits, as postqueue tells."""
        said = self._run("postqueue", "-j").stdout
        return [json.loads(line) for line in said.splitlines() if line.startswith("{")]

    def log(self) -> str:
        return (self.folder / "mail.log").read_text()

    def _run(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(self._programs / program), "-c", str(self.folder / "etc"), *arguments], check=False, timeout=60,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip


def _parsed(content: bytes) -> EmailMessage:
    mail = email.message_from_bytes(content, policy=email.policy.SMTPUTF8)
    assert isinstance(mail, EmailMessage)
    return mail
