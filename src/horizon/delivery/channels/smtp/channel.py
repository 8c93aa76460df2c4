"""The channel "email": what a mail says, and who may count what is done with it."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Final
from uuid import UUID

from horizon import links
from horizon.delivery import quoted
from horizon.delivery.channels.smtp.mime import SmtpComposer
from horizon.delivery.channels.smtp.transport import SmtpTransport
from horizon.delivery.limits import Limit, parse_limits
from horizon.delivery.markup import LINK, OPEN
from horizon.delivery.ports import PERSON_VARIABLES, Claimed, Means, Parcel
from horizon.delivery.quoted import Encoded
from horizon.delivery.templating import MailTemplate, load_template, require_variables
from horizon.errors import TemplateError
from horizon.settings import Settings

LONGEST_TARGET: Final = 2_000  # click_targets takes no more; such a link is not counted
AUDIENCE_VARIABLES: Final[Mapping[str, frozenset[str]]] = {
    "operator": frozenset({"alerts", "count"}),
    "opt_in": frozenset({"purpose_title", "wording", "language"}),
}

# What no mail leaves without: the law of most countries asks for both.
FOOTER: Final = {"unsubscribe_url": "way out", "postal_address": "postal address"}


@dataclass
class EmailChannel:
    """See delivery.ports.Channel. Its templates are shipped ones, or what ``templates`` gives."""

    means: Means
    name: str = "email"
    one_server: bool = True

    def __post_init__(self) -> None:
        self._composer = SmtpComposer(self.means.settings.MAIL_FROM, self.means.settings.SMTP_HOST)
        self._constants = constants(self.means.settings)
        self._clicks = quoted.encode(f"{self._url}/c/")
        self._opens = quoted.encode(f"{self._url}/o/")
        self._targets: dict[str, tuple[str | int, ...]] = {}
        self._lock = threading.Lock()

    @property
    def connections(self) -> int:
        return self.means.settings.SMTP_CONNECTIONS

    @property
    def limits(self) -> Mapping[str, Limit]:
        return parse_limits(self.means.settings.SMTP_DOMAIN_LIMITS)

    @cached_property
    def _url(self) -> str:
        return self.means.settings.tracking_url

    def transport(self) -> SmtpTransport:
        return SmtpTransport(self.means.settings, self._composer.address)

    def template(self, name: str) -> MailTemplate:
        return load_template(name)

    def compose(self, message: Claimed) -> Parcel:
        template = self.template(message.template)
        key = self.means.keys.link
        token = links.sign(key, message.message_id, "unsubscribe")
        unsubscribe_url = f"{self._url}/u/{token}"
        variables = {
            **message.variables, **self._constants, "unsubscribe_url": unsubscribe_url,
            "preferences_url": f"{self._url}/p/{token}",
        }  # fmt: skip
        if "opt_in_id" in message.variables:
            confirm = links.sign(key, UUID(message.variables["opt_in_id"]), "confirm")
            variables["confirm_url"] = f"{self._url}/y/{confirm}"
        tracking = self._tracking(message, template, variables) if message.tracked else None
        mail = template.encode(variables, tracking)
        content = self._composer.compose(
            message.message_id, message.campaign, message.to_addr, mail, unsubscribe_url
        )
        return Parcel(message.message_id, message.to_addr, content, template.digest)

    def _tracking(
        self, message: Claimed, template: MailTemplate, variables: Mapping[str, object]
    ) -> dict[str, str]:
        # Tokens and numbers are the same encoded, and short enough for a line of their own.
        token = links.sign(self.means.keys.link, message.message_id, "track")
        tracking: dict[str, str] = {OPEN: Encoded(f"{self._opens}{token}=\r\n")}
        for number, target in enumerate(self._targets_of(template)):
            tracking[f"{LINK}{number}"] = (
                Encoded(f"{self._clicks}{token}/{target}=\r\n") if isinstance(target, int)
                else str(variables.get(target, target))
            )  # fmt: skip
        return tracking

    def _targets_of(self, template: MailTemplate) -> tuple[str | int, ...]:
        """For each link its target's id; the variable's name where everybody has another link."""
        found = self._targets.get(template.digest)
        if found is None:
            with self._lock:
                same = {link: self._constants.get(link, link) for link in template.links}
                urls = {
                    link: url for link, url in same.items()
                    if "://" in url and len(url) <= LONGEST_TARGET
                }  # fmt: skip
                ids = self.means.register_targets(urls.values())
                found = tuple(ids[urls[link]] if link in urls else link for link in template.links)
                self._targets[template.digest] = found
        return found


def constants(settings: Settings) -> dict[str, str]:
    """What every template may say of the sender."""
    return {
        "brand": settings.BRAND, "postal_address": settings.POSTAL_ADDRESS,
        "shop_url": settings.SHOP_URL,
    }  # fmt: skip


def known_variables(settings: Settings, audience: str) -> frozenset[str]:
    """What a campaign's template may use."""
    return frozenset(
        {*AUDIENCE_VARIABLES.get(audience, PERSON_VARIABLES), *constants(settings),
         "unsubscribe_url", "preferences_url",
         *({"confirm_url"} if audience == "opt_in" else ())}
    )  # fmt: skip


def check_template(template: MailTemplate, settings: Settings, audience: str) -> None:
    """Raises TemplateError where a campaign cannot fill it, or where its footer lacks something."""
    require_variables(template, known_variables(settings, audience))
    for name, lack in FOOTER.items():
        # Who is asked whether to be written to is on no list yet.
        if name not in template.variables and (name, audience) != ("unsubscribe_url", "opt_in"):
            raise TemplateError(
                f"Template '{template.name}' has no {lack}: put {{{{ {name} }}}} into its footer."
            )
