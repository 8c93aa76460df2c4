"""Home: how the pipeline stands, asked anew every few seconds."""

from __future__ import annotations

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from horizon import clock
from horizon.console.access import needs
from horizon.console.home import cards, nothing_yet
from horizon.console.rows import tx
from horizon.console.rules import Permission


@needs(Permission.PIPELINE_READ)
def home(request: HttpRequest) -> HttpResponse:
    """The whole page, or for its own polling the stages alone."""
    now = clock.now()
    part = "console/stages.html" if request.headers.get("HX-Request") else "console/home.html"
    values = {"cards": cards(tx(), settings.HORIZON, now), "nothing": nothing_yet(tx()), "now": now}
    return render(request, part, values)
