"""Which of our languages a person reads, and the words in it."""

from __future__ import annotations

import gettext
import re
from collections.abc import Mapping
from datetime import datetime
from functools import cache
from pathlib import Path
from types import MappingProxyType
from urllib.parse import parse_qs

from horizon.serving.http import Request

# By their codes; the first is the one that the code is written in.
LANGUAGES: Mapping[str, str] = MappingProxyType({"en": "English", "de": "Deutsch"})
DEFAULT = "en"
LOCALE = Path(__file__).parent / "locale"
DOMAIN = "horizon"

_RANGE = re.compile(
    r"\s*(\*|[A-Za-z]{1,8})(?:-[A-Za-z0-9-]*)?\s*(?:;\s*q\s*=\s*([01](?:\.\d{0,3})?))?\s*"
)
_HEADER_CHARACTERS = 1000


def gettext_noop(text: str) -> str:
    """Marks a text of a table for translation; it is translated where it is shown."""
    return text


_MONTHS = (
    gettext_noop("January"), gettext_noop("February"), gettext_noop("March"),
    gettext_noop("April"), gettext_noop("May"), gettext_noop("June"), gettext_noop("July"),
    gettext_noop("August"), gettext_noop("September"), gettext_noop("October"),
    gettext_noop("November"), gettext_noop("December"),
)  # fmt: skip


@cache
def words(language: str) -> gettext.NullTranslations:
    """The catalogue of one of LANGUAGES."""
    if language == DEFAULT:
        return gettext.NullTranslations()
    return gettext.translation(DOMAIN, LOCALE, [language])


def day_of(time: datetime, language: str) -> str:
    _ = words(language).gettext
    return _("%(day)s %(month)s %(year)s") % {
        "day": time.day, "month": _(_MONTHS[time.month - 1]), "year": time.year,
    }  # fmt: skip


def language_of(request: Request) -> str:
    """``?lang=`` of the page's own link, else what the browser asks for."""
    asked = parse_qs(request.query.decode("latin-1")).get("lang", [""])[-1]
    header = request.headers.get(b"accept-language", b"").decode("latin-1")
    return asked if asked in LANGUAGES else accepted(header)


def accepted(header: str) -> str:
    """The best of an Accept-Language header (RFC 9110, 12.5.4); the first named of equals."""
    quality: dict[str, float] = {}
    for part in header[:_HEADER_CHARACTERS].split(","):
        found = _RANGE.fullmatch(part)
        if found is not None:
            tag, value = found[1].lower(), min(1.0, float(found[2] or 1))
            quality[tag] = max(value, quality.get(tag, 0.0))
    others = quality.pop("*", 0.0)
    for language in LANGUAGES:
        quality.setdefault(language, others)
    best = max((tag for tag in quality if tag in LANGUAGES), key=lambda tag: quality[tag])
    return best if quality[best] else DEFAULT
