"""The one way out by HTTP: webhooks and providers are asked through here and nowhere else.

What is asked for is an address that somebody typed. So a name is resolved once, all its addresses
are checked, and the connection goes to a checked one; no redirect is followed, no proxy and no
cookie is taken from anywhere, and size and time have a limit.
"""

from horizon.outbound.client import Answer, HttpOutbound, NullOutbound, Outbound
from horizon.outbound.rules import read_target

__all__ = ["Answer", "HttpOutbound", "NullOutbound", "Outbound", "read_target"]
