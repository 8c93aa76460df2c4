"""``make translations``: brings the catalogues up to date with the code, and compiles them.

The compiled ones are committed too: serving needs the standard library alone, and an installation
from a checkout has no step in which it could make them.
"""

from __future__ import annotations

import ast
import re
from io import BytesIO
from pathlib import Path

from babel.messages import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po
from django.utils.translation.template import templatize

from horizon.edge.language import DEFAULT, DOMAIN, LANGUAGES, LOCALE

EDGE = LOCALE.parent
_METHODS = [("**.py", "python"), ("**/templates/**.html", "jinja2.ext:babel_extract")]
_OPTIONS = {"**/templates/**.html": {"newstyle_gettext": "true", "silent": "false"}}
_COMMENT = "# The pages behind the links in mails. `make translations` keeps this file in order."
_KEYWORDS = {"_": None, "gettext": None, "ngettext": (1, 2), "gettext_noop": None}


class PlainCatalog(Catalog):
    """With a header that says what readers of the file need, and never a time."""

    @property
    def mime_headers(self) -> list[tuple[str, str]]:
        plain = super().mime_headers
        wanted = ("Language", "Plural-Forms", "MIME-Version", "Content-Type")
        return [(name, value) for name, value in plain if name in wanted]


def translated() -> list[str]:
    return [language for language in LANGUAGES if language != DEFAULT]


def po_file(language: str) -> Path:
    return LOCALE / language / "LC_MESSAGES" / f"{DOMAIN}.po"


def extracted() -> Catalog:
    """Every text of the code and the templates that is marked for translation."""
    catalog = Catalog()
    found = extract_from_dir(EDGE, _METHODS, _OPTIONS, keywords=_KEYWORDS)
    for file, _, text, _comments, context in found:
        catalog.add(text, locations=[(file, 0)], context=context)
    return catalog


def committed(language: str) -> Catalog:
    with po_file(language).open("rb") as file:
        return read_po(file, locale=language)


def updated(language: str) -> Catalog:
    """The committed translations of what the code says now; what is new there has none."""
    known = committed(language) if po_file(language).exists() else Catalog()
    catalog = PlainCatalog(language, header_comment=_COMMENT, fuzzy=False)
    for message in extracted():
        if message.id:
            same = known.get(message.id, message.context)
            text = same.string if same is not None else ""
            catalog.add(message.id, text, message.locations, message.flags, context=message.context)
    return catalog


def po_text(catalog: Catalog) -> bytes:
    """Without line numbers and times: a change of the code alone changes nothing here."""
    buffer = BytesIO()
    write_po(buffer, catalog, width=100, include_lineno=False, sort_by_file=True)
    return buffer.getvalue()


def mo_bytes(catalog: Catalog) -> bytes:
    buffer = BytesIO()
    write_mo(buffer, catalog)
    return buffer.getvalue()


CONSOLE = EDGE.parent / "console"
_CONSOLE_COMMENT = "# The console. `make translations` keeps this file in order."
# What Django makes of a template for xgettext: calls of gettext, and X for the rest.
_CALL = re.compile(r"(?<![a-z])(?:_|gettext)\(u?(\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*')\)")


def console_file(language: str) -> Path:
    return CONSOLE / "locale" / language / "LC_MESSAGES" / "django.po"


def console_extracted() -> Catalog:
    """The texts of the console's code and of its templates, which are Django's."""
    catalog = Catalog()
    for file, _, text, _comments, context in extract_from_dir(
        CONSOLE, [("**.py", "python")], keywords=_KEYWORDS
    ):
        catalog.add(text, locations=[(file, 0)], context=context)
    for path in sorted((CONSOLE / "templates").rglob("*.html")):
        for text in _CALL.findall(templatize(path.read_text())):
            name = str(path.relative_to(CONSOLE))
            catalog.add(ast.literal_eval(text), locations=[(name, 0)])
    return catalog


def console_updated(language: str) -> Catalog:
    file = console_file(language)
    known = read_po(BytesIO(file.read_bytes()), locale=language) if file.exists() else Catalog()
    catalog = PlainCatalog(language, header_comment=_CONSOLE_COMMENT, fuzzy=False)
    for message in console_extracted():
        if message.id:
            same = known.get(message.id)
            flags = message.flags | ({"python-format"} if "%(" in str(message.id) else set())
            catalog.add(message.id, same.string if same else "", message.locations, flags)
    return catalog


def main() -> None:
    for language in translated():
        for file, catalog in (
            (po_file(language), updated(language)),
            (console_file(language), console_updated(language)),
        ):
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(po_text(catalog))
            file.with_suffix(".mo").write_bytes(mo_bytes(catalog))
            missing = [message.id for message in catalog if message.id and not message.string]
            print(f"{file}: {len(catalog)} texts, {len(missing)} without a translation")


if __name__ == "__main__":
    main()
