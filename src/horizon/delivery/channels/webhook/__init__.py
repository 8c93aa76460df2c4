"""The webhook channel: one signed POST a message to the campaign's target."""

from __future__ import annotations

from ipaddress import ip_address

from horizon.delivery.channels.webhook.body import load_template
from horizon.delivery.channels.webhook.settings import WebhookSettings
from horizon.delivery.channels.webhook.transport import WebhookChannel
from horizon.delivery.ports import Means
from horizon.errors import ForbiddenTargetError, UsageError
from horizon.outbound import read_target
from horizon.outbound.rules import AllowList
from horizon.section import load_section
from horizon.settings import Settings

__all__ = ["NAME", "SETTINGS", "WebhookChannel", "check_campaign", "open_channel"]

NAME = "webhook"
SETTINGS = WebhookSettings


def open_channel(means: Means) -> WebhookChannel:
    own = load_section(WebhookSettings, means.environ, means.folder)
    return WebhookChannel(own, AllowList.read(means.settings.outbound_allow))


def check_campaign(
    settings: Settings,
    *,
    audience: str,  # noqa: ARG001 - every audience can be told of
    template: str,
    target: str | None,
) -> str:
    """See channels.Folder. The name is not resolved: that is for the moment of sending."""
    digest = load_template(template).digest
    if target is None:
        raise UsageError("A webhook campaign needs --target https://HOST/PATH.")
    try:
        place = read_target(target)
        _check_place(settings, place.scheme, place.host, target)
    except ForbiddenTargetError as exc:
        raise UsageError(str(exc)) from exc
    return digest


def _check_place(settings: Settings, scheme: str, host: str, url: str) -> None:
    """What can be told of a target without asking the name service."""
    try:
        addresses = [ip_address(host)]
    except ValueError:
        if scheme == "https" or settings.outbound_allow:
            return
        addresses = [ip_address("1.1.1.1")]  # wherever it is, it has no TLS
    AllowList.read(settings.outbound_allow).check(read_target(url), addresses)
