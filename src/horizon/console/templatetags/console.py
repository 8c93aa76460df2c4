"""What the console's templates call."""

from __future__ import annotations

from django import template

from horizon.console.forms import ROLES

register = template.Library()
_NAMES = {role.value: name for role, name in ROLES}


@register.simple_tag
def role_name(role: str) -> str:
    return str(_NAMES.get(role, role))
