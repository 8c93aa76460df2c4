"""What stands in a mail: envelope, headers, the text, the HTML, the attached files."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from email.message import EmailMessage, MIMEPart
from email.parser import HeaderParser, Parser
from email.policy import default as default_policy

# The last header of ours; what follows is the sender's, even if it looks like one of ours.
_ENVELOPE_ENDS = b"X-Horizon-Received: "
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_HEAD_TAG = re.compile(r"<head(\s[^>]*)?>", re.IGNORECASE)
_CID = re.compile(r"cid:([^\"'\s)>]+)", re.IGNORECASE)


def envelope_head(mail_from: str, rcpt_to: Sequence[str], received: datetime) -> bytes:
    """The headers put in front of a kept mail, one X-Horizon-Rcpt for each recipient."""
    lines = [
        f"X-Horizon-From: {_one_line(mail_from)}",
        *(f"X-Horizon-Rcpt: {_one_line(address)}" for address in rcpt_to),
        f"{_ENVELOPE_ENDS.decode()}{received.isoformat()}",
    ]
    return "".join(f"{line}\r\n" for line in lines).encode("utf-8", "surrogateescape")


def _one_line(address: str) -> str:
    # aiosmtpd lets a bare CR through; here it would begin a header of the sender's choice.
    return _CONTROL.sub("?", address)


class Head:
    """The headers of a kept mail. A header that cannot be decoded is given as it stands."""

    def __init__(self, mail_from: str, rcpt_to: tuple[str, ...], parsed: EmailMessage) -> None:
        self.mail_from = mail_from
        self.rcpt_to = rcpt_to
        self._parsed = parsed

    @classmethod
    def of(cls, raw: bytes) -> Head | None:
        """None where the file is not one that the store wrote."""
        envelope, rest = split_envelope(raw)
        if not envelope:
            return None
        text = _split_body(rest)[0].decode("utf-8", "replace")
        lines = envelope.decode("utf-8", "replace").split("\r\n")
        values = [line.partition(": ")[::2] for line in lines]
        return cls(
            mail_from=next((value for name, value in values if name == "X-Horizon-From"), ""),
            rcpt_to=tuple(value for name, value in values if name == "X-Horizon-Rcpt"),
            parsed=HeaderParser(EmailMessage, policy=default_policy).parsestr(text),
        )

    def __getitem__(self, name: str) -> str:
        """The first header of that name, decoded; empty where there is none."""
        for found, value in self.items():
            if found.lower() == name.lower():
                return value
        return ""

    def items(self) -> Iterator[tuple[str, str]]:
        for name, value in self._parsed.raw_items():
            yield name, _decoded(name, str(value))


def _decoded(name: str, value: str) -> str:
    try:
        return str(default_policy.header_fetch_parse(name, value)).strip()
    except Exception:  # noqa: BLE001 - the parser fails in many ways on what strangers send
        return re.sub(r"\r?\n", "", value).strip()


def split_envelope(raw: bytes) -> tuple[bytes, bytes]:
    """The added headers and the mail as it was received."""
    begin = raw.find(_ENVELOPE_ENDS)
    end = raw.find(b"\r\n", begin)
    if begin < 0 or end < 0 or not raw.startswith(b"X-Horizon-From: "):
        return b"", raw
    return raw[: end + 2], raw[end + 2 :]


def _split_body(mail: bytes) -> tuple[bytes, bytes]:
    blank = re.search(rb"\r?\n\r?\n", mail)
    return (mail[: blank.end()], mail[blank.end() :]) if blank else (mail, b"")


def parse(raw: bytes) -> EmailMessage:
    """Parse a mail; raw UTF-8 in its headers (RFC 6532) comes out as what it means."""
    head, body = _split_body(raw)
    text = head.decode("utf-8", "surrogateescape") + body.decode("ascii", "surrogateescape")
    return Parser(EmailMessage, policy=default_policy).parsestr(text)


def text_body(mail: EmailMessage) -> str | None:
    part = mail.get_body(("plain",))
    return None if part is None else _content(part)


def has_html(mail: EmailMessage) -> bool:
    return mail.get_body(("html",)) is not None


def unsubscribe_link(head: Head) -> str | None:
    """The web address in List-Unsubscribe (RFC 2369), never another kind of address."""
    match = re.search(r"<\s*(https?://[^>\s]+)\s*>", head["List-Unsubscribe"])
    return match.group(1) if match else None


def html_body(mail: EmailMessage) -> str | None:
    """The HTML part with its own pictures put in and its links opening in a new tab."""
    part = mail.get_body(("html",))
    if part is None:
        return None
    pictures = {
        str(piece["Content-ID"]).strip("<> "): piece
        for piece in mail.walk()
        if piece["Content-ID"] and piece.get_content_maintype() == "image"
    }
    html = _CID.sub(lambda match: _data_url(match, pictures), _content(part))
    # The frame may not leave its page; a link to try must open beside it.
    base = '<base target="_blank">'
    with_base, found = _HEAD_TAG.subn(lambda match: match.group() + base, html, count=1)
    return with_base if found else html + base


def _data_url(match: re.Match[str], pictures: dict[str, EmailMessage]) -> str:
    part = pictures.get(match.group(1))
    if part is None:
        return match.group()
    encoded = base64.b64encode(content_bytes(part)).decode()
    return f"data:{part.get_content_type()};base64,{encoded}"


def _content(part: MIMEPart) -> str:
    try:
        return str(part.get_content())
    except (LookupError, ValueError):  # a character set that does not exist
        return content_bytes(part).decode("utf-8", "replace")


def content_bytes(part: MIMEPart) -> bytes:
    payload = part.get_payload(decode=True)
    return payload if isinstance(payload, bytes) else part.as_bytes()


@dataclass(frozen=True)
class Attachment:
    number: int  # its place in EmailMessage.walk()
    name: str
    content_type: str
    part: EmailMessage


def attachments(mail: EmailMessage) -> Sequence[Attachment]:
    return [
        Attachment(number, part.get_filename("") or f"part-{number}", part.get_content_type(), part)
        for number, part in enumerate(mail.walk())
        if part.get_content_disposition() == "attachment" or part.get_filename()
    ]
