"""What allauth asks the house."""

from __future__ import annotations

from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from allauth.mfa.adapter import DefaultMFAAdapter
from django.conf import settings
from django.http import HttpRequest

from horizon import keys
from horizon.sealed import seal, unseal


class Accounts(DefaultAccountAdapter):
    def is_open_for_signup(self, request: HttpRequest) -> bool:  # noqa: ARG002
        """Somebody who is here already invites."""
        return False

    def send_mail(self, template_prefix: str, email: str, context: dict[str, Any]) -> None:
        """The console writes no mails of its own."""


class Factors(DefaultMFAAdapter):
    """The secret of an authenticator app opens an account: the database alone does not have it."""

    def encrypt(self, text: str) -> str:
        return seal(_key(), "console:factor", "", text).hex()

    def decrypt(self, encrypted_text: str) -> str:
        text = unseal(_key(), "console:factor", "", bytes.fromhex(encrypted_text))
        if text is None:
            raise ValueError("CONSOLE_KEY is not the one that this second factor was made with")
        return text


def _key() -> bytes:
    return keys.read(settings.HORIZON.home, "CONSOLE_KEY")
