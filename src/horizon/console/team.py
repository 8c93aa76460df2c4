"""What happens to one of the operator's people, wherever it is asked for."""

from __future__ import annotations

from collections.abc import Sequence

from allauth.mfa.models import Authenticator
from allauth.usersessions.models import UserSession
from django.db.models import F

from horizon.console.models import Person
from horizon.console.rules import Role


class ChangedMeanwhile(Exception):  # noqa: N818 - an answer, not a failure
    """Somebody else changed it since the page was shown."""


class LastOwner(Exception):  # noqa: N818 - an answer, not a failure
    """Nobody would be left who may do everything."""


def end_sign_ins(person: Person, *, but: str | None = None) -> int:
    """End each sign-in at once, ``but`` the session of this key; how many there were."""
    sessions = list(UserSession.objects.filter(user=person).exclude(session_key=but or ""))
    for session in sessions:
        session.end()
    return len(sessions)


def forget_factors(person: Person) -> None:
    Authenticator.objects.filter(user=person).delete()


def change(person: Person, version: int, *, roles: Sequence[str], active: bool) -> None:
    """As the page of ``version`` asks it. Raises ChangedMeanwhile, LastOwner."""
    # All owners are locked: of two who unmake each other at once, one is told.
    owners = set(
        Person.objects.select_for_update()
        .filter(is_active=True, roles__contains=[Role.OWNER])
        .values_list("pk", flat=True)
    )
    if owners == {person.pk} and not (active and Role.OWNER in roles):
        raise LastOwner
    found = Person.objects.filter(pk=person.pk, version=version).update(
        roles=sorted(roles), is_active=active, version=F("version") + 1
    )
    if not found:
        raise ChangedMeanwhile
    if not active:
        end_sign_ins(person)
