"""What allauth reports of sign-ins and second factors, written to the audit."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest


def connect() -> None:
    from allauth.account import signals as account
    from allauth.mfa import signals as factors
    from django.contrib.auth.signals import user_login_failed

    account.user_logged_in.connect(_signed_in, dispatch_uid="audit")
    account.user_logged_out.connect(_signed_out, dispatch_uid="audit")
    account.password_changed.connect(_password_changed, dispatch_uid="audit")
    user_login_failed.connect(_refused, dispatch_uid="audit")
    factors.authenticator_added.connect(_factor_added, dispatch_uid="audit")
    factors.authenticator_removed.connect(_factor_removed, dispatch_uid="audit")
    factors.authenticator_reset.connect(_codes_made, dispatch_uid="audit")


def _record(request: HttpRequest | None, action: str, user: Any, **more: Any) -> None:
    from horizon.console.trail import record

    if request is not None:
        record(request, action, f"person {user.pk}", who=user.email, **more)


def _signed_in(request: HttpRequest, user: Any, **_: Any) -> None:
    _record(request, "sign-in:begun", user, browser=request.META.get("HTTP_USER_AGENT", "")[:200])


def _signed_out(request: HttpRequest, user: Any, **_: Any) -> None:
    if user is not None and user.is_authenticated:
        _record(request, "sign-in:ended", user)


def _password_changed(request: HttpRequest, user: Any, **_: Any) -> None:
    _record(request, "person:password:changed", user)


def _factor_added(request: HttpRequest, user: Any, authenticator: Any, **_: Any) -> None:
    _record(request, "person:factor:added", user, factor=str(authenticator.type))


def _factor_removed(request: HttpRequest, user: Any, authenticator: Any, **_: Any) -> None:
    _record(request, "person:factor:removed", user, factor=str(authenticator.type))


def _codes_made(request: HttpRequest, user: Any, **_: Any) -> None:
    _record(request, "person:codes:made", user)


def _refused(request: HttpRequest | None, credentials: Any, **_: Any) -> None:
    """The address as it was typed: who looks for a guesser needs it."""
    from horizon.console.trail import record

    if request is not None:
        typed = str(credentials.get("email") or credentials.get("username") or "")[:254]
        record(request, "sign-in:refused", "sign-in", who="nobody", email=typed)
