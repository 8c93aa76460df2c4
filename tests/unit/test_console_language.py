"""The console's catalogues hold every text of its code and templates."""

from __future__ import annotations

import re

import pytest
from babel.messages.pofile import read_po

from tests import translations

LANGUAGES = translations.translated()


def test_the_marked_texts_are_found() -> None:
    found = {message.id for message in translations.console_extracted() if message.id}
    # Of code, of a lazy text, of {% translate %}, and of {% blocktranslate %} with a value.
    assert {
        "Saved.",
        "At least 12 characters, and none of the common ones.",
        "Sign out",
        "a week ago %(count)s",
    } <= found


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_text_is_translated_with_its_placeholders(language: str) -> None:
    with translations.console_file(language).open("rb") as file:
        catalog = read_po(file, locale=language)
    for message in translations.console_extracted():
        if message.id:
            found = catalog.get(message.id)
            assert found is not None, f"{message.id!r}: make translations, then translate it"
            assert found.string, f"{message.id!r} has no translation"
            places = [re.findall(r"%\(\w+\)s|<\w+>", text) for text in (message.id, found.string)]
            assert sorted(places[0]) == sorted(places[1]), message.id


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_files_are_as_make_translations_writes_them(language: str) -> None:
    catalog, file = translations.console_updated(language), translations.console_file(language)
    assert file.read_bytes() == translations.po_text(catalog)
    assert file.with_suffix(".mo").read_bytes() == translations.mo_bytes(catalog)
