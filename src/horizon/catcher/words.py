"""How a page says a time, a size and who it is from, and the first words of a mail."""

from __future__ import annotations

import re
from datetime import datetime
from email.message import EmailMessage

from horizon.catcher import message

_PREVIEW_CHARACTERS = 160
# What a link or a ruler in a text part looks like; a preview is better without.
_NOISE = re.compile(r"https?://\S+|[-=_*~]{3,}|\s+")


def day_of(instant: datetime) -> str:
    """In the reader's own time: the catcher runs on the reader's machine."""
    local = instant.astimezone()
    return f"{local:%A} {local.day} {local:%B %Y}"


def time_of(instant: datetime) -> str:
    return f"{instant.astimezone():%H:%M:%S}"


def size_text(size_bytes: int) -> str:
    if size_bytes < 1000:
        return f"{size_bytes} bytes"
    if size_bytes < 1_000_000:
        return f"{size_bytes / 1000:.1f} kB"
    return f"{size_bytes / 1_000_000:.1f} MB"


def initial(address: str) -> str:
    """The letter that stands for a person in a list."""
    return next((letter.upper() for letter in address if letter.isalnum()), "?")


def preview(mail: EmailMessage) -> str:
    """The first words of the text part; empty where there is none."""
    text = message.text_body(mail) or ""
    return " ".join(_NOISE.sub(" ", text[:2000]).split())[:_PREVIEW_CHARACTERS]
