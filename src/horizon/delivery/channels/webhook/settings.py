"""The webhook channel's own settings."""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from typing import Annotated, Any, ClassVar

from msgspec import Meta

from horizon.section import Section
from horizon.settings import Seconds

WANTED = (
    "whsec_ and 24 to 64 random bytes in base64, as `openssl rand -base64 32` makes them; for one "
    "host HOST=whsec_..., and several apart by blanks"
)
_SECRET = re.compile(r"(?:([a-z0-9._-]+|\[[0-9a-f:.]+\])=)?whsec_([A-Za-z0-9+/]+={0,2})")


class WebhookSettings(Section, frozen=True, forbid_unknown_fields=True, kw_only=True):
    prefix: ClassVar[str] = "WEBHOOK_"
    secrets: ClassVar[tuple[str, ...]] = ("WEBHOOK_SECRET",)

    WEBHOOK_SECRET: Annotated[str, Meta(description=WANTED)] = ""
    WEBHOOK_TIMEOUT_S: Seconds = 20  # the specification recommends 15 to 30
    WEBHOOK_CONNECTIONS: Annotated[
        int, Meta(ge=1, le=50, description="a whole number from 1 to 50")
    ] = 4
    WEBHOOK_RETRY_UNKNOWN: Annotated[bool, Meta(description="true or false")] = False

    @classmethod
    def wanted_instead(cls, name: str, value: Any) -> str | None:
        if name == "WEBHOOK_SECRET" and any(_read(item) is None for item in value.split()):
            return WANTED
        return None

    def secrets_of(self, host: str) -> Sequence[bytes]:
        """What a request to this host is signed with: its own secrets, else those of no host.

        Several mean a rotation: the receiver takes whichever it knows.
        """
        found = [read for item in self.WEBHOOK_SECRET.split() if (read := _read(item))]
        own = [key for of, key in found if of == host]
        return own or [key for of, key in found if of is None]


def _read(item: str) -> tuple[str | None, bytes] | None:
    """The host, if any, and the secret; None where it is malformed."""
    found = _SECRET.fullmatch(item)
    if found is None:
        return None
    try:
        key = base64.b64decode(found[2], validate=True)
    except ValueError:
        return None
    host = found[1].strip("[]") if found[1] else None
    return (host, key) if 24 <= len(key) <= 64 else None
