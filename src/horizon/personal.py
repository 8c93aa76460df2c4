"""What an e-mail address and a phone number look like, wherever they turn up."""

from __future__ import annotations

import re
from typing import Final

# What an address and a phone number look like, also where a form or a link has encoded them. A
# number without + or brackets may as well be a customer's. PostgreSQL reads it as Python does.
AT: Final = "(?:@|\uff20|\ufe6b|%(?:25)*40|&#0*64;|&#x0*40;|&commat;)"
PHONE: Final = r"\A *(?:tel:)? *(?:[+]|%(?:25)*2b|[(])[0-9 ().%/-]{6,}\Z"
_PERSONAL = re.compile(f"{AT}|{PHONE}", re.IGNORECASE)


def looks_personal(text: str) -> bool:
    """Whether it looks like an address or a phone number."""
    return _PERSONAL.search(text) is not None
