"""Settings, and the tokens of the profile API."""

from __future__ import annotations

from datetime import timedelta

from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from horizon import clock
from horizon.api import tokens as read_tokens
from horizon.api.scopes import Scope
from horizon.clock import utc_text
from horizon.console.access import needs
from horizon.console.installation.forms import NewToken
from horizon.console.installation.reading import shown_settings
from horizon.console.rows import tx
from horizon.console.rules import Permission
from horizon.console.trail import record
from horizon.errors import UsageError


@needs(Permission.SETTINGS_READ)
def settings_shown(request: HttpRequest) -> HttpResponse:
    return render(
        request, "console/installation/settings.html", {"values": shown_settings(settings.HORIZON)}
    )


@needs(Permission.TOKENS_READ)
def tokens(request: HttpRequest) -> HttpResponse:
    return _list(request, NewToken())


def _list(request: HttpRequest, form: NewToken, token: str = "") -> HttpResponse:
    now = clock.now()
    rows = [
        {**row, "in_use": row["revoked_at"] is None, "over": _over(row, now)}
        for row in read_tokens.tokens(tx())
    ]
    return render(
        request, "console/installation/tokens.html", {"rows": rows, "form": form, "token": token}
    )


def _over(row: dict[str, object], now: object) -> bool:
    ends = row["expires_at"]
    return ends is not None and ends <= now  # type: ignore[operator]


@needs(Permission.TOKENS_CHANGE, again=True)
@require_POST
def token_add(request: HttpRequest) -> HttpResponse:
    """Shown in this one answer, and never again."""
    form = NewToken(request.POST)
    if not form.is_valid():
        return _list(request, form)
    name, now = form.cleaned_data["name"], clock.now()
    ends = now + timedelta(days=form.cleaned_data["days"])
    scopes = [scope for scope in Scope if scope in form.cleaned_data["scopes"]]
    try:
        token = read_tokens.add_token(tx(), name, scopes, now=now, expires_at=ends)
    except UsageError:
        form.add_error("name", _("There is a token of this name already: revoke it first."))
        return _list(request, form)
    record(request, "token:added", name, scopes=scopes, expires_at=utc_text(ends))
    return _list(request, NewToken(), token)


@needs(Permission.TOKENS_CHANGE)
@require_POST
def token_revoke(request: HttpRequest) -> HttpResponse:
    name = request.POST.get("name", "").replace("\0", "")[:63]
    try:
        read_tokens.revoke_token(tx(), name, now=clock.now())
    except UsageError:
        messages.error(request, _("No token of this name is in use."))
    else:
        record(request, "token:revoked", name)
        messages.success(request, _("The token is revoked: within three seconds it opens nothing."))
    return redirect("tokens")
