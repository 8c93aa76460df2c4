"""A one-time link: who opens it says who they are and chooses a password."""

from __future__ import annotations

from http import HTTPStatus

from django.contrib import messages
from django.contrib.auth.hashers import make_password
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_post_parameters

from horizon import clock
from horizon.console.access import Anybody, needs
from horizon.console.forms import Begin
from horizon.console.links import Link, find_link, use_link
from horizon.console.models import Person
from horizon.console.rows import tx
from horizon.console.rules import Role
from horizon.console.team import end_sign_ins, forget_factors
from horizon.console.trail import record


@needs(Anybody.PUBLIC)
@sensitive_post_parameters("password")
def start(request: HttpRequest, token: str) -> HttpResponse:
    link = find_link(tx(), token, clock.now())
    if link is None:
        return render(request, "console/link_over.html", status=HTTPStatus.NOT_FOUND)
    form = Begin(request.POST or None, email=link.email)
    if request.method == "POST" and form.is_valid():
        use_link(tx(), token, clock.now())
        person = _let_in(link, form)
        record(
            request, "person:began", f"person {person.pk}", who=person.email,
            after={"email": person.email, "roles": person.roles}, link_of=link.made_by,
        )  # fmt: skip
        messages.success(request, _("Welcome, %(name)s. Now sign in.") % {"name": person.name})
        return redirect("account_login")
    return render(request, "console/start.html", {"form": form, "owner": link.person_id is None})


def _let_in(link: Link, form: Begin) -> Person:
    """Whoever had the account before has it no more: old sign-ins and second factors are gone."""
    email = form.cleaned_data["email"]
    wanted = {"pk": link.person_id} if link.person_id else {"email": email}
    person = Person.objects.filter(**wanted).first() or Person(email=email, roles=[])
    if link.person_id is None:
        person.roles = sorted({*person.roles, Role.OWNER.value})
        person.is_active = True
    person.name = form.cleaned_data["name"]
    person.password = make_password(form.cleaned_data["password"])
    if person.pk:
        person.version += 1
    person.save()
    forget_factors(person)
    end_sign_ins(person)
    return person
