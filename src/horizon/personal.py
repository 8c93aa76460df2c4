"""What an e-mail address and a phone number look like, wherever they turn up, and their masks."""

from __future__ import annotations

import re
from typing import Final

# What an address and a phone number look like, also where a form or a link has encoded them. A
# number without + or brackets may as well be a customer's. PostgreSQL reads it as Python does.
AT: Final = "(?:@|\uff20|\ufe6b|%(?:25)*40|&#0*64;|&#x0*40;|&commat;)"
PHONE: Final = r"\A *(?:tel:)? *(?:[+]|%(?:25)*2b|[(])[0-9 ().%/-]{6,}\Z"
SHORTEST_PHONE: Final = 6  # of what is shorter, two digits would be too much

_ADDRESS = re.compile(r"(.).*@(.)[^@]*", re.DOTALL)
_ENDING = re.compile(r"\.[^.@]+\Z")
_PERSONAL = re.compile(f"{AT}|{PHONE}", re.IGNORECASE)


def looks_personal(text: str) -> bool:
    """Whether it looks like an address or a phone number."""
    return _PERSONAL.search(text) is not None


def masked(value: str | None, kind: str = "") -> str | None:
    """``a***@e***.com``, as the preference page has it, ``***67`` of a phone number; what is
    neither stays as it is. ``kind``: of identifier, where it is one."""
    if value is None:
        return None
    parts = _ADDRESS.fullmatch(value)
    if parts is not None:
        ending = _ENDING.search(value)
        return f"{parts[1]}***@{parts[2]}***{ending[0] if ending else ''}"
    if "phone" in kind.lower() or looks_personal(value):
        digits = value[-2:]
        return f"***{digits if digits.isdigit() and len(value) > SHORTEST_PHONE else ''}"
    return value
