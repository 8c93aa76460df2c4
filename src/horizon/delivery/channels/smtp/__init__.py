"""The mail channel: any SMTP server, Mailgun's among them."""

from horizon.delivery.channels.smtp.mime import SmtpComposer
from horizon.delivery.channels.smtp.transport import SmtpTransport

__all__ = ["SmtpComposer", "SmtpTransport"]
