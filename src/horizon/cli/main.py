"""The command line: parse, call, exit code."""

from __future__ import annotations

import sys

import psycopg
import typer
from typer.exceptions import TyperException

from horizon import __version__
from horizon.cli import (
    archive,
    audit,
    consent,
    console,
    dashboards,
    data,
    doctor,
    explain,
    forward,
    identity,
    ingest,
    keep,
    lake,
    lineage,
    profile,
    serve,
    ship,
    stages,
    status,
    tokens,
)
from horizon.cli.mistakes import explained
from horizon.cli.output import complain
from horizon.errors import HorizonError
from horizon.pipeline.runner import sentence

app = typer.Typer(
    name="horizon",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    add_completion=False,
    help="Horizon takes customers' events in, knows who is who, scores who is about to leave, and "
    "writes to each person once and only with consent.",
    context_settings={"auto_envvar_prefix": "HORIZON", "help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        print(__version__)
        raise typer.Exit


@app.callback()
def _root(
    show_version: bool = typer.Option(False, "--version", callback=_version, is_eager=True,
                                 help="Print the version."),
) -> None:  # fmt: skip
    pass


for module in (
    serve, status, doctor, ship, ingest, data, forward, stages, archive, explain, consent, keep,
    audit, console, lineage, dashboards, profile, identity, tokens, lake,
):  # fmt: skip
    module.register(app)


def main() -> None:
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run a command; give back its exit code: 0 done, 1 failed, 2 wrong use."""
    try:
        code = app(arguments, standalone_mode=False)
    except SystemExit as exc:
        return exc.code if isinstance(exc.code, int) else 0
    except TyperException as exc:
        from typer.rich_utils import rich_format_error  # 60 ms that only mistakes wait for

        rich_format_error(explained(exc))
        return exc.exit_code
    except typer.Abort:
        return 1
    except HorizonError as exc:
        complain(str(exc))
        return exc.exit_code
    except psycopg.Error as exc:
        complain(str(sentence(exc)))
        return 1
    except BrokenPipeError:
        return 0
    return code if isinstance(code, int) else 0
