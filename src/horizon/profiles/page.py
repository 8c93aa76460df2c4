"""The picture as a file: an SVG, or a page with the same picture and each tie in a table."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from markupsafe import Markup

from horizon import look
from horizon.clock import utc_text
from horizon.errors import HorizonError, UsageError
from horizon.profiles import words
from horizon.profiles.evidence import QUERIES, Evidence
from horizon.profiles.graph import Picture, picture
from horizon.profiles.model import Edge
from horizon.profiles.people import MOST_NODES, Person
from horizon.profiles.picture import draw

_FOLDER = Path(__file__).parent / "templates"
MOST_ROWS, FEW_ROWS = 1_000, 40


def check(path: Path) -> None:
    """Before anything is read. Raises UsageError."""
    if path.suffix not in (".svg", ".html"):
        raise UsageError(
            f"--out {path.name!r} is no picture of ours: name it FILE.svg or FILE.html."
        )


def gather(evidence: Evidence, person: Person, now: datetime) -> Picture:
    nodes = evidence.profile_nodes(person.profile_id, MOST_NODES)
    ids = [node.node for node in nodes]
    edges = evidence.with_events(evidence.edges(ids, {node.node: node for node in nodes}))
    hubs = {end.node for edge in edges for end in (edge.weak, edge.strong) if end.dead == "hub"}
    rows = evidence.tx.execute(QUERIES["hub_sizes"], {"nodes": list(hubs)})
    sizes = {row.node: row.neighbours for row in rows}
    return picture(person.profile_id, nodes, edges, evidence.cuts(ids), sizes, now)


def write(found: Picture, path: Path) -> None:
    text = draw(found) if path.suffix == ".svg" else render(found)
    try:
        path.write_text(text, encoding="utf-8", errors="replace")
    except OSError as exc:
        raise HorizonError(
            f"{path} cannot be written ({exc.strerror}): name a file in a folder that is yours."
        ) from exc


def render(found: Picture) -> str:
    rows = sorted(found.edges, key=lambda one: (one.refused_by is None, one.time, one.ends))
    return look.templates(_FOLDER).get_template("graph.html").render(
        picture=found, title=words.title(found), told=words.description(found),
        svg=Markup(draw(found, headed=False)),  # noqa: S704  escaped where it was made
        rows=[_row(edge) for edge in rows[:MOST_ROWS]], more=max(0, len(rows) - MOST_ROWS),
        folded=len(rows) > FEW_ROWS,
        cuts=[(cut, utc_text(cut.made_at)) for *_, cut in found.cuts],
        made_at=utc_text(found.made_at),
    )  # fmt: skip


def _row(edge: Edge) -> Sequence[str]:
    said = " ".join(filter(None, (edge.event.type, edge.event.name)))
    how = said if edge.how in ("event", said) else ": ".join(filter(None, (edge.how, said)))
    event_id = str(edge.event.event_id or "")
    return (str(edge.strong), str(edge.weak), how, utc_text(edge.time), edge.event.source or "",
            event_id, edge.why or "")  # fmt: skip
