"""An event's context: where it came from, and what the person said may be done."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any, NamedTuple

from horizon.events.identifying import in_context
from horizon.events.json_text import read_object, write
from horizon.events.kinds import BUILT_IN, Identifier, Kinds
from horizon.events.proof import Voucher
from horizon.events.rejection import truncated_ip

TOKEN, USER_HASH, TROUBLE = "identityToken", "userHash", "identityError"
_PREFERENCE = re.compile(r"[A-Za-z0-9_-]{1,64}\.[A-Za-z0-9_-]{1,64}")


class Context(NamedTuple):
    text: str | None
    consent: str | None  # {"PURPOSE.CHANNEL": true}
    traits: dict[str, Any] | None = None  # shared by all who ask: not to be changed
    identifiers: tuple[Identifier, ...] = ()  # that its source may assert, strongest first
    voucher: Voucher | None = None


# A batch's events mostly share one context. 256 of at most 32 KB bound what is held.
@lru_cache(maxsize=256)
def read_context(
    batch: bytes | None,
    item: bytes | None,
    trusted: bool,
    choices: bytes | None = None,
    kinds: Kinds = BUILT_IN,
) -> Context:
    """Merge the batch's context into the item's, which wins. Raises Rejected.

    ``choices`` are a call's integrations: kept as ``context.integrations``, so that a forward to
    Segment says no for the person where the app did.
    """
    if batch is None and item is None and choices is None:
        return Context(None, None)
    merged = {
        **(read_object(batch, "context") if batch else {}),
        **(read_object(item, "context") if item else {}),
    }
    if kept := _choices(choices):
        merged["integrations"] = kept
    _shorten_ip(merged)
    voucher = _voucher(merged)
    preferences = _preferences(merged, trusted)
    traits = merged.get("traits")
    return Context(
        write(merged) if merged or batch or item else None,
        write(preferences) if preferences else None,
        traits if isinstance(traits, dict) else None,
        in_context(merged, kinds, frozenset() if trusted else kinds.unproven),
        voucher,
    )


def with_trouble(context: str | None, trouble: str) -> str:
    """The context with what was wrong with its token, for whoever asks why nobody believed it."""
    rest = (context or "{}")[1:]
    return f'{{"{TROUBLE}":"{trouble}"{"" if rest == "}" else ","}{rest}'


def _voucher(context: dict[str, Any]) -> Voucher | None:
    """Taken out of the context: who reads it later could go on with it."""
    context.pop(TROUBLE, None)  # our own word
    if TOKEN not in context and USER_HASH not in context:
        return None
    return Voucher(context.pop(TOKEN, None), context.pop(USER_HASH, None))


def _choices(raw: bytes | None) -> dict[str, Any]:
    """Those that are not simply yes. "Segment.io" is the SDK's own word, of how a page sends."""
    if raw is None or not raw.startswith(b"{"):
        return {}
    found = read_object(raw, "integrations")
    found.pop("Segment.io", None)
    return found if any(value is not True for value in found.values()) else {}


def _shorten_ip(context: dict[str, Any]) -> None:
    if "ip" not in context:
        return
    shortened = truncated_ip(str(context.pop("ip")))
    if shortened:
        context["ip"] = shortened


def _preferences(context: dict[str, Any], trusted: bool) -> dict[str, bool]:
    """Segment's consent field; a public source can refuse for a person but not grant."""
    consent = context.get("consent")
    found = consent.get("categoryPreferences") if isinstance(consent, dict) else None
    if not isinstance(found, dict):
        return {}
    return {
        name: value
        for name, value in sorted(found.items())
        if isinstance(value, bool) and (trusted or not value) and _PREFERENCE.fullmatch(name)
    }
