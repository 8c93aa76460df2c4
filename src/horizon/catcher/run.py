"""The catcher's process: both servers, the line that says they listen, the clean stop."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import signal
from collections.abc import Iterator
from pathlib import Path

from horizon.catcher import smtp, web
from horizon.catcher.pages import Pages
from horizon.catcher.store import MailStore
from horizon.errors import HorizonError, PortInUseError

_LAST_MAILS_S = 5.0


def run_catcher(folder: Path, smtp_port: int, page_port: int, host: str = "127.0.0.1") -> None:
    """Serve until SIGTERM or SIGINT, from the main thread; port 0 means any free port.

    Prints ``ready smtp=PORT page=PORT`` when both listen. Raises PortInUseError, HorizonError.
    """
    asyncio.run(_serve(MailStore(folder), smtp_port, page_port, host))


async def _serve(store: MailStore, smtp_port: int, page_port: int, host: str) -> None:
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    receiver = smtp.Receiver(store)
    with _sentence_for(host, smtp_port, "CATCHER_SMTP_PORT"):
        mail_server = await smtp.listen(receiver, host, smtp_port)
    smtp_port = mail_server.sockets[0].getsockname()[1]
    try:
        with _sentence_for(host, page_port, "CATCHER_PAGE_PORT"):
            page_server = web.PageServer(host, page_port, Pages(store, host, smtp_port))
        with page_server.running():
            print(f"ready smtp={smtp_port} page={page_server.server_port}", flush=True)
            await stopped.wait()
    finally:
        mail_server.close()
    await receiver.close(_LAST_MAILS_S)


@contextlib.contextmanager
def _sentence_for(host: str, port: int, setting: str) -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        if exc.errno == errno.EADDRINUSE:
            raise PortInUseError(
                f"the mail catcher cannot start, port {port} is in use: "
                f"stop the program that listens there or set {setting} to a free port."
            ) from exc
        if exc.errno == errno.EACCES:
            raise HorizonError(
                f"the mail catcher may not listen on port {port}: set {setting} to one above 1023."
            ) from exc
        raise HorizonError(
            f"the mail catcher cannot listen on {host} port {port} ({exc.strerror}): "
            "give it an address of this machine, for example 127.0.0.1."
        ) from exc
