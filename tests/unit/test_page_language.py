"""The language of a page, and that its catalogues are whole."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest
from babel.messages.checkers import checkers
from hypothesis import given
from hypothesis import strategies as st

from horizon.edge.language import LANGUAGES, accepted, day_of, words
from horizon.edge.purposes import purpose_words
from tests import translations

PLACEHOLDER = re.compile(r"%\(\w+\)\w|\{\w*\}")


@pytest.mark.parametrize(
    ("header", "language"),
    [
        ("", "en"),
        ("de", "de"),
        ("de-AT, de;q=0.9, en;q=0.8", "de"),
        ("DE-de", "de"),
        ("en-GB,de;q=0.9", "en"),
        ("fr, de;q=0.5, en;q=0.4", "de"),
        ("de;q=0.4, en;q=0.5", "en"),
        ("de;q=0", "en"),
        ("en;q=0, de;q=0.1", "de"),
        ("en;q=0, *;q=0.5", "de"),
        ("*", "en"),
        ("de;q=0.5, *;q=0.7", "en"),
        ("de, en", "de"),
        ("fr", "en"),
        ("en;q=0, de;q=0", "en"),
        ("de;q=seven, en;q=0.1", "en"),
        ("de ; q=1.0", "de"),
        ("," * 5000 + "de", "en"),
    ],
)
def test_the_best_language_of_a_header(header: str, language: str) -> None:
    assert accepted(header) == language


@given(st.text() | st.text(alphabet="den-AT*;q=01., "))
def test_any_header_gives_a_language(header: str) -> None:
    assert accepted(header) in LANGUAGES


def test_a_day_in_words() -> None:
    day = datetime(2026, 3, 5, tzinfo=UTC)
    assert (day_of(day, "en"), day_of(day, "de")) == ("5 March 2026", "5. März 2026")


def test_a_purpose_in_the_operators_words_and_in_the_shipped_ones() -> None:
    own = {"en": "Events", "de": "Veranstaltungen"}
    assert purpose_words("events", own, "B & C", "de").wording == (
        "Veranstaltungen: Ich möchte diese E-Mails von B & C bekommen."
    )
    assert purpose_words("events", {"en": "Events"}, "B", "de").title == "Events"
    assert purpose_words("events", {"fr": "Fêtes"}, "B", "de").title == "Fêtes"
    assert purpose_words("shop_events", {}, "B", "de").title == "Shop events"
    assert purpose_words("marketing", {}, "B", "de").title == "Neuigkeiten und Angebote"
    assert purpose_words("marketing", {"de": "Post"}, "B", "de").title == "Post"
    assert "Neuigkeiten" in purpose_words("marketing", {"de": "Post"}, "B", "de").sentence


def test_the_marked_texts_are_found() -> None:
    found = {message.id for message in translations.extracted() if message.id}
    assert len(found) > 50
    # a table's, a template's, one with a placeholder
    assert found >= {"March", "Save", "You are unsubscribed", "Until %(day)s"}


@pytest.mark.parametrize("language", translations.translated())
def test_every_text_is_translated(language: str) -> None:
    catalog = translations.committed(language)
    for message in translations.extracted():
        if message.id:
            found = catalog.get(message.id)
            assert found is not None, f"{message.id!r}: make translations, then translate it"
            assert found.string, f"{message.id!r} has no translation: {language}"
            assert not found.fuzzy, message.id


@pytest.mark.parametrize("language", translations.translated())
def test_no_translation_loses_a_placeholder(language: str) -> None:
    catalog = translations.committed(language)
    for message in catalog:
        if message.id:
            assert sorted(PLACEHOLDER.findall(message.id)) == sorted(
                PLACEHOLDER.findall(message.string)
            ), message.id
            for check in checkers:
                check(catalog, message)


@pytest.mark.parametrize("language", translations.translated())
def test_the_files_are_as_make_translations_writes_them(language: str) -> None:
    po = translations.po_file(language)
    wanted = translations.updated(language)
    assert po.read_bytes() == translations.po_text(wanted), "make translations"
    assert po.with_suffix(".mo").read_bytes() == translations.mo_bytes(wanted), "make translations"
    assert words(language).gettext("Save") == "Speichern"
