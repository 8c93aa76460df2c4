"""The form of a new token."""

from __future__ import annotations

from django import forms
from django.utils.translation import gettext_lazy as _

from horizon.api.scopes import Scope

# A token that nobody ends does so by itself; the command makes one without an end.
DAYS = [(30, _("30 days")), (90, _("90 days")), (365, _("One year"))]


class NewToken(forms.Form):
    name = forms.RegexField(
        r"\A[a-z0-9][a-z0-9._-]{0,62}\Z", label=_("Name"), max_length=63,
        help_text=_("Who uses it: small letters, digits, dots, _ and -."),
        error_messages={"invalid": _("Use up to 63 small letters, digits, dots, _ and -.")},
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )  # fmt: skip
    scopes = forms.MultipleChoiceField(
        label=_("What it reads"), choices=[(str(one), str(one)) for one in Scope],
        widget=forms.CheckboxSelectMultiple,
    )  # fmt: skip
    days = forms.TypedChoiceField(label=_("It ends after"), choices=DAYS, coerce=int, initial=90)
