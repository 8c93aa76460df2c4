"""The page: a picture a panel, and its numbers as a table beneath it.

It asks nobody for anything: plotly's script stands in it, and its policy allows that script by its
digest and no request at all. Without scripts the tables are still there.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from typing import Any

from markupsafe import Markup, escape

from horizon import look
from horizon.observe.kibana.panels import MOST_RUNS, PANELS, Chart, Column, Measure, Panel
from horizon.postgres.database import Connection
from horizon.postgres.queries import Queries
from horizon.report import pictures

QUERIES = Queries("horizon.observe.kibana")
_FOLDER = Path(__file__).parent / "templates"

Row = dict[str, Any]


@dataclass(frozen=True)
class Shown:
    """A panel with its rows, in the order of its picture."""

    panel: Panel
    rows: Sequence[Row]

    def headlines(self) -> list[tuple[str, str, str]]:
        """Each measure's name, what it comes to in all, and its colour where there are several."""
        several = len(self.panel.measures) > 1
        return [
            (
                one.largest or one.title,
                told(one, headline(one, self.rows)),
                one.colour if several else "",
            )
            for one in self.panel.measures
        ]

    @property
    def cut(self) -> bool:
        """There may be more runs than are shown."""
        return self.panel.chart is Chart.RUNS and len(self.rows) >= MOST_RUNS

    def legend(self) -> list[tuple[str, str]]:
        return pictures.legend(self.panel, self.rows)


@dataclass(frozen=True)
class Report:
    database: str
    made_at: datetime
    panels: Sequence[Shown]

    @property
    def empty(self) -> bool:
        return not any(one.rows for one in self.panels)


def gather(tx: Connection, database: str, now: datetime) -> Report:
    """One snapshot for all: a number and the picture beside it must agree."""
    tx.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
    return Report(database, now, [Shown(panel, rows_of(tx, panel)) for panel in PANELS])


def rows_of(tx: Connection, panel: Panel) -> list[Row]:
    rows = [row._asdict() for row in tx.execute(QUERIES[panel.name])]
    # The newest runs are asked first, since there may be more; time goes from left to right.
    return sorted(rows, key=lambda row: row["at"]) if panel.chart is Chart.RUNS else rows


def headline(measure: Measure, rows: Sequence[Row]) -> float:
    values = [row[measure.name] for row in rows]
    return max(values, default=0) if measure.largest else sum(values)


def render(report: Report) -> str:
    scripts = {"plotly": _plotly(), "page": (_FOLDER / "report.js").read_text()}
    templates = look.templates(_FOLDER)
    templates.globals.update(cell=_cell, moment=_moment, is_measure=_is_measure)
    templates.filters["code"] = _code
    return templates.get_template("report.html").render(
        report=report, scripts=scripts, figures=_json([_figure(one) for one in report.panels]),
        digests=" ".join(_digest(script) for script in scripts.values()),
    )  # fmt: skip


def _figure(shown: Shown) -> pictures.Figure | None:
    return pictures.figure(shown.panel, shown.rows) if shown.rows else None


def _plotly() -> str:
    # As a file of the wheel: importing plotly itself takes a second.
    return (resources.files("plotly") / "package_data" / "plotly.min.js").read_text()


def _digest(script: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"


def _code(text: str) -> Markup:
    """Commands in backticks, as a page has them."""
    parts = enumerate(str(escape(text)).split("`"))
    html = "".join(f"<code>{part}</code>" if place % 2 else part for place, part in parts)
    return Markup(html)  # noqa: S704  escaped above


def _json(value: object) -> str:
    """For a script element: whatever people are called, nothing in it ends the element."""
    return json.dumps(value, separators=(",", ":")).replace("<", "\\u003c")


def _cell(column: Column, value: Any) -> str:
    if isinstance(value, datetime):
        return _moment(value)
    if isinstance(column, Measure):
        return told(column, value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def told(measure: Measure, value: float) -> str:
    """``1,200`` and ``0.929``: as many decimals as the measure has."""
    return f"{value:,.{measure.decimals}f}"


def _is_measure(column: Column) -> bool:
    return isinstance(column, Measure)


def _moment(instant: datetime) -> str:
    return f"{instant.astimezone(UTC):%d %b %Y, %H:%M:%S} UTC"
