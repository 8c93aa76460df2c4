"""Looks the whole installation over."""

from __future__ import annotations

from dataclasses import asdict

import typer

from horizon.cli.options import AsJson
from horizon.cli.output import say, show


def register(app: typer.Typer) -> None:
    app.command(rich_help_panel="Start, stop, look")(doctor)


def doctor(as_json: AsJson = False) -> None:
    """Look over settings, folders, disk, clock, database, ports, mail server, DNS, search server.

    It changes nothing and sends nothing. It ends with 1 where it finds a problem.
    """
    from horizon.doctor.examine import examine  # its parts' imports cost other commands 0.2 s
    from horizon.doctor.finding import Verdict

    found = examine()
    show([asdict(one) for one in found], as_json=as_json, empty="")
    counts = {verdict: sum(one.verdict == verdict for one in found) for verdict in Verdict}
    if not as_json:
        say("")
        say(_told(counts[Verdict.PROBLEM], counts[Verdict.WARNING]))
    if counts[Verdict.PROBLEM]:
        raise typer.Exit(1)


def _told(problems: int, warnings: int) -> str:
    if not problems and not warnings:
        return "All is well."
    return (
        f"{problems} problem{'' if problems == 1 else 's'}, "
        f"{warnings} warning{'' if warnings == 1 else 's'}: the last column says what to do."
    )
