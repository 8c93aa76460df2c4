"""What the picture says of a box, a line and a cut, in a few words each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

from horizon.profiles.graph import Box, Line, Picture
from horizon.profiles.model import Cut, Edge

LONGEST = 30  # characters of a value; the whole one stands in the title and the table

_HOW = {"same": "two spellings of one", "manual": "joined by hand", "alias": "alias"}


def day(instant: datetime) -> str:
    return f"{instant.day} {instant:%b %Y}"


def short(text: str) -> str:
    """The beginning and the end: what libraries make differs in either."""
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 9]}…{text[-8:]}"


def of_box(box: Box, sizes: Mapping[UUID, int]) -> list[str]:
    """Its lines of text: the kind and what stands about it, then the value."""
    node = box.first
    about = ""
    if box.place == "hub":
        many = sizes.get(node.node)
        about = f" · hub of {many:,}" if many else " · hub"
    elif box.place == "other":
        about = f" · profile {node.profile_id}" if len(box.nodes) == 1 else " · other profiles"
    elif box.place == "dead":
        about = f" · {node.dead}"
    if len(box.nodes) == 1:
        return [f"{node.kind}{about}", short(node.value)]
    return [f"{node.kind}{about}", f"{len(box.nodes):,} alike, the first:", short(node.value)]


def of_line(line: Line) -> list[str]:
    """The first event, when and by which source; then what refused it."""
    first = line.edges[0]
    sources = list(dict.fromkeys(one.event.source for one in line.edges if one.event.source))
    when = day(line.since)
    if len(line.edges) > 1:
        said = f"{len(line.edges):,} ties, the first:"
        texts = [said, _event(first), " · ".join([when, *sources[:2]])]
    else:
        texts = [_event(first), " · ".join([when, *sources])]
    if line.refused_by:
        texts.append(short_refusal(first))
    return [text for text in texts if text]


def short_refusal(edge: Edge) -> str:
    short_of = {"hub": "a hub", "blocked": "blocked", "cut": "a cut", "unjoined": "taken back"}
    return f"refused: {short_of.get(edge.refused_by or '', edge.why)}"


def _event(edge: Edge) -> str:
    """``identify``, ``track Signed Up``; how they are tied where no plain event does it."""
    if edge.how in _HOW and edge.how != "alias":
        return _HOW[edge.how]
    said = " ".join(filter(None, (edge.event.type, edge.event.name))) or edge.how
    return short(said)


def of_cut(cut: Cut) -> list[str]:
    return [f"cut {cut.cut_id}, by hand", day(cut.made_at)]


def title(picture: Picture) -> str:
    return f"Profile {picture.profile_id}: its identifiers and what ties them"


def description(picture: Picture) -> str:
    """For who does not see it: what there is, in numbers and names."""
    refused = sum(1 for edge in picture.edges if edge.refused_by)
    hubs = [str(box.first) for box in picture.boxes if box.place == "hub"]
    identifiers, ties = picture.identifiers, len(picture.edges) - refused
    counts = [_many(identifiers, "identifier"), _many(ties, "tie"), f"{refused:,} refused"]
    parts = [f"{', '.join(counts)}, {_many(len(picture.cuts), 'cut')}."]
    if hubs:
        parts.append(f"It touches {_many(len(hubs), 'hub')}: {_listed(hubs)}.")
    if picture.untold:
        parts.append(f"{_many(picture.untold, 'tie')} that say no more are not drawn.")
    if picture.left_out:
        parts.append(f"{picture.left_out:,} identifiers further away are not drawn.")
    return " ".join(parts)


def _many(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
