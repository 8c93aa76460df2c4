"""The forms of the first sign-in and of people."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib.auth.password_validation import validate_password
from django.utils.translation import gettext_lazy as _

from horizon.console.models import Person
from horizon.console.rules import Role


class Begin(forms.Form):
    """Of a one-time link: who one is, and with which password one comes back."""

    email = forms.EmailField(
        label=_("E-mail"),
        max_length=254,
        widget=forms.EmailInput(attrs={"autocomplete": "username"}),
    )
    name = forms.CharField(
        label=_("Name"), max_length=100, widget=forms.TextInput(attrs={"autocomplete": "name"})
    )
    password = forms.CharField(
        label=_("Password"), max_length=200, strip=False,
        help_text=_("At least 12 characters, and none of the common ones."),
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
    )  # fmt: skip

    def __init__(self, *args: Any, email: str = "", **more: Any) -> None:
        super().__init__(*args, **more)
        if email:  # who is invited is known already
            self.fields["email"].initial = email
            self.fields["email"].disabled = True

    def clean_email(self) -> str:
        return str(self.cleaned_data["email"]).lower()

    def clean(self) -> dict[str, Any]:
        found: dict[str, Any] = super().clean() or self.cleaned_data
        if "password" in found:
            who = Person(email=found.get("email", ""), name=found.get("name", ""))
            try:
                validate_password(found["password"], who)
            except forms.ValidationError as exc:
                self.add_error("password", exc)
        return found


ROLES = [
    (Role.OWNER, _("Owner")), (Role.ADMIN, _("Admin")), (Role.MARKETER, _("Marketer")),
    (Role.ANALYST, _("Analyst")), (Role.ENGINEER, _("Engineer")), (Role.SUPPORT, _("Support")),
    (Role.AUDITOR, _("Auditor")),
]  # fmt: skip


class Invite(forms.Form):
    email = forms.EmailField(label=_("E-mail"), max_length=254)
    roles = forms.MultipleChoiceField(
        label=_("Roles"), choices=ROLES, widget=forms.CheckboxSelectMultiple
    )

    def clean_email(self) -> str:
        return str(self.cleaned_data["email"]).lower()


class Change(forms.Form):
    """``version``: of the person as the page showed them."""

    version = forms.IntegerField(widget=forms.HiddenInput, min_value=1)
    roles = forms.MultipleChoiceField(
        label=_("Roles"), choices=ROLES, widget=forms.CheckboxSelectMultiple
    )
