"""Who listens to lineage. Nothing is told to anybody."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing, suppress
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Final

from horizon.doctor.clocks import compare
from horizon.doctor.finding import Case, Finding, ok, problem, warning
from horizon.errors import OutboundError
from horizon.observe.lineage.queue import other_queues, queue_of
from horizon.outbound.client import HttpOutbound
from horizon.outbound.rules import AllowList, read_target
from horizon.settings import Settings

PART: Final = "lineage"
ANSWER_S: Final = 8.0
MOST_WAITING_BYTES: Final = 50_000_000  # 175,000 events


def check_lineage(case: Case) -> Iterator[Finding]:
    to = case.settings.LINEAGE_TO
    if to == "off":
        yield ok(PART, "it is off")
        return
    if to.startswith("file:"):
        yield _file(Path(to.removeprefix("file:")).expanduser().absolute())
    elif to != "console":
        yield from _server(case)
    yield from _queue(case.settings)


def _file(path: Path) -> Finding:
    if not path.parent.is_dir():
        return problem(
            PART, f"there is no folder {path.parent}",
            "Make it, or set LINEAGE_TO to a file in one that is there.",
        )  # fmt: skip
    if path.is_dir() or not os.access(path if path.exists() else path.parent, os.W_OK):
        return problem(
            PART, f"{path} cannot be written", "Set LINEAGE_TO to a file in a folder of yours."
        )
    return ok(PART, f"goes to {path}")


def _server(case: Case) -> Iterator[Finding]:
    """Asked for a page: any answer is one, and no event is sent."""
    url, place = case.settings.LINEAGE_TO, case.settings.lineage_place
    key = case.settings.LINEAGE_API_KEY
    try:
        allow = AllowList.read([*case.settings.outbound_allow, read_target(url).place])
        with closing(HttpOutbound(allow, timeout_s=ANSWER_S)) as outbound:
            answer = outbound.get(url, {"Authorization": f"Bearer {key}"} if key else {})
    except OutboundError as exc:
        yield problem(
            PART, f"{place} does not answer ({exc})",
            "Look at LINEAGE_TO and whether that server runs; events wait on disk meanwhile.",
        )  # fmt: skip
        return
    if answer.status in (401, 403):
        yield problem(PART, f"{place} does not let us in ({answer.status})", "Set LINEAGE_API_KEY.")
    else:
        yield ok(PART, f"{place} answers")
    with suppress(KeyError, ValueError, TypeError):
        theirs = parsedate_to_datetime(answer.headers["date"])
        yield compare("the lineage server's", theirs, case.clock, exact_s=ANSWER_S)


def _queue(settings: Settings) -> Iterator[Finding]:
    waiting_bytes = queue_of(settings).size_bytes()
    if waiting_bytes > MOST_WAITING_BYTES:
        yield warning(
            PART, f"{waiting_bytes:,} bytes of events wait on disk",
            "Bring back what LINEAGE_TO names: none is dropped, so they become more.",
        )  # fmt: skip
    for queue in other_queues(settings):
        yield warning(
            PART, f"{queue.waiting():,} events wait for what LINEAGE_TO was before",
            f"Set it back, or type `horizon lineage flush --queue {queue.name}`.",
        )  # fmt: skip
