"""What to paste into an application so that its events arrive here: a text for each SDK."""

from __future__ import annotations

from importlib import resources
from string import Template
from typing import Literal, NamedTuple

Kind = Literal["public", "server"]


class Snippet(NamedTuple):
    name: str
    text: str


# By file: the SDK's name, and whose key it may hold. A server source's key must stay secret, so
# nothing that runs at a customer's gets one.
_SDKS: dict[str, tuple[str, frozenset[Kind]]] = {
    "page.html": ("Web page", frozenset({"public"})),
    "analytics-next.js": ("@segment/analytics-next", frozenset({"public"})),
    "kotlin.kt": ("analytics-kotlin", frozenset({"public"})),
    "python.py.txt": ("segment-analytics-python", frozenset({"server"})),
    "analytics-node.mjs": ("@segment/analytics-node", frozenset({"server"})),
    "rudder-python.py.txt": ("rudder-sdk-python", frozenset({"server"})),
    "rudder-node.mjs": ("@rudderstack/rudder-sdk-node", frozenset({"server"})),
    "curl.sh": ("curl", frozenset({"public", "server"})),
}


# Where PUBLIC_URL has no TLS, as on a laptop.
_PAGE_NOTE = (
    " A page over https may not load it over http: serve that page over http too, or set "
    "PUBLIC_URL to https."
)
_PHONE_NOTE = """ So put what ends TLS in front of the collector and set
// PUBLIC_URL to it; neither this machine's address nor 10.0.2.2, by which an emulator reaches it,
// is taken over http."""


def snippets(url: str, key: str, kind: Kind | None = None) -> list[Snippet]:
    """For the collector at ``url`` and a source's key; those for a kind of source, or all."""
    return [
        Snippet(name, _fill(file, url, key))
        for file, (name, kinds) in _SDKS.items()
        if kind is None or kind in kinds
    ]


def _fill(file: str, url: str, key: str) -> str:
    text = (resources.files(__name__) / file).read_text()
    url = url.rstrip("/")
    scheme, _, host = url.partition("://")
    plain = scheme == "http"
    return Template(text).substitute(
        url=url, host=host, key=key,
        page_note=_PAGE_NOTE if plain else "", phone_note=_PHONE_NOTE if plain else "",
    )  # fmt: skip
