"""The addresses of settings and tokens."""

from __future__ import annotations

from django.urls import path

from horizon.console.installation import views

urlpatterns = [
    path("settings", views.settings_shown, name="settings"),
    path("settings/tokens", views.tokens, name="tokens"),
    path("settings/tokens/add", views.token_add, name="token_add"),
    path("settings/tokens/revoke", views.token_revoke, name="token_revoke"),
]
