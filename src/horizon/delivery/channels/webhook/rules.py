"""What a receiver's answer means for a message. Pure."""

from __future__ import annotations

from datetime import datetime
from http import HTTPStatus

from horizon.errors import TransportError
from horizon.outbound.answers import read_patience

# Said of this moment, not of this message (RFC 9110 15.5.9, RFC 8470 5.2, RFC 6585 4).
_OF_THE_MOMENT = frozenset({408, 425, 429})


def read_answer(
    status: int, host: str, retry_after: str | None, now: datetime
) -> str | TransportError:
    """The receipt, or what is wrong. Nothing of it is the receiver's own words, which may repeat
    what they were told of a person."""
    said = f"{status} {_phrase(status)}".rstrip()
    if 200 <= status < 300:
        return said
    if 300 <= status < 400:
        return TransportError(
            f"{host} answers {said}, and no redirect is followed: the campaign's target has to be "
            "the address where it leads.",
            away=True,
        )
    permanent = 400 <= status < 500 and status not in _OF_THE_MOMENT
    return TransportError(
        said,
        permanent=permanent,
        retry_after_s=None if permanent else read_patience(retry_after, now),
    )


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""
