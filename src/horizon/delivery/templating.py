"""Mail templates: MJML compiled once, then three small Jinja2 templates rendered per mail."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from importlib import resources
from typing import Final

import msgspec
from jinja2 import Template

from horizon.delivery import markup, plaintext, quoted, sandbox
from horizon.delivery.values import plain_values
from horizon.errors import TemplateError

MAX_SUBJECT_CHARS: Final = 200
_FOLDER: Final = "horizon.delivery.channels.smtp"
_SUFFIX: Final = ".mjml"


class RenderedMail(msgspec.Struct, frozen=True):
    """The three texts of one mail; the subject is a single line. ``encoded``: HTML and text are
    quoted-printable, their lines ended by CRLF."""

    subject: str
    html: str
    text: str
    encoded: bool = False


@dataclass(frozen=True, slots=True)
class MailTemplate:
    """A compiled template; ``digest`` is the SHA-256 of its MJML source in hex.

    ``links`` are those whose clicks can be counted: addresses, and names of variables.
    """

    name: str
    digest: str
    variables: frozenset[str]
    links: tuple[str, ...]
    _outline: sandbox.Outline = field(repr=False)
    _subject: Template = field(repr=False)
    _html: Template = field(repr=False)
    _encoded: Template = field(repr=False)
    _tracked: Template = field(repr=False)
    _text: Template = field(repr=False)
    _encoded_text: Template = field(repr=False)

    def render(self, variables: Mapping[str, object]) -> RenderedMail:
        """One mail to look at; TemplateError for a value that is missing or cannot be used."""
        return self._render((self._html, self._text, plaintext.close_gaps), variables, {})

    def encode(
        self, variables: Mapping[str, object], tracking: Mapping[str, str] | None = None
    ) -> RenderedMail:
        """One mail to send. ``tracking`` has ``_open`` and each ``_link_N``; None: not counted."""
        html = self._encoded if tracking is None else self._tracked
        parts = (html, self._encoded_text, quoted.close_gaps)
        return self._render(parts, variables, tracking or {}, encoded=True)

    def _render(
        self,
        parts: tuple[Template, Template, Callable[[str], str]],
        variables: Mapping[str, object],
        internal: Mapping[str, str],
        *,
        encoded: bool = False,
    ) -> RenderedMail:
        html, plain, close_gaps = parts
        try:
            values = plain_values(self._outline, variables)
            subject = _one_line(sandbox.render_bounded(self._subject, values))
            text = close_gaps(sandbox.render_bounded(plain, values))
            values[markup.SUBJECT] = subject
            values.update(internal)
            return RenderedMail(subject, sandbox.render_bounded(html, values), text, encoded)
        except TemplateError as exc:
            raise TemplateError(f"Template '{self.name}' cannot be rendered: {exc}.") from exc


def load_template(name: str) -> MailTemplate:
    """The shipped template of that name; TemplateError lists the names there are."""
    names = _shipped()
    if name not in names:
        raise TemplateError(f"There is no template '{name}'; use one of {', '.join(names)}.")
    return _load(name)


def compile_template(name: str, source: str) -> MailTemplate:
    """Compiles MJML with Jinja2 variables; TemplateError says what to change."""
    try:
        bare = markup.without_comments(source)
        outline = sandbox.check(bare)
        marked = markup.mark_tags(bare)
        subject, text = plaintext.to_text(marked)
        html = markup.to_html(marked)
        internal = _internal(html.links)
        return MailTemplate(
            name=name,
            digest=hashlib.sha256(source.encode()).hexdigest(),
            variables=outline.variables,
            _outline=outline,
            _subject=sandbox.compile_checked(sandbox.TEXT, subject),
            links=html.links,
            _html=sandbox.compile_checked(sandbox.HTML, html.plain, internal=internal),
            _encoded=sandbox.compile_checked(sandbox.QUOTED_HTML, html.plain, internal=internal),
            _tracked=sandbox.compile_checked(sandbox.QUOTED_HTML, html.tracked, internal=internal),
            _text=sandbox.compile_checked(sandbox.TEXT, text),
            _encoded_text=sandbox.compile_checked(sandbox.QUOTED_TEXT, text),
        )
    except TemplateError as exc:
        raise TemplateError(f"Template '{name}' cannot be used: {exc}.") from exc
    except UnicodeEncodeError as exc:
        raise TemplateError(f"Template '{name}' holds half a character; save it as UTF-8.") from exc


def require_variables(template: MailTemplate, known: Collection[str]) -> None:
    """Raises TemplateError naming each variable of the template that is not ``known``."""
    unknown = sorted(template.variables.difference(known))
    if unknown:
        raise TemplateError(
            f"Template '{template.name}' uses {', '.join(unknown)}, which this campaign does not "
            f"have; remove them or use some of {', '.join(sorted(known))}."
        )


def _internal(links: Collection[str]) -> frozenset[str]:
    return frozenset({
        markup.SUBJECT, markup.OPEN, *(f"{markup.LINK}{number}" for number in range(len(links)))
    })  # fmt: skip


def _one_line(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= MAX_SUBJECT_CHARS else line[: MAX_SUBJECT_CHARS - 1] + "…"


@functools.cache
def _shipped() -> tuple[str, ...]:
    files = (resources.files(_FOLDER) / "templates").iterdir()
    return tuple(sorted(file.name.removesuffix(_SUFFIX) for file in files
                        if file.name.endswith(_SUFFIX)))  # fmt: skip


@functools.cache
def _load(name: str) -> MailTemplate:
    file = resources.files(_FOLDER) / "templates" / f"{name}{_SUFFIX}"
    return compile_template(name, file.read_text(encoding="utf-8"))
