"""Arithmetic and words of an explanation."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

from horizon.observe.explain.story import Answer

DAY_S = 86_400

_CODE = re.compile(r"(\d{3})[ -](?:(\d\.\d{1,3}\.\d{1,3})[ -])?")
_QUEUE_ID = re.compile(
    r"\b(?:queued (?:mail )?|kept )as <?([\w.-]+)|\bid=([\w.-]+)|\bfor delivery \(?([\w-]{6,})",
    re.IGNORECASE,
)

# By status and reason. Where one is missing here, its own name is told.
_OUTCOMES = {
    ("skipped", "no_address"): "no address is known",
    ("skipped", "invalid_address"): "the address cannot be written to",
    ("skipped", "restored"): "a backup was restored, and what was sent since is not known",
    ("skipped", "no_consent"): "nobody ever said yes for this purpose and channel",
    ("skipped", "refused"): "the person or the owner of the address said no",
    ("skipped", "unsubscribed"): "the address is unsubscribed",
    ("skipped", "hard_bounce"): "an earlier message to the address bounced for good",
    ("skipped", "complaint"): "the owner of the address complained about an earlier message",
    ("skipped", "manual"): "the operator took the address off",
    ("skipped", "domain_manual"): "the operator took the address's domain off",
    ("skipped", "domain_null_mx"): "the address's domain says that it takes no mail",
    ("skipped", "paused"): "the owner of the address paused messages",
    ("skipped", "less_often"): "the owner of the address wants to hear less often",
    ("skipped", "same_address"): "another profile with the same address gets the message",
    ("skipped", "already_reached"): "the person or the address was reached on this occasion before",
    ("skipped", "consent_stands"): "the consent that it would ask for is there",
    ("skipped", "asked_today"): "the address was asked within a day",
    ("skipped", "asked_long_ago"): "the wish was more than two days old",
    ("failed", "refused"): "the provider refused it",
    ("failed", "blocked"): "the provider blocked it",
    ("failed", "template"): "the template could not be filled in",
    ("failed", "too_many_attempts"): "the provider put it off too often",
    ("bounced", "address_invalid"): "the provider does not know the address",
    ("cancelled", "campaign_stopped"): "the campaign was stopped before it left",
    ("cancelled", "server_away"): "the provider was away",
    ("unknown", "sender_stopped"): "the sender stopped before the answer came",
    ("unknown", "connection_broke"): "the connection broke before the answer came",
    ("unknown", "restored"): "a backup was restored, and it may have been sent since",
}  # fmt: skip

_CHOSEN = {
    "alerts": "the person has an open alert",
    "engaged": "the person is engaged: of low tier and active within the window",
    "opt_in": "somebody asked for messages to this address, and its owner is asked to confirm",
    "operator": "the operator asked for it",
}


def ratio(silent_s: float, window_days: float) -> float:
    """Silence in windows, which the score is, but for its bounds of 0 and 1."""
    return max(0.0, silent_s) / (window_days * DAY_S)


def tier(score: float, high: float, medium: float) -> str:
    if score >= high:
        return "high"
    return "medium" if score >= medium else "low"


def before(instant: datetime, seconds: float) -> datetime:
    return instant - timedelta(seconds=seconds)


def why(audience: str, status: str, reason: str | None) -> str:
    """One sentence: why this person, and what stood against it."""
    chosen = _CHOSEN.get(audience, f"the campaign is for {audience}")
    if status in ("planned", "claimed", "sending", "sent", "delivered") and reason is None:
        return f"Chosen because {chosen}; nothing stood against it."
    told = _OUTCOMES.get((status, reason or ""), (reason or "").replace("_", " "))
    if not told:
        return f"Chosen because {chosen}; it is {status}."
    return f"Chosen because {chosen}; {status}: {told}."


def read_answer(text: str | None) -> Answer | None:
    """The code, status and queue id that a server's answer names, where it does."""
    if not text:
        return None
    code = _CODE.match(text)
    queued = _QUEUE_ID.search(text)
    return Answer(
        text=text,
        code=int(code[1]) if code else None,
        status=code[2] if code else None,
        queue_id=next((found for found in queued.groups() if found), None) if queued else None,
    )
