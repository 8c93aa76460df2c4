"""The channel "email": any SMTP server, Mailgun's among them."""

from __future__ import annotations

from horizon.delivery import templating
from horizon.delivery.channels.smtp.channel import EmailChannel, check_template
from horizon.delivery.ports import Channel, Means
from horizon.errors import UsageError
from horizon.settings import Settings

NAME = "email"
SETTINGS = None  # SMTP_* stand among the core's


def open_channel(means: Means) -> Channel:
    return EmailChannel(means)


def check_campaign(settings: Settings, *, audience: str, template: str, target: str | None) -> str:
    """See channels.Folder."""
    if target is not None:
        raise UsageError("A campaign by mail goes to its people's addresses: leave --target out.")
    found = templating.load_template(template)
    check_template(found, settings, audience)
    return found.digest
