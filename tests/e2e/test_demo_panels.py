"""The demo's log, shipped as a person ships it: each panel shows what the tables have, and what
docs/observability.md says."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from psycopg.rows import namedtuple_row

from horizon.observe.kibana.panels import PANELS, Panel
from horizon.report.page import headline, told
from tests.e2e.test_demo import Demo
from tests.panel_rows import Row, same, searched, tabled
from tests.search_server import SearchServer

DOCUMENT = Path(__file__).parents[2] / "docs" / "observability.md"


@pytest.fixture
def demo(search_server: SearchServer) -> Iterator[Demo]:
    folder = Path(tempfile.mkdtemp(prefix="horizon-panels-"))
    folder.chmod(0o755)
    one = Demo(folder, {"ES_URL": search_server.url})
    yield one
    one("down")
    shutil.rmtree(folder, ignore_errors=True)


def compared(demo: Demo, server: SearchServer) -> dict[str, list[Row]]:
    """Each panel's rows, after the server's and the tables' were found to be the same."""
    demo("ship", "--once")
    server.ask("POST", "/cdp_events/_refresh")
    rows = {}
    with psycopg.connect(demo.dsn(None), row_factory=namedtuple_row) as tx:
        for panel in PANELS:
            found = searched(panel, server.search("cdp_events", panel.body))
            wanted = tabled(panel, tx)
            assert same(panel, *_within_an_hour(panel, found, wanted)), (panel.name, found, wanted)
            rows[panel.name] = found
    return rows


def _within_an_hour(
    panel: Panel, found: list[Row], wanted: list[Row]
) -> tuple[list[Row], list[Row]]:
    """A mail that is sent in the last milliseconds of an hour is logged in the next."""
    if panel.name != "campaign_timeline" or {row["hour"] for row in found} == {
        row["hour"] for row in wanted
    }:
        return found, wanted
    totals = []
    for rows in (found, wanted):
        sums: dict[str, int] = {}
        for row in rows:
            sums[row["campaign"]] = sums.get(row["campaign"], 0) + row["sent"]
        hour = wanted[0]["hour"]
        totals.append([{"hour": hour, "campaign": name, "sent": sums[name]} for name in sums])
    return totals[0], totals[1]


@dataclass(frozen=True)
class Documented:
    """A row of the document's table."""

    name: str
    title: str
    shows: str
    number: str
    sql: str


def documented() -> list[Documented]:
    cells = re.findall(
        r"^\| `(\w+)` \| (.+?) \| (.+?) \| (.+?) \| `(.+)` \|$", DOCUMENT.read_text(), re.MULTILINE
    )
    return [Documented(*row) for row in cells]


def numbers(panel: Panel, values: Sequence[float]) -> str:
    return ", ".join(
        f"{told(measure, value)} {measure.title.lower()}"
        for measure, value in zip(panel.measures, values, strict=True)
    )


def agrees(demo: Demo, rows: dict[str, list[Row]]) -> None:
    """The document's numbers are the panels', and its SQL gives them."""
    with psycopg.connect(demo.dsn(None)) as tx:
        for panel, told_so in zip(PANELS, documented(), strict=True):
            shown = numbers(panel, [headline(one, rows[panel.name]) for one in panel.measures])
            assert numbers(panel, tx.execute(told_so.sql.encode()).fetchone() or ()) == shown
            if not told_so.number.startswith("e.g. "):  # that of another machine
                assert told_so.number == shown, panel.name


def test_the_document_lists_the_panels() -> None:
    assert [(one.name, one.title, one.shows) for one in documented()] == [
        (panel.name, panel.title, panel.shows) for panel in PANELS
    ]


@pytest.mark.slow
def test_the_demo_s_panels_show_what_the_tables_and_the_document_say(
    demo: Demo, search_server: SearchServer
) -> None:
    demo("demo")
    agrees(demo, compared(demo, search_server))
    demo("demo")
    again = compared(demo, search_server)
    assert len(again["alerts"]) == 2
    assert sum(row["created"] for row in again["alerts"]) == 35
