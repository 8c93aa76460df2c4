"""What a mailbox provider will hold against these settings, told before the first mail leaves."""

from __future__ import annotations

from horizon.settings import Settings

EXAMPLES = ("MAIL_FROM", "BRAND", "POSTAL_ADDRESS", "SHOP_URL")


def advice(settings: Settings) -> list[str]:
    """A sentence each, with what to set; none where mails stay on this machine."""
    if not settings.mails_leave:
        return []
    return [*_links(settings), *_examples(settings)]


def _links(settings: Settings) -> list[str]:
    if settings.tracking_url.startswith("https://"):
        return []
    told = (
        f"the links in mails begin with {settings.tracking_url}, and one-click unsubscribe (RFC "
        "8058) works by https alone: set TRACKING_URL or PUBLIC_URL to an https:// address."
    )
    return [told]


def _examples(settings: Settings) -> list[str]:
    shipped = Settings()
    left = [name for name in EXAMPLES if getattr(settings, name) == getattr(shipped, name)]
    if not settings.POSTAL_ADDRESS.strip():
        left.append("POSTAL_ADDRESS")
    if not left:
        return []
    return [f"mails still speak for the example shop: set {', '.join(left)} to your own."]
