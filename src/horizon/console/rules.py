"""Who may do what in the console: one table. docs/security.md shows it, printed by a test."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from types import MappingProxyType


class Role(StrEnum):
    OWNER = "owner"
    ADMIN = "admin"
    MARKETER = "marketer"
    ANALYST = "analyst"
    ENGINEER = "engineer"
    SUPPORT = "support"
    AUDITOR = "auditor"


class Permission(StrEnum):
    """``scope:resource:action``."""

    PIPELINE_READ = "pipeline:status:read"
    PII_READ = "profile:pii:read"
    AUDIT_READ = "audit:log:read"
    AUDIT_EXPORT = "audit:log:export"
    PEOPLE_READ = "console:people:read"
    PEOPLE_CHANGE = "console:people:change"
    SETTINGS_READ = "settings:settings:read"
    TOKENS_READ = "token:token:read"
    TOKENS_CHANGE = "token:token:change"


_ALL = frozenset(Role)
_LEADING = frozenset({Role.OWNER, Role.ADMIN})

# A new permission stands here with the roles that have it; a test prints the table.
GRANTED: Mapping[Permission, frozenset[Role]] = MappingProxyType(
    {
        Permission.PIPELINE_READ: _ALL,
        # Who writes to people sees to whom. The others see that there is an address.
        Permission.PII_READ: _LEADING | {Role.MARKETER},
        Permission.AUDIT_READ: _LEADING | {Role.AUDITOR},
        Permission.AUDIT_EXPORT: _LEADING | {Role.AUDITOR},
        Permission.PEOPLE_READ: _LEADING | {Role.AUDITOR},
        Permission.PEOPLE_CHANGE: _LEADING,
        Permission.SETTINGS_READ: _LEADING | {Role.ENGINEER, Role.AUDITOR},
        Permission.TOKENS_READ: _LEADING | {Role.ENGINEER, Role.AUDITOR},
        Permission.TOKENS_CHANGE: _LEADING | {Role.ENGINEER},
    }
)


def permissions_of(roles: Iterable[str]) -> frozenset[Permission]:
    """Of somebody who has these roles; one that is unknown gives nothing."""
    held = set(roles)
    return frozenset(permission for permission, able in GRANTED.items() if held & able)


def may_give(own: Iterable[str], before: Iterable[str], after: Iterable[str]) -> bool:
    """Whether who has the roles ``own`` may give somebody ``after`` instead of ``before``: only an
    owner makes or unmakes an owner, and so nobody lifts themselves above who let them in."""
    if Permission.PEOPLE_CHANGE not in permissions_of(own):
        return False
    return Role.OWNER in set(own) or Role.OWNER not in {*before, *after}
