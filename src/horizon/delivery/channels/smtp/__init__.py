"""The channel "email": any SMTP server, Mailgun's among them."""

from horizon.delivery.channels.smtp.channel import EmailChannel
from horizon.delivery.ports import Channel, Means

NAME = "email"


def open_channel(means: Means) -> Channel:
    """Raises SettingsError."""
    return EmailChannel(means)
