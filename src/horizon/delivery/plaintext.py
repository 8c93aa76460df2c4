"""The text part of a mail, from the same MJML source as the HTML part."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Final

from horizon.delivery.markup import MARK, MAX_ATTRIBUTE_CHARS, Marked
from horizon.errors import TemplateError

_RULE: Final = "-" * 40
_LINES: Final = frozenset({"tr", "li", "div", "dt", "dd"})
_PARAGRAPHS: Final = frozenset(
    {
        "p", "h1", "h2", "h3", "h4", "h5", "h6", "ul", "ol", "table", "blockquote",
        "mj-text", "mj-button", "mj-table", "mj-divider",
    }
)  # fmt: skip
_VOID: Final = frozenset({"br", "col", "hr", "img", "link", "meta", "wbr"})
_GAP: Final = re.compile(r"[ \t]*\n(?:[ \t]*\n)+")


def to_text(marked: Marked) -> tuple[str, str]:
    """Two Jinja2 templates, to be rendered without escaping: the subject and the text part."""
    writer = _TextWriter(marked)
    writer.feed(marked.source)
    writer.finish()
    subject = " ".join("".join(writer.title).split())
    if not subject:
        raise TemplateError("its <mj-title> is empty; write the subject there")
    return marked.restore(subject), marked.restore("".join(writer.parts))


def close_gaps(text: str) -> str:
    """Leaves one blank line where a paragraph's condition left several."""
    return _GAP.sub("\n\n", text).strip() + "\n"


class _TextWriter(HTMLParser):
    """Walks MJML and writes lines; HTMLParser knows no DTD, so no entity can expand."""

    def __init__(self, marked: Marked) -> None:
        super().__init__()
        self._marked = marked
        self.title: list[str] = []
        self.parts: list[str] = []
        self._printed = "\n\n"  # the last two characters that are sure to be printed
        self._open: list[str] = []
        self._links: list[tuple[str, str]] = []
        self._skipping = ""  # the tag whose end ends the skipping
        self._in_title = False
        self._separator = ""

    def finish(self) -> None:
        """Ends the walk; TemplateError if a tag was left open."""
        self.close()
        if self._open:
            raise TemplateError(f"<{self._open[-1]}> is never closed; close it")

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        if any(len(value) > MAX_ATTRIBUTE_CHARS for value in values.values()):
            raise TemplateError(
                f"line {self.getpos()[0]} has an attribute of more than "
                f"{MAX_ATTRIBUTE_CHARS} characters; shorten it"
            )
        if tag not in _VOID:
            self._open.append(tag)
        if tag == "mj-title":
            self._in_title = True
        elif self._skipping:
            return
        elif tag in ("mj-head", "style"):
            self._skipping = tag
        else:
            self._begin(tag, values)

    def _begin(self, tag: str, values: dict[str, str]) -> None:
        if tag in _PARAGRAPHS or tag in _LINES:
            self._end_line()
        if tag == "tr":
            self._separator = ""
        elif tag in ("td", "th"):
            self._write(self._separator)
            self._separator = ": " if tag == "th" else ", "
        elif tag in ("a", "mj-button"):
            self._links.append((tag, values.get("href", "")))
        elif tag in ("img", "mj-image"):
            self._write(values.get("alt", ""))
        elif tag == "br":
            self._write(", " if self._separator else "\n")  # a table's row stays one line
        else:
            self._write({"li": "- ", "mj-divider": _RULE}.get(tag, ""))

    def handle_endtag(self, tag: str) -> None:
        if tag in _VOID:
            return
        # mrml takes any end tag for the one it waits for, and closes what is left open.
        if not self._open or self._open.pop() != tag:
            raise TemplateError(
                f"line {self.getpos()[0]} has </{tag}> where another tag is open; close that first"
            )
        if tag == "mj-title":
            self._in_title = False
        elif self._skipping:
            self._skipping = "" if tag == self._skipping else self._skipping
        else:
            self._end(tag)

    def _end(self, tag: str) -> None:
        if self._links and self._links[-1][0] == tag:
            link = self._links.pop()[1]
            if link:
                self._write(f": {link}" if tag == "mj-button" else f" <{link}>")
        if tag == "tr":
            self._separator = ""
        if tag in _LINES:
            self._end_line()
        elif tag in _PARAGRAPHS:
            self._end_line()
            self._write("\n" if self._printed[-2:] != "\n\n" else "")

    def handle_data(self, data: str) -> None:
        if self._in_title:
            self.title.append(data)
        elif not self._skipping:
            self._write(re.sub(r"\s+", " ", data))

    def _end_line(self) -> None:
        if self._printed[-1] != "\n":
            self._write("\n")

    def _write(self, text: str) -> None:
        """Appends ``text``; a tag that prints nothing does not count as the line's beginning."""
        for piece in re.split(f"({MARK.pattern})", text):
            if MARK.fullmatch(piece) and self._marked.is_block(piece):
                self.parts.append(piece)
                continue
            bare = piece.lstrip(" ") if self._printed[-1] in " \n" else piece
            if bare:
                self.parts.append(bare)
                self._printed = (self._printed + bare)[-2:]
