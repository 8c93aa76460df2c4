"""The screens that the menu leads to: each for those who may open it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from horizon.console.access import Anybody, Decision, may
from horizon.console.rules import Permission


@dataclass(frozen=True)
class Screen:
    route: str
    title: Any  # translated where it is shown
    decision: Decision
    settings: bool = False  # of the second part of the menu


SCREENS = (
    Screen("home", _("Home"), Permission.PIPELINE_READ),
    Screen("team", _("People and roles"), Permission.PEOPLE_READ, settings=True),
    Screen("tokens", _("API tokens"), Permission.TOKENS_READ, settings=True),
    Screen("settings", _("Settings"), Permission.SETTINGS_READ, settings=True),
    Screen("audit", _("Audit"), Permission.AUDIT_READ, settings=True),
)


def navigation(request: HttpRequest) -> dict[str, Any]:
    """A context processor: the base layout draws it."""
    if not getattr(request, "user", None) or not request.user.is_authenticated:
        return {"screens": ()}
    found = request.resolver_match
    shown = [
        one for one in SCREENS if isinstance(one.decision, Anybody) or may(request, one.decision)
    ]
    here = found.url_name if found else ""
    parts = [[one for one in shown if one.settings is settings] for settings in (False, True)]
    return {"screens": [part for part in parts if part], "here": here}
