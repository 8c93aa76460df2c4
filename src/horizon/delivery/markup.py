"""MJML to HTML, with every Jinja2 tag taken out before and put back after.

mrml and the checks then see plain MJML and plain HTML, and a check knows where each tag stands.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from html import unescape
from html.parser import HTMLParser
from typing import Final

import mrml
from jinja2 import TemplateSyntaxError

from horizon.delivery.sandbox import TEXT
from horizon.delivery.values import is_link
from horizon.errors import TemplateError

MAX_SOURCE_CHARS: Final = 64_000
MAX_HTML_CHARS: Final = 500_000
MAX_ATTRIBUTE_CHARS: Final = 500  # mj-attributes copies a value into every element
MAX_TAGS: Final = 1_000  # mrml overflows the stack, and so kills the process, at 20,000 levels

SUBJECT: Final = "_subject"
LINK: Final = "_link_"
OPEN: Final = "_open"
# Who wants out, or to confirm, is not counted on the way.
WAYS_OUT: Final = frozenset({"unsubscribe_url", "preferences_url", "confirm_url"})
_ANCHOR: Final = re.compile(r'(<a\b[^>]*?\bhref=")([^"]*)')
_PICTURE: Final = '<img src="{}" width="1" height="1" alt="" style="display:block">'
MARK: Final = re.compile(r"HZNTAG\d{4}X")
_COMMENT: Final = re.compile(r"<!--.*?-->", re.DOTALL)
_INDENT: Final = re.compile(r"[ \t]*\n\s*")
_TITLE: Final = re.compile(r"(<mj-title>)(.*?)(</mj-title>)", re.DOTALL)
_LINK_VARIABLE: Final = re.compile(r"\{\{\s*[A-Za-z]\w*_url\s*\}\}")
_ATTRIBUTE: Final = re.compile(r"[a-z][a-z0-9:_-]*")
_ATTRIBUTES_FORBIDDEN: Final = re.compile(
    r"on.*|srcset|srcdoc|ping|action|formaction|usemap|.*hzntag.*"  # the parser lowers names
)
_CONDITIONAL: Final = re.compile(r"\[if [^\]<>]*\]>(.*)<!\[endif\]", re.DOTALL)
_CSS_FORBIDDEN: Final = re.compile(
    r"""\\|@import|expression\s*\(|behaviou?r\s*:|-moz-binding|(?:java|vb)script:|data:
    |url\(\s*(?!['"]?https?://)""",
    re.IGNORECASE | re.VERBOSE,
)
_LINKS: Final = frozenset({"href", "src", "background", "cite", "longdesc", "xlink:href"})
_READABLE: Final = frozenset({"alt", "title", "aria-label"})
_META: Final = frozenset({"x-ua-compatible", "content-type"})
_TAGS: Final = frozenset(
    {
        "html", "head", "title", "meta", "style", "body", "div", "table", "tbody", "thead",
        "tfoot", "tr", "td", "th", "caption", "colgroup", "col", "p", "a", "img", "span", "b",
        "strong", "i", "em", "u", "s", "small", "big", "sub", "sup", "br", "hr", "wbr", "h1",
        "h2", "h3", "h4", "h5", "h6", "ul", "ol", "li", "dl", "dt", "dd", "blockquote", "center",
        "font", "pre", "code", "abbr", "address", "section", "article", "header", "footer",
        "main", "figure", "figcaption", "noscript", "xml",
    }
)  # fmt: skip


def _mark(number: int) -> str:
    return f"HZNTAG{number:04d}X"


def _number(mark: str) -> int:
    return int(mark[6:10])


@dataclass(frozen=True, slots=True)
class Marked:
    """A source whose Jinja2 tags were replaced by marks; ``tags[n]`` is what mark n stands for."""

    source: str
    tags: tuple[str, ...]

    def is_block(self, mark: str) -> bool:
        """Whether the mark stands for ``{% ... %}``, which prints nothing itself."""
        return self.tags[_number(mark)].startswith("{%")

    def is_link(self, mark: str) -> bool:
        """Whether the mark stands for nothing but a variable whose name ends in ``_url``."""
        return _LINK_VARIABLE.fullmatch(self.tags[_number(mark)]) is not None

    def restore(self, text: str) -> str:
        """``text`` as a Jinja2 template: the tags in place of the marks."""
        if re.search(r"\{[{%#]", text):
            raise TemplateError("two characters that begin a tag stand outside of one; "
                                "write a space between them")  # fmt: skip
        return MARK.sub(lambda found: self.tags[_number(found[0])], text)


def without_comments(source: str) -> str:
    """The source without its comments, lines kept; refuses what no mail template needs."""
    if len(source) > MAX_SOURCE_CHARS or source.count("<") > MAX_TAGS:
        raise TemplateError(
            f"it is larger than {MAX_SOURCE_CHARS} characters or {MAX_TAGS} tags; shorten it"
        )
    # Kept comments would reach the reader, and "[if mso]" comments are markup to Outlook.
    bare = _COMMENT.sub(lambda found: "\n" * found[0].count("\n"), source)
    if "<!" in bare or "<?" in bare:
        raise TemplateError("it has a DOCTYPE, an entity, CDATA or an instruction; remove it")
    if "HZNTAG" in unescape(bare) or "\x00" in bare:
        raise TemplateError("it holds the word HZNTAG or a null character; remove it")
    return bare


def mark_tags(source: str) -> Marked:
    """Replaces each Jinja2 tag by a mark and drops Jinja2's comments."""
    text: list[str] = []
    tags: list[str] = []
    try:
        for _, kind, value in TEXT.lex(source):
            if kind == "data":
                text.append(value)
            elif kind in ("variable_begin", "block_begin"):
                text.append(_mark(len(tags)))
                tags.append(value)
            elif kind.startswith("raw"):
                raise TemplateError("it has a raw block; write its text without one")
            elif not kind.startswith("comment"):
                tags[-1] += value
    except TemplateSyntaxError as exc:
        raise TemplateError(f"line {exc.lineno} is not valid: {exc.message}") from exc
    return Marked("".join(text), tuple(tag.strip() for tag in tags))


@dataclass(frozen=True, slots=True)
class HtmlSource:
    """Two Jinja2 templates that print the HTML part; both take the subject as ``_subject``.

    ``tracked`` takes ``_link_0`` and so on in place of ``links``, each an address or the name of a
    variable, and ``_open``, the picture that counts an opening.
    """

    plain: str
    tracked: str
    links: tuple[str, ...]


def to_html(marked: Marked) -> HtmlSource:
    """Raises TemplateError for what is not MJML or has no place in a mail."""
    titled = _with_subject_variable(marked)
    options = mrml.RenderOptions(disable_comments=True, fonts={})  # no fonts from other servers
    try:
        html = mrml.to_html(titled.source, None, options).content
    except OSError as exc:
        reason = str(exc).partition(" in root template")[0]
        raise TemplateError(
            f"it is not valid MJML ({reason}); quote each attribute, write &lt; for < in text "
            "and include no other file"
        ) from exc
    if len(html) > MAX_HTML_CHARS:
        raise TemplateError(f"its HTML has more than {MAX_HTML_CHARS} characters; shorten it")
    _HtmlCheck(titled).check(html)
    for lost in set(MARK.findall(titled.source)) - set(MARK.findall(html)):
        raise TemplateError(
            f"mrml drops {titled.tags[_number(lost)]} from its place; "
            "move it into the text of an element"
        )
    html = _shrink(html)
    return HtmlSource(titled.restore(html), *_tracked(titled, html))


def _tracked(marked: Marked, html: str) -> tuple[str, tuple[str, ...]]:
    links: list[str] = []
    tags = list(marked.tags)

    def replaced(found: re.Match[str]) -> str:
        link = _trackable(marked, found[2])
        if link is None:
            return found[0]
        if link not in links:
            links.append(link)
        tags.append(f"{{{{ {LINK}{links.index(link)} }}}}")
        return f"{found[1]}{_mark(len(tags) - 1)}"

    counted = _ANCHOR.sub(replaced, html)
    tags.append(f"{{{{ {OPEN} }}}}")
    picture = _PICTURE.format(_mark(len(tags) - 1))
    before, end, after = counted.rpartition("</body>")
    return Marked("", tuple(tags)).restore(before + picture + end + after), tuple(links)


def _trackable(marked: Marked, href: str) -> str | None:
    """The address or the variable's name; None for what is no visit: a mailto, a way out."""
    if MARK.fullmatch(href):
        name = marked.tags[_number(href)].strip("{} ")
        return None if name in WAYS_OUT else name
    address = unescape(href)
    return address if address.lower().startswith(("http://", "https://")) else None


def _shrink(html: str) -> str:
    # Saves 500 of 14,000 bytes in every mail: adjoining Outlook comments, and indentation.
    return _INDENT.sub("\n", html.replace("<![endif]--><!--[if mso | IE]>", ""))


def _with_subject_variable(marked: Marked) -> Marked:
    # mrml prints the title twice, once in an attribute whose quotes it escapes for Rust.
    if len(_TITLE.findall(marked.source)) != 1:
        raise TemplateError("it needs one <mj-title>, which is the subject; write it in <mj-head>")
    source = _TITLE.sub(rf"\g<1>{_mark(len(marked.tags))}\g<3>", marked.source)
    return Marked(source, (*marked.tags, f"{{{{ {SUBJECT} }}}}"))


class _HtmlCheck(HTMLParser):
    """Refuses markup that runs, loads or links in a way no mail should, and misplaced tags."""

    def __init__(self, marked: Marked) -> None:
        super().__init__()
        self._marked = marked

    def check(self, html: str) -> None:
        """Raises TemplateError at the first thing that is refused."""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in _TAGS and not tag.startswith(("v:", "o:", "w:")):
            raise TemplateError(f"it uses the tag <{tag}>, which mails do without; remove it")
        for name, value in attrs:
            self._check_attribute(tag, name, value or "")

    def _check_attribute(self, tag: str, name: str, value: str) -> None:
        if not _ATTRIBUTE.fullmatch(name) or _ATTRIBUTES_FORBIDDEN.fullmatch(name):
            raise TemplateError(
                f"<{tag}> has the attribute {name!r}, which mails do without; "
                "remove it, or a stray quote before it"
            )
        if name in _LINKS:
            self._check_link(tag, name, value)
        elif MARK.search(value):
            self._check_readable(tag, name, value)
        elif name == "style":
            _check_css(value)
        elif name == "http-equiv" and value.lower() not in _META:
            raise TemplateError(
                f"<meta> has http-equiv {value!r}, which mails do without; remove it"
            )

    def _check_link(self, tag: str, name: str, value: str) -> None:
        if MARK.fullmatch(value):
            allowed = self._marked.is_link(value)
        else:
            allowed = not MARK.search(value) and is_link(value)
        if not allowed:
            raise TemplateError(
                f"<{tag}> has a {name} that is not a link; write a whole https://, http:// or "
                "mailto: address, or one variable alone whose name ends in _url"
            )

    def _check_readable(self, tag: str, name: str, value: str) -> None:
        if name not in _READABLE or any(map(self._marked.is_block, MARK.findall(value))):
            raise TemplateError(
                f"<{tag}> has a variable in {name}; variables may stand in text, in alt, title "
                "and aria-label and, alone, in href and src"
            )

    def handle_data(self, data: str) -> None:
        if self.cdata_elem == "style":
            if MARK.search(data):
                raise TemplateError("there is a variable in a style; write the style without it")
            _check_css(data)

    def handle_comment(self, data: str) -> None:
        if data in ("[if !mso]><!", "<![endif]"):
            return
        conditional = _CONDITIONAL.fullmatch(data)
        if conditional is None:
            raise TemplateError("it holds a comment inside another element; remove it")
        _HtmlCheck(self._marked).check(conditional[1])

    def handle_decl(self, decl: str) -> None:
        if decl != "doctype html":
            raise TemplateError(f"it holds <!{decl}>; remove it")

    def unknown_decl(self, data: str) -> None:
        raise TemplateError(f"it holds <![{data}]>; remove it")

    def handle_pi(self, data: str) -> None:
        raise TemplateError(f"it holds <?{data}>; remove it")


def _check_css(css: str) -> None:
    found = _CSS_FORBIDDEN.search(css)
    if found is not None:
        raise TemplateError(
            f"a style uses {found[0]!r}; remove it, or write a whole https:// address"
        )
