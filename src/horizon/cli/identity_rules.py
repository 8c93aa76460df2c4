"""The rules of matching: what holds, what others would do, and to adopt them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID, uuid4

import typer

from horizon import clock
from horizon.cli.options import AsJson, DatabaseName, installed
from horizon.cli.output import many, print_json, say, show
from horizon.cli.profile_options import Unmasked, evidence_in, reading
from horizon.errors import UsageError
from horizon.identity import trial
from horizon.identity.mapping import active_rules
from horizon.identity.rules import Rules, read_whole
from horizon.pipeline.installation import Installation
from horizon.postgres.audit import write_audit
from horizon.postgres.database import Connection, Role
from horizon.profiles import changes
from horizon.profiles.evidence import Evidence
from horizon.profiles.in_force import keep_rules, rules_in_force, rules_of
from horizon.profiles.model import Node

NAMED = 5  # hubs that a sentence names; --json has all

RulesFile = Annotated[
    Path,
    typer.Argument(metavar="FILE", help="TOML: `horizon identity rules show` prints what holds."),
]


def rules_show(
    version: Annotated[
        int | None, typer.Option(min=0, help="An earlier one; 0 is what is shipped.")
    ] = None,
    as_json: AsJson = False,
    database: DatabaseName = None,
) -> None:
    """The rules that hold now, as a file that can be changed and tried."""
    with reading(database) as (evidence, _):
        found = rules_in_force(evidence.tx) if version is None else rules_of(evidence.tx, version)
    if found is None:
        raise UsageError(f"No version {version} was adopted: `horizon identity rules show` prints "
                         "the one that holds.")  # fmt: skip
    if as_json:
        print_json({"version": found.version, "adopted_at": found.adopted_at, "rules": found.text})
    else:
        print(found.text, end="")


def identity_try(
    file: RulesFile, unmasked: Unmasked = False, as_json: AsJson = False,
    database: DatabaseName = None,
) -> None:  # fmt: skip
    """What other rules would do to everybody, beside those that hold; nothing is changed."""
    told = _tried(installed(database), _text(file), file, unmasked=unmasked)
    if as_json:
        print_json(told)
        return
    _say(told)
    _say_largest(told["largest"])
    say("\nNothing was changed; `horizon identity adopt FILE` does it.")


def identity_adopt(
    file: RulesFile,
    yes: Annotated[
        bool, typer.Option("--yes", help="Do not ask, though profiles would merge or split.")
    ] = False,
    unmasked: Unmasked = False, as_json: AsJson = False, database: DatabaseName = None,
) -> None:  # fmt: skip
    """Write down a new version of the rules and solve everything by it; `try` it first."""
    text, horizon = _text(file), installed(database)
    told = _tried(horizon, text, file, unmasked=unmasked, other=True)
    if not as_json:
        _say(told)
    if not yes and (told["merged"] or told["split"] or told["rehomed"]):
        _ask(file)
    figures = _adopted(horizon, text, file)
    if as_json:
        print_json(figures)
        return
    version = figures["version"]
    say(
        f"Version {version} of the rules holds: {many(figures['merged'], 'profile')} merged, "
        f"{figures['split']:,} came out of others, {many(figures['rehomed'], 'identifier')} "
        f"changed owner, {many(figures['hubs'], 'new hub')}.\n"
        f"`horizon identity rules show --version {version - 1}` prints those before it."
    )


def _tried(
    horizon: Installation, text: str, file: Path, *, unmasked: bool, other: bool = False
) -> dict[str, Any]:
    """What these rules would do; with other they must not be those that hold."""
    with horizon.database.transaction(Role.WORKER) as tx:
        tx.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        rules = _read(tx, text, file)
        if other:
            _differs(tx, text, file)
        told = _told(evidence_in(tx, unmasked=unmasked), trial.compare(tx, rules))
        tx.rollback()
    return told


def _ask(file: Path) -> None:
    try:
        sure = typer.confirm(f"Adopt {file}?", err=True)
    except typer.Abort:  # nobody is there to ask
        sure = False
    if not sure:
        raise UsageError("Nothing was changed: `horizon identity adopt FILE --yes` does not ask.")


def _adopted(horizon: Installation, text: str, file: Path) -> dict[str, int]:
    now = clock.now()
    with horizon.database.transaction(Role.WORKER) as tx:
        changes.lock(tx)
        _differs(tx, text, file)
        rules = _read(tx, text, file)
        version = keep_rules(tx, text, now)
        done = trial.adopt(tx, rules, now, uuid4())
        figures = {"version": version, "profiles": done.made, "merged": len(done.merged),
                   "split": len(done.split), "rehomed": done.rehomed,
                   "hubs": done.hubs}  # fmt: skip
        write_audit(tx, "identity:rules:adopted", str(version), figures)
    return figures


def _differs(tx: Connection, text: str, file: Path) -> None:
    if rules_in_force(tx).text == text:
        raise UsageError(f"{file} has the rules that hold already: nothing is to be adopted.")


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) else "it is no UTF-8"
        raise UsageError(
            f"{file} cannot be read ({reason}): `horizon identity rules show > FILE` writes one to "
            "begin with."
        ) from exc


def _read(tx: Connection, text: str, file: Path) -> Rules:
    try:
        return read_whole(text, active_rules(tx))
    except UsageError as exc:
        raise UsageError(f"{file}: {exc}") from exc


def _told(evidence: Evidence, found: trial.Comparison) -> dict[str, Any]:
    """With identifiers in place of nodes."""
    largest = {"before": found.largest_before, "after": found.largest_after}
    asked = [*found.hubs, *found.freed, *(one.node for rows in largest.values() for one in rows)]
    known = evidence.nodes(asked)

    def named(nodes: Sequence[UUID]) -> list[str]:
        return sorted(str(known[node]) for node in nodes if node in known)

    return {
        "profiles": {"before": found.profiles_before, "after": found.profiles_after},
        "merged": found.merged, "split": found.split, "rehomed": found.rehomed,
        "refused": {"before": found.refused_before, "after": found.refused_after},
        "blocked": found.blocked, "hubs": named(found.hubs), "freed": named(found.freed),
        "largest": {when: [_size(known, one) for one in rows] for when, rows in largest.items()},
    }  # fmt: skip


def _size(known: Mapping[UUID, Node], size: trial.Size) -> dict[str, Any]:
    return {
        "identifier": str(known.get(size.node, size.node)), "identifiers": size.identifiers
    }  # fmt: skip


def _say(told: dict[str, Any]) -> None:
    profiles, refused = told["profiles"], told["refused"]
    say(
        f"{many(profiles['before'], 'profile')} would become {profiles['after']:,}: "
        f"{told['merged']:,} would be taken in by others, {told['split']:,} come out of others."
    )
    if told["rehomed"]:
        say(f"Of another owner then: {many(told['rehomed'], 'identifier')}.")
    say(f"Refused ties: {refused['before']:,} now, {refused['after']:,} then.")
    if told["blocked"]:
        say(f"Newly blocked: {many(told['blocked'], 'identifier')}.")
    for title, names in (("New hubs", told["hubs"]), ("Hubs no more", told["freed"])):
        if names:
            more = f" and {len(names) - NAMED:,} more" if len(names) > NAMED else ""
            say(f"{title}: {', '.join(names[:NAMED])}{more}.")


def _say_largest(largest: Mapping[str, Any]) -> None:
    say("\nThe largest profiles, each by what was seen of it first")
    nothing: dict[str, Any] = {}
    rows = zip_longest(largest["before"], largest["after"], fillvalue=nothing)
    show([
        {"now": now.get("identifier"), "identifiers": now.get("identifiers"),
         "then": then.get("identifier"), "identifiers then": then.get("identifiers")}
        for now, then in rows
    ], as_json=False, empty="Nobody is known yet.")  # fmt: skip
