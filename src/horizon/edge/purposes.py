"""What consent is asked for, in the words of the page: they are kept with the answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from horizon.edge.language import DEFAULT, gettext_noop, words

# The purposes that are shipped: title and sentence.
_SHIPPED: Mapping[str, tuple[str, str]] = MappingProxyType({
    "marketing": (
        gettext_noop("News and offers"),
        gettext_noop("I would like to get emails with news and offers from %(brand)s."),
    ),
    "tracking": (
        gettext_noop("Opens and clicks"),
        gettext_noop(
            "%(brand)s may record which of its emails I open and which of their links I follow."
        ),
    ),
})  # fmt: skip
_ANY = gettext_noop("I would like to get these emails from %(brand)s.")


@dataclass(frozen=True, slots=True)
class PurposeWords:
    title: str
    sentence: str

    @property
    def wording(self) -> str:
        return f"{self.title}: {self.sentence}"


def purpose_words(
    purpose: str, titles: Mapping[str, str], brand: str, language: str
) -> PurposeWords:
    """The operator's title counts where there is one; its sentence is the same for all of them."""
    _ = words(language).gettext
    shipped, sentence = _SHIPPED.get(purpose, ("", _ANY))
    title = titles.get(language) or (shipped and _(shipped)) or titles.get(DEFAULT)
    return PurposeWords(
        title or next(iter(titles.values()), "") or purpose.replace("_", " ").capitalize(),
        _(sentence) % {"brand": brand},
    )
