"""A progress bar with rate and what is left, and an end at Ctrl-C."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from threading import Event
from typing import TypeVar

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from horizon.cli.output import calm_memory, console
from horizon.starting import until_stopped

T = TypeVar("T")


class _Speed(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:,.0f}/s" if task.speed else "")


@dataclass(frozen=True)
class Progressing:
    """What a run tells its progress bar."""

    sent: Callable[[int], None]
    expect: Callable[[int], None]


def send_with_progress(sending: Callable[[Event, Progressing], T], total: int | None = None) -> T:
    """Show progress on a terminal; Ctrl-C and SIGTERM end it after the messages under way."""
    columns = (
        TextColumn("sending"), BarColumn(), MofNCompleteColumn(), _Speed(),
        TimeRemainingColumn(),
    )  # fmt: skip
    calm_memory()
    stop = until_stopped()
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as progress:
        task = progress.add_task("send", total=total)
        return sending(
            stop,
            Progressing(
                lambda count: progress.advance(task, count),
                lambda expected: progress.update(task, total=expected),
            ),
        )
