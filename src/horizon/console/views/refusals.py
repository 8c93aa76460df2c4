"""What is shown instead of a page."""

from __future__ import annotations

from http import HTTPStatus

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext as _


def not_here(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:  # noqa: ARG001
    """Also what one may not see."""
    return _told(
        request, HTTPStatus.NOT_FOUND, _("Nothing is here"),
        _("The address is wrong, or what was here is not for you to see."),
    )  # fmt: skip


def stale(request: HttpRequest, reason: str = "") -> HttpResponse:  # noqa: ARG001
    return _told(
        request, HTTPStatus.FORBIDDEN, _("This page is too old"),
        _("Nothing was changed. Open the page again and repeat what you did."),
    )  # fmt: skip


def bad(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:  # noqa: ARG001
    return _told(
        request, HTTPStatus.BAD_REQUEST, _("That could not be read"),
        _("Go back, and send what the form asks for."),
    )  # fmt: skip


def failed(request: HttpRequest) -> HttpResponse:
    return _told(
        request, HTTPStatus.INTERNAL_SERVER_ERROR, _("Something went wrong"),
        _("Nothing was changed. Try again; if it stays so, the log says where it failed."),
    )  # fmt: skip


def _told(request: HttpRequest, status: HTTPStatus, title: str, sentence: str) -> HttpResponse:
    values = {"title": title, "sentence": sentence}
    return render(request, "console/refusal.html", values, status=status)
