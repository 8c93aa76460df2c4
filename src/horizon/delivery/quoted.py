"""Quoted-printable (RFC 2045, 6.7) of a template: its constant parts once, its values per mail.

Encoding 6 KB takes 40 us a mail, more than rendering it; encoding a template's constants when it
is compiled leaves 1 us a value. Each piece ends with a soft line break, so that pieces may
follow each other in any order and no line exceeds 76 characters.
"""

from __future__ import annotations

import binascii
import re
from typing import Final

from markupsafe import escape

_SOFT_BREAK: Final = "=\r\n"
_LONGEST_LINE: Final = 76
# A leading dot is SMTP's, and old mailers put > before a leading From.
_LINE_START: Final = re.compile(r"^(?:\.|From )", re.MULTILINE)
# One line of ASCII without "=", a dot before it or a blank around it.
_AS_IT_IS: Final = re.compile(r"[!-\-/-<>-~](?:[ -<>-~]{0,73}[!-<>-~])?")
_GAP: Final = re.compile(r"(?<!=)\r\n(?:\r\n){2,}")
_ESCAPED_START: Final = {".": "=2E=\n", "From ": "=46=\nrom "}


def encode(text: str) -> str:
    """``text`` encoded, its lines ended by CRLF, and a soft break after a last line without end."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n")
    encoded = binascii.b2a_qp(lines.encode(), istext=True).decode("ascii")
    encoded = _LINE_START.sub(lambda found: _ESCAPED_START[found[0]], encoded)
    last = encoded.rpartition("\n")[2]
    encoded = encoded.replace("\n", "\r\n")
    if not last:
        return encoded
    if len(last) < _LONGEST_LINE:
        return encoded + _SOFT_BREAK
    cut = 3 if last[-3] == "=" else 1
    return encoded[:-cut] + _SOFT_BREAK + encoded[-cut:] + _SOFT_BREAK


class Encoded(str):
    """Text that is encoded, and harmless in HTML, already."""

    __slots__ = ()


def encode_value(value: object) -> str:
    """A variable's value, encoded."""
    text = str(value)
    if _AS_IT_IS.fullmatch(text) and not text.startswith("From "):
        return text + _SOFT_BREAK
    return encode(text)


def encode_html(value: object) -> str:
    """A variable's value, escaped for HTML and encoded."""
    return value if type(value) is Encoded else encode_value(escape(value))


def close_gaps(text: str) -> str:
    """Leaves one blank line of encoded text where there are several."""
    # A line break after "=" is none of the text's.
    if "\r\n\r\n\r\n" in text:
        text = _GAP.sub("\r\n\r\n", text)
    text = text.strip()
    # A text may not end within a line (RFC 2045, 6.7).
    return text + ("\r\n\r\n" if text.endswith("=") else "\r\n")
