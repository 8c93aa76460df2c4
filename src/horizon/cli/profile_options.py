"""Whom a command about profiles is about."""

from __future__ import annotations

from typing import Annotated

import typer

Who = Annotated[
    str,
    typer.Argument(
        metavar="PROFILE", help="KIND:VALUE, like email:ann@example.com, or its number."
    ),
]
Other = Annotated[
    str, typer.Argument(metavar="OTHER", help="The other one, KIND:VALUE or a profile's number.")
]
Unmasked = Annotated[
    bool, typer.Option("--unmasked", help="Addresses and phone numbers whole, not a***@e***.com.")
]
