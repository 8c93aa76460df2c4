"""Each view says who may open it; one that says nothing is opened to nobody."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from functools import wraps
from typing import Any, cast

from allauth.account.internal.flows.reauthentication import raise_if_reauthentication_required
from django.contrib.auth.views import redirect_to_login
from django.http import Http404, HttpRequest, HttpResponse
from django.views.decorators.cache import never_cache

from horizon.console.rules import Permission, permissions_of

View = Callable[..., HttpResponse]


class Anybody(Enum):
    """Decisions that are no permission."""

    PUBLIC = "everybody, also without a sign-in"
    SIGNED_IN = "everybody who is signed in"


Decision = Permission | Anybody


def needs(decision: Decision, *, again: bool = False) -> Callable[[View], View]:
    """Opens a view to those who have the permission; to the others it is not there (404).

    ``again``: the password or a second factor has to be given once more, if that was not just now.
    """

    def decorate(view: View) -> View:
        @wraps(view)
        def decided(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
            if decision is not Anybody.PUBLIC:
                if not request.user.is_authenticated:
                    return redirect_to_login(request.get_full_path())
                if decision is not Anybody.SIGNED_IN and not may(request, decision):
                    raise Http404
                if again:
                    raise_if_reauthentication_required(request, app="console")
            return view(request, *args, **kwargs)

        shown: Any = never_cache(decided)  # the back button shows nothing after a sign-out
        shown.decision, shown.again = decision, again
        return cast("View", shown)

    return decorate


def may(request: HttpRequest, permission: Permission) -> bool:
    return permission in permissions_of(getattr(request.user, "roles", ()))


class Undecided:
    """Middleware: refuses a view that ``needs`` does not stand above, whoever asks."""

    def __init__(self, get_response: View) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self._get_response(request)

    def process_view(self, request: HttpRequest, view: View, *_: object) -> None:  # noqa: ARG002
        if not hasattr(view, "decision"):
            raise Http404
