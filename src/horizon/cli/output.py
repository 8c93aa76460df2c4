"""What commands print: tables on a terminal, JSON with --json, sentences for errors."""

from __future__ import annotations

import gc
import json
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from horizon.clock import utc_text

PIPED_COLUMNS = 400  # what is piped is for grep and cut: a row a line

console = Console(highlight=False, soft_wrap=True)


def calm_memory() -> None:
    """For a process that makes thousands of short-lived objects a second, none of them in cycles:
    looking for cycles took 4 % of a sender's time."""
    gc.freeze()
    gc.set_threshold(100_000)


def say(text: str) -> None:
    """Print as it is: a name with brackets in it is no markup."""
    console.print(text, markup=False)


def many(count: int, one: str, several: str = "") -> str:
    """``1 message``, ``2,000 messages``."""
    return f"{count:,} {one if count == 1 else several or one + 's'}"


def complain(text: str) -> None:
    print(f"horizon: {text}", file=sys.stderr)


def show(rows: Sequence[Mapping[str, Any]], *, as_json: bool, empty: str) -> None:
    """Print rows as a table, or as JSON; ``empty`` says what to do where there are none."""
    if as_json:
        print_json([dict(row) for row in rows])
    elif not rows:
        say(empty)
    else:
        wide_console().print(table_of(rows), soft_wrap=False)


def print_json(value: object) -> None:
    print(json.dumps(value, default=plain, ensure_ascii=False))


def wide_console() -> Console:
    return console if console.is_terminal else Console(width=PIPED_COLUMNS, highlight=False)


def table_of(rows: Sequence[Mapping[str, Any]]) -> Table:
    table = Table(header_style="bold", box=None, pad_edge=False)
    for name in rows[0]:
        table.add_column(name, overflow="fold")  # folded, never cut: ids are there to be copied
    for row in rows:
        # As Text: what people are called is no markup.
        table.add_row(*(Text(_cell(value)) for value in row.values()))
    return table


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, dict):
        return ", ".join(f"{name} {_cell(one)}" for name, one in value.items())
    return str(plain(value))


def plain(value: Any) -> Any:
    return utc_text(value) if isinstance(value, datetime) else str(value)
