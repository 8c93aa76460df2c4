"""The search server that the log is shipped to."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from horizon.doctor.finding import Case, Finding, ok

PART: Final = "search server"


def check_search_server(case: Case) -> Iterator[Finding]:
    if not case.settings.ES_URL:
        yield ok(PART, "none is set, so the log is not shipped")
