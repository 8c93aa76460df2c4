"""Which nodes an event has: identifiers that its source may assert, strongest first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from horizon.events.blocked import is_blocked
from horizon.events.json_text import write
from horizon.events.kinds import Identifier, Kinds, identifier_of, kind_named, rank_of
from horizon.events.nodes import node_bytes
from horizon.events.rejection import Rejected

MOST: Final = 20  # of one event; the strongest are kept
_EXTERNAL_MOST: Final = 200  # that are looked at, of one event
_PEOPLE: Final = frozenset({"", "user", "users"})  # collections; an account's id ties its people
_PLAIN: Final = frozenset({"", "none"})  # encodings

Column = tuple[str, str | None]  # a kind, and what the event's column of it holds


def in_context(
    context: dict[str, Any], kinds: Kinds, unproven: frozenset[str]
) -> tuple[Identifier, ...]:
    """Identifiers that an event's context names, of all kinds but ``unproven``."""
    device = context.get("device")
    found = [
        *(_of_device(device) if isinstance(device, dict) else ()),
        *_external(context.get("externalIds")),
        *kinds.declared_in("context", context),
    ]
    proven = [one for one in found if one[0] not in unproven]
    return tuple(sorted(set(proven), key=_strength)[:MOST])


def _of_device(device: dict[str, Any]) -> list[Identifier]:
    asked = [("device_id", device.get("id"))]
    if device.get("adTrackingEnabled") is not False:  # its owner said that it is not to be used
        asked.append(("advertising_id", device.get("advertisingId")))
    return [found for kind, value in asked if (found := identifier_of(kind, value))]


def _external(listed: object) -> list[Identifier]:
    """Of Segment's ``[{"id", "type", "collection", "encoding"}]`` those that name people."""
    found = []
    for one in listed[:_EXTERNAL_MOST] if isinstance(listed, list) else ():
        kind = kind_named(one.get("type")) if isinstance(one, dict) else None
        if kind is None or not _is_one_of(one.get("collection"), _PEOPLE):
            continue
        # A digest of an address is no address.
        if kind in ("email", "phone") and not _is_one_of(one.get("encoding"), _PLAIN):
            continue
        if identifier := identifier_of(kind, one.get("id")):
            found.append(identifier)
    return found


def _is_one_of(word: object, words: frozenset[str]) -> bool:
    return word is None or (isinstance(word, str) and word.strip().lower() in words)


def nodes_of(
    key: bytes,
    columns: Sequence[Column],
    more: Sequence[Identifier] = (),
    previous: Sequence[Identifier] | None = None,
    claims: frozenset[str] = frozenset(),
    proven: Sequence[Identifier] = (),
) -> tuple[list[bytes], str | None]:
    """An event's nodes, and its ``identifiers``: None where its columns say as much.

    ``previous``: who somebody was before, of an alias call; they come last. What is of a kind in
    ``claims`` and not ``proven``, and a blocked value, stay in their columns and are no nodes.
    Raises Rejected where nothing is left.
    """
    if not more and previous is None and not claims and not proven:  # nearly all events
        nodes = [
            node_bytes(key, kind, value)
            for kind, value in columns
            if value is not None and not is_blocked(value)
        ]
        if nodes:
            return nodes, None
    return _listed(key, columns, (*more, *proven), previous, claims, proven)


def _listed(
    key: bytes,
    columns: Sequence[Column],
    more: Sequence[Identifier],
    previous: Sequence[Identifier] | None,
    claims: frozenset[str],
    proven: Sequence[Identifier],
) -> tuple[list[bytes], str | None]:
    plain = [(kind, text) for kind, text in columns if text is not None and not is_blocked(text)]
    asserted = [one for one in plain if one[0] not in claims or one in proven]
    before = [one for one in previous or () if one[0] not in claims]
    own = _ordered(asserted, more, MOST - len(asserted) - len(before)) if more else asserted
    if not own:
        raise _unverified(plain) if plain else _blocked()
    nodes: dict[bytes, Identifier] = {}
    for one in (*own, *before):
        nodes.setdefault(node_bytes(key, *one), one)
    kept = list(nodes.values())
    as_columns = previous is None and kept == plain
    return list(nodes), None if as_columns else write(kept)


def _ordered(
    columns: Sequence[Identifier], more: Sequence[Identifier], most: int
) -> list[Identifier]:
    """Of one kind the column's own comes first: there the rest of Horizon looks for it."""
    return sorted((*columns, *sorted(more, key=_strength)[:most]), key=_rank)


def _rank(one: Identifier) -> int:
    return rank_of(one[0])


def _strength(one: Identifier) -> tuple[int, str, str]:
    return rank_of(one[0]), *one


def _blocked() -> Rejected:
    return Rejected(
        "blocked_id",
        "The event's only identifier is one that nobody owns (null, 0, anonymous and the like): "
        "send the person's own.",
    )


def _unverified(claimed: Sequence[Column]) -> Rejected:
    kinds = ", ".join(kind for kind, _ in claimed)
    return Rejected(
        "unverified_id",
        f"The event names a person by {kinds} alone, which is believed only with an identity token "
        "or from a server source: send context.identityToken, or an anonymousId.",
    )
