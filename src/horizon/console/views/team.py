"""People and roles: who is here, letting somebody in, changing and disabling them."""

from __future__ import annotations

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.hashers import make_password
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from horizon import clock
from horizon.console.access import needs
from horizon.console.forms import Change, Invite
from horizon.console.links import make_link
from horizon.console.models import Person
from horizon.console.rows import tx
from horizon.console.rules import Permission, may_give
from horizon.console.team import ChangedMeanwhile, LastOwner, change
from horizon.console.trail import record


@needs(Permission.PEOPLE_READ)
def team(request: HttpRequest) -> HttpResponse:
    return _list(request, Invite())


def _list(request: HttpRequest, form: Invite) -> HttpResponse:
    everybody = Person.objects.order_by("-is_active", "email")
    return render(request, "console/team.html", {"people": everybody, "form": form})


@needs(Permission.PEOPLE_CHANGE, again=True)
@require_POST
def invite(request: HttpRequest) -> HttpResponse:
    form = Invite(request.POST)
    if form.is_valid() and not may_give(request.user.roles, [], form.cleaned_data["roles"]):
        form.add_error("roles", _("Only an owner makes an owner."))
    if form.is_valid() and Person.objects.filter(email=form.cleaned_data["email"]).exists():
        form.add_error("email", _("Somebody with this address is here already."))
    if not form.is_valid():
        return _list(request, form)
    roles = sorted(form.cleaned_data["roles"])
    person = Person.objects.create(
        email=form.cleaned_data["email"], roles=roles, password=make_password(None)
    )
    after = {"email": person.email, "roles": roles}
    record(request, "person:invited", f"person {person.pk}", after=after)
    return _link(request, person)


@needs(Permission.PEOPLE_READ)
def member(request: HttpRequest, pk: int) -> HttpResponse:
    found = get_object_or_404(Person, pk=pk)
    return _person(request, found, _form(found))


def _form(found: Person) -> Change:
    return Change(initial={"version": found.version, "roles": found.roles})


def _person(request: HttpRequest, found: Person, form: Change) -> HttpResponse:
    able = may_give(request.user.roles, found.roles, found.roles)
    return render(request, "console/member.html", {"person": found, "form": form, "able": able})


@needs(Permission.PEOPLE_CHANGE, again=True)
@require_POST
def member_roles(request: HttpRequest, pk: int) -> HttpResponse:
    found = _in_reach(request, pk)
    form = Change(request.POST)
    if not form.is_valid():
        return _person(request, found, form)
    roles = form.cleaned_data["roles"]
    if not may_give(request.user.roles, found.roles, roles):
        form.add_error("roles", _("Only an owner makes an owner."))
        return _person(request, found, form)
    return _change(request, found, form.cleaned_data["version"], roles, active=found.is_active)


@needs(Permission.PEOPLE_CHANGE, again=True)
@require_POST
def member_active(request: HttpRequest, pk: int) -> HttpResponse:
    """Disables who is active, and the other way round."""
    found = _in_reach(request, pk)
    version = request.POST.get("version", "")
    if not version.isdecimal() or len(version) > 9:
        raise Http404
    active = request.POST.get("active") == "on"
    return _change(request, found, int(version), found.roles, active=active)


@needs(Permission.PEOPLE_CHANGE, again=True)
@require_POST
def member_link(request: HttpRequest, pk: int) -> HttpResponse:
    """For somebody who lost a password or a second factor."""
    found = _in_reach(request, pk)
    record(request, "person:link:made", f"person {found.pk}", after={"email": found.email})
    return _link(request, found)


def _in_reach(request: HttpRequest, pk: int) -> Person:
    """Somebody whom the one who asks may change."""
    found: Person = get_object_or_404(Person, pk=pk)
    if not may_give(request.user.roles, found.roles, found.roles):
        raise Http404
    return found


def _link(request: HttpRequest, found: Person) -> HttpResponse:
    link = make_link(
        tx(), settings.HORIZON.console_url, made_by=f"console:{request.user.email}",
        now=clock.now(), person_id=found.pk,
    )  # fmt: skip
    return render(request, "console/link.html", {"person": found, "link": link})


def _change(
    request: HttpRequest, found: Person, version: int, roles: list[str], *, active: bool
) -> HttpResponse:
    before = {"roles": found.roles, "active": found.is_active}
    try:
        change(found, version, roles=roles, active=active)
    except ChangedMeanwhile:
        messages.error(
            request, _("Somebody else changed this person meanwhile: nothing was saved.")
        )
    except LastOwner:
        messages.error(request, _("This is the last owner: make another one first."))
    else:
        after = {"roles": sorted(roles), "active": active}
        record(request, "person:changed", f"person {found.pk}", before=before, after=after)
        messages.success(request, _("Saved."))
    return redirect("member", pk=found.pk)
