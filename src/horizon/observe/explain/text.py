"""The story on a terminal; piped, it is plain text, a fact a line."""

from __future__ import annotations

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from horizon.observe.explain.story import Story
from horizon.observe.explain.words import Section, sections

ID_LENGTH = 36  # ids are there to be copied: never folded


def render(story: Story, console: Console) -> None:
    for section in sections(story):
        console.print(Text(section.title, style="bold"), soft_wrap=True)
        console.print(_body(section))


def _body(section: Section) -> RenderableType:
    """As Text throughout: what people are called is no markup."""
    parts: list[RenderableType] = []
    if section.lead:
        parts.append(Text(section.lead))
    if section.facts:
        facts = Table.grid(padding=(0, 2))
        facts.add_column(style="dim", no_wrap=True)
        facts.add_column(overflow="fold")
        for name, value in section.facts:
            facts.add_row(Text(name), Text(value))
        parts.append(facts)
    if section.rows:
        parts.append(_table(section))
    if section.after:
        parts.append(Text(section.after, style="dim"))
    return Group(*parts, Text(""))


def _table(section: Section) -> Table:
    table = Table(header_style="dim", box=None, pad_edge=False)
    shown = [place for place in range(len(section.head)) if any(row[place] for row in section.rows)]
    for place in shown:
        an_id = all(len(row[place]) in (0, ID_LENGTH) for row in section.rows)
        table.add_column(Text(section.head[place]), overflow="fold", no_wrap=an_id)
    for row in section.rows:
        table.add_row(*(Text(row[place]) for place in shown))
    return table
