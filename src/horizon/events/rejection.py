"""Events that are refused: one by one, with a reason that its sender and its operator can read."""

from __future__ import annotations

import ipaddress
import re
from datetime import datetime

import msgspec

from horizon.events.ids import copy_key

BODY_BYTES = 512_000  # no request has more
CUT_BYTES = 32_768  # of a longer line of a file: it cannot be read again, but looked at

_KEY = re.compile(r'("writeKey"\s*:\s*)"(?:[^"\\]|\\.)*"?')
_VOUCHER = re.compile(r'("(?:identityToken|userHash)"\s*:\s*)"(?:[^"\\]|\\.)*"?')
_ADDRESS = re.compile(r'("ip"\s*:\s*)"((?:[^"\\]|\\.)*)"?')
_parts = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


class Rejected(Exception):  # noqa: N818 - it is an outcome of one event, not a failure of ours
    """One event is refused; ``message`` is a sentence that says what to mend."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class RejectedEvent(msgspec.Struct, frozen=True):
    """A refused event as it is kept; ``position``: in its request, or the line in its file."""

    source_id: int
    received_at: datetime
    position: int
    code: str
    message: str
    body: str
    cut: bool = False
    call: str | None = None  # its type where the address named it
    sent_at: datetime | None = None  # these two are its batch's
    context: str | None = None
    key: bytes | None = None  # what it has in common with its copies; none where nobody can say


def refused(
    source_id: int,
    received_at: datetime,
    position: int,
    reason: Rejected,
    body: bytes,
    *,
    key: str = "",
    call: str | None = None,
    sent_at: datetime | None = None,
    context: bytes | None = None,
) -> RejectedEvent:
    """With all that ``read_message`` was given, so that it can be read again."""
    content = _same_content(body)
    same = None if content is None else copy_key(
        source_id, received_at, reason.code.encode(), (call or "").encode(), content
    )  # fmt: skip
    if reason.code == "erased":  # nothing of such a person is kept but that something came
        body, context = b"", None
    return RejectedEvent(
        source_id, received_at, position, reason.code, reason.message, storable_body(body, key),
        len(body) > BODY_BYTES, call, sent_at, storable_body(context, key) if context else None,
        same,
    )  # fmt: skip


def _same_content(body: bytes) -> bytes | None:
    """What its copies have, too: all but the time of sending. As with events, only what has a
    messageId can be told from another one of the same content."""
    if b'"messageId"' not in body:
        return None
    try:
        parts = _parts(body)
    except (ValueError, RecursionError):  # malformed, or a name that is not UTF-8
        return body
    parts.pop("sentAt", None)
    return b"".join(name.encode() + b"\0" + value for name, value in sorted(parts.items()))


def storable_body(body: bytes, key: str = "") -> str:
    """A refused event's text, whole but for a huge line: no keys and no
    tokens, client addresses shortened."""
    kept = body if len(body) <= BODY_BYTES else body[:CUT_BYTES]
    text = kept.decode(errors="replace").replace("\0", "\ufffd")
    if key:
        text = text.replace(key, "[removed]")
    text = _VOUCHER.sub(r'\1"[removed]"', _KEY.sub(r'\1"[removed]"', text))
    return _ADDRESS.sub(lambda found: f'{found[1]}"{truncated_ip(found[2]) or ""}"', text)


def truncated_ip(text: str) -> str | None:
    """The address's network, /24 or /48; None where ``text`` is no address."""
    try:
        address = ipaddress.ip_address(text.strip().split("%")[0])
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is None:
            return str(ipaddress.ip_network((address, 48), strict=False).network_address)
        address = address.ipv4_mapped
    return str(ipaddress.ip_network((address, 24), strict=False).network_address)
