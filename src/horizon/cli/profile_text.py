"""Profiles, chains and changes as a terminal shows them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from horizon.cli.output import many, print_json, say, show
from horizon.clock import utc_text
from horizon.profiles.changes import Change
from horizon.profiles.model import Chain, Cut, Edge, Event, Identifier, Node, Profile
from horizon.profiles.people import MOST_NODES

LISTED = 12  # identifiers of a profile, before and after a change


def profile(found: Profile) -> None:
    """Without ids of events: they would fold each row; ``--json`` has them."""
    merged = f" (profile {found.asked} was merged into it)" if found.asked else ""
    since = f", known since {utc_text(found.first_seen)}" if found.first_seen else ""
    say(f"Profile {found.profile_id}{since}{merged}.")
    if found.score:
        score = found.score
        say(f"Score {score.score:.3f}, {score.tier}, of {utc_text(score.scored_at)}.")
    more = f"; the strongest {len(found.identifiers):,} of them" if found.more_identifiers else ""
    _part(f"Identifiers{more}", [_identifier_row(one) for one in found.identifiers])
    _part("Traits", [
        {"trait": one.name, "value": _plain(one.value), "time": one.time} for one in found.traits
    ])  # fmt: skip
    _part("Last events", [{"time": one.time, **_event(one)} for one in found.last_events])
    _part("Absorbed", [
        {"profile": one.profile_id, "made": one.created_at, "absorbed": one.absorbed_at}
        for one in found.absorbed
    ])  # fmt: skip
    _part("Refused", [edge_row(one) for one in found.refused])
    _part("Cuts", [cut_row(one) for one in found.cuts])


def _identifier_row(one: Identifier) -> dict[str, Any]:
    event = {"event": "another spelling", "source": None} if one.spelling else _event(one.event)
    return {"identifier": f"{one.kind}:{one.value}", "first_seen": one.first_seen, **event}


def chain(found: Chain) -> None:
    """One below the other: a table of ids folds each of them."""
    say(found.told)
    if not found.steps:
        return
    here = found.one
    say(f"\n{here}")
    for edge in found.steps:
        here = edge.other(here.node)
        say(f"  {'x' if edge.refused_by else '|'} {_link(edge)}")
        if edge.why:
            say(f"  x refused: {edge.why}")
        say(str(here))


def _link(edge: Edge) -> str:
    told = _why_tied(edge)
    event_id = f"event {edge.event.event_id}" if edge.event.event_id else None
    parts = (told["event"], utc_text(edge.time), told["source"], event_id)
    return ", ".join(part for part in parts if part)


def edge_row(edge: Edge) -> dict[str, Any]:
    return {"from": str(edge.weak), "to": str(edge.strong), **_why_tied(edge)}


def _why_tied(edge: Edge) -> dict[str, Any]:
    """``how`` stands where no event says it: a join by hand, another spelling."""
    told = _event(edge.event)
    if edge.how not in ("event", told["event"]):
        told["event"] = f"{edge.how}: {told['event']}" if told["event"] else edge.how
    return {"time": edge.time, **told, "refused": edge.why}


def _event(event: Event | None) -> dict[str, Any]:
    if event is None:
        return {"event": None, "source": None}
    said = f"{event.type} {event.name}" if event.type and event.name else event.type
    return {"event": said, "source": event.source}


def change(done: Change, *, as_json: bool) -> None:
    if as_json:
        print_json({
            "cut_id": done.cut_id,
            "before": {number: _builtins(nodes) for number, nodes in done.before.items()},
            "after": {number: _builtins(nodes) for number, nodes in done.after.items()},
        })  # fmt: skip
        return
    for name, profiles in (("Before", done.before), ("After", done.after)):
        say(f"{name}: {many(len(profiles), 'profile')}")
        for number, nodes in profiles.items():
            say(f"  {number}: {_listed(nodes)}")


def _builtins(nodes: Sequence[Node]) -> Any:
    return msgspec.to_builtins(nodes)


def _listed(nodes: Sequence[Node]) -> str:
    more = len(nodes) - LISTED
    names = ", ".join(str(node) for node in nodes[:LISTED])
    least = "at least " if len(nodes) >= MOST_NODES else ""
    return f"{names} and {least}{more:,} more" if more > 0 else names


def cut_row(cut: Cut) -> dict[str, Any]:
    return {
        "cut": cut.cut_id, "identifier": str(cut.node), "from": str(cut.anchor),
        "made": cut.made_at, "lifted": cut.lifted_at,
    }  # fmt: skip


def _part(title: str, rows: Sequence[dict[str, Any]]) -> None:
    """Columns that are empty throughout are left out."""
    if not rows:
        return
    say(f"\n{title}")
    names = [name for name in rows[0] if any(row[name] is not None for row in rows)]
    show([{name: row[name] for name in names} for row in rows], as_json=False, empty="")


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
