"""Every route of the console. Each view says who may open it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from allauth.account import views as account
from allauth.mfa.base import views as factors
from allauth.mfa.recovery_codes import views as codes
from allauth.mfa.totp import views as totp
from allauth.mfa.webauthn import views as passkeys
from allauth.usersessions import views as sign_ins
from django.urls import URLPattern, path
from django.views.i18n import set_language

from horizon.console.access import Anybody, needs
from horizon.console.installation import urls as installation
from horizon.console.views import audit, team
from horizon.console.views.home import home
from horizon.console.views.start import start

View = Callable[..., Any]

handler400 = "horizon.console.views.refusals.bad"
handler404 = "horizon.console.views.refusals.not_here"
handler500 = "horizon.console.views.refusals.failed"

_public = needs(Anybody.PUBLIC)
_own = needs(Anybody.SIGNED_IN)


def _account(route: str, view: View, name: str) -> URLPattern:
    """What somebody does to their own account."""
    return path(f"account/{route}", _own(view), name=name)


urlpatterns = [
    path("", home, name="home"),
    path("settings/people", team.team, name="team"),
    path("settings/people/invite", team.invite, name="invite"),
    path("settings/people/<int:pk>", team.member, name="member"),
    path("settings/people/<int:pk>/roles", team.member_roles, name="member_roles"),
    path("settings/people/<int:pk>/active", team.member_active, name="member_active"),
    path("settings/people/<int:pk>/link", team.member_link, name="member_link"),
    *installation.urlpatterns,
    path("audit", audit.audit, name="audit"),
    path("audit/export", audit.audit_export, name="audit_export"),
    path("start/<str:token>", start, name="start"),
    path("language", _public(set_language), name="set_language"),
    path("sign-in", _public(account.login), name="account_login"),
    path("sign-in/inactive", _public(account.account_inactive), name="account_inactive"),
    path("sign-in/factor", _public(factors.authenticate), name="mfa_authenticate"),
    path("sign-in/passkey", _public(passkeys.login_webauthn), name="mfa_login_webauthn"),
    path("sign-out", _public(account.logout), name="account_logout"),
    _account("again", account.reauthenticate, "account_reauthenticate"),
    _account("again/factor", factors.reauthenticate, "mfa_reauthenticate"),
    _account("again/passkey", passkeys.reauthenticate_webauthn, "mfa_reauthenticate_webauthn"),
    _account("password", account.password_change, "account_change_password"),
    _account("sign-ins", sign_ins.list_usersessions, "usersessions_list"),
    _account("factors", factors.index, "mfa_index"),
    _account("factors/app", totp.activate_totp, "mfa_activate_totp"),
    _account("factors/app/off", totp.deactivate_totp, "mfa_deactivate_totp"),
    _account("factors/codes", codes.view_recovery_codes, "mfa_view_recovery_codes"),
    _account("factors/codes/new", codes.generate_recovery_codes, "mfa_generate_recovery_codes"),
    _account("factors/codes/file", codes.download_recovery_codes, "mfa_download_recovery_codes"),
    _account("factors/passkeys", passkeys.list_webauthn, "mfa_list_webauthn"),
    _account("factors/passkeys/new", passkeys.add_webauthn, "mfa_add_webauthn"),
    _account("factors/passkeys/<int:pk>/off", passkeys.remove_webauthn, "mfa_remove_webauthn"),
    _account("factors/passkeys/<int:pk>", passkeys.edit_webauthn, "mfa_edit_webauthn"),
]
