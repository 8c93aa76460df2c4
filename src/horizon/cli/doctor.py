"""Looks the whole installation over."""

from __future__ import annotations

import typer


def register(app: typer.Typer) -> None:
    pass
