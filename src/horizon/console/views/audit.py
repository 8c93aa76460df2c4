"""The audit: who did what, when and from where."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_POST

from horizon import clock
from horizon.console.access import may, needs
from horizon.console.entries import LAST, PAGE, Filter, everything, page
from horizon.console.rows import tx
from horizon.console.rules import Permission
from horizon.console.spreadsheet import csv_lines
from horizon.console.trail import record

COLUMNS = ("audit_id", "at", "actor", "action", "object", "origin", "details")
LONGEST = 300


@needs(Permission.AUDIT_READ)
def audit(request: HttpRequest) -> HttpResponse:
    wanted = _filter(request.GET)
    before = request.GET.get("before", str(LAST))
    if not before.isdecimal() or int(before) > LAST:
        raise Http404
    entries = page(tx(), wanted, request.user.permissions, int(before))
    query = {"actor": wanted.actor, "action": wanted.action}
    older = urlencode({**query, "before": entries[-1].audit_id}) if len(entries) == PAGE else ""
    return render(request, "console/audit.html", {
        "entries": entries, "wanted": wanted, "older": older, "paged": "before" in request.GET,
        "exportable": may(request, Permission.AUDIT_EXPORT),
    })  # fmt: skip


@needs(Permission.AUDIT_EXPORT, again=True)
@require_POST
def audit_export(request: HttpRequest) -> StreamingHttpResponse:
    wanted = _filter(request.POST)
    record(request, "audit:exported", "audit", filter=wanted.values())
    rows = everything(tx(), wanted, request.user.permissions)
    lines = csv_lines(COLUMNS, ([getattr(one, name) for name in COLUMNS] for one in rows))
    name = f"audit-{clock.now():%Y-%m-%d}.csv"
    return StreamingHttpResponse(
        lines, content_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )  # fmt: skip


def _filter(given: Any) -> Filter:
    def text(name: str) -> str:
        return str(given.get(name, "")).replace("\0", "")[:LONGEST].strip()

    return Filter(text("actor"), text("action"))
