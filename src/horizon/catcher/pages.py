"""The pages of received mails: what is answered to which address."""

from __future__ import annotations

import hashlib
import ipaddress
import json
import logging
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from urllib.parse import parse_qs, quote, urlsplit

import jinja2

from horizon import clock
from horizon.catcher import message
from horizon.catcher.store import MailStore, MailSummary, NoSuchMailError
from horizon.catcher.words import day_of, initial, preview, size_text, time_of

PAGE_LENGTH = 50
_log = logging.getLogger(__name__)
_FOLDER = Path(__file__).parent / "templates"
_HTML = "text/html; charset=utf-8"

_PAGE_POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self' data:; frame-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
# For what strangers wrote: no script, no request, an origin of its own. Its links open beside
# the page, so that an unsubscribe link can be tried.
_MAIL_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; font-src data:; "
    "form-action 'none'; base-uri 'none'; frame-ancestors 'self'; "
    "sandbox allow-popups allow-popups-to-escape-sandbox"
)
_ALWAYS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-DNS-Prefetch-Control": "off",
    "Cache-Control": "no-cache",
}


@dataclass(frozen=True)
class Reply:
    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


Query = Mapping[str, str]


class Pages:
    """Answers GET requests from a store. Knows nothing of sockets."""

    def __init__(self, store: MailStore, host: str, smtp_port: int) -> None:
        self._store = store
        self._smtp_address = f"{host}:{smtp_port}"
        self._any_host = not _is_loopback(host)
        self._previews: dict[str, str] = {}
        self._templates = jinja2.Environment(
            loader=jinja2.FileSystemLoader(_FOLDER),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.filters.update(day=day_of, time=time_of, size=size_text, initial=initial)
        self._routes: list[tuple[re.Pattern[str], Callable[..., Reply]]] = [
            (re.compile(pattern), answer)
            for pattern, answer in (
                (r"/", self._list),
                (r"/style\.css", self._style),
                (r"/mails/([^/]+)", self._mail),
                (r"/mails/([^/]+)/html", self._html),
                (r"/mails/([^/]+)/raw", self._raw),
                (r"/mails/([^/]+)/parts/([0-9]{1,4})", self._part),
                (r"/api/mails", self._api_list),
                (r"/api/mails/([^/]+)/raw", self._raw),
            )
        ]

    def respond(self, target: str, host: str, if_none_match: str = "") -> Reply:
        """Answer one request; ``host`` and ``if_none_match`` are the headers of these names."""
        if not (self._any_host or _is_loopback(_name_in(host))):
            reply = self._refusal(
                403, "Not by this name", "Open this page as http://localhost instead."
            )
        else:
            reply = self._route(target)
        tag = f'"{hashlib.sha256(reply.body).hexdigest()[:20]}"'
        headers = {**_ALWAYS, "ETag": tag, **reply.headers}
        if reply.status == 200 and if_none_match == tag:
            return Reply(304, b"", headers)
        return Reply(reply.status, reply.body, headers)

    def _route(self, target: str) -> Reply:
        try:
            url = urlsplit(target)
            query = {name: values[-1] for name, values in parse_qs(url.query).items()}
        except ValueError:
            return self._not_found()
        for pattern, answer in self._routes:
            match = pattern.fullmatch(url.path)
            if match:
                try:
                    return answer(query, *match.groups())
                except NoSuchMailError:
                    return self._not_found()
                except Exception:  # noqa: BLE001 - as in message.py
                    _log.exception("mail page failed")
                    return self._refusal(500, "This cannot be shown", "The raw file can be read.")
        return self._not_found()

    def _list(self, query: Query) -> Reply:
        search, before = query.get("q"), query.get("before", "")
        mails = self._store.list(search=search or "", before=before, limit=PAGE_LENGTH + 1)
        shown = mails[:PAGE_LENGTH]
        first = search is None and not before
        return self._page(
            200,
            "list.html",
            rows=[(mail, self._preview(mail)) for mail in shown],
            total=self._store.count(),
            search=search,
            older=shown[-1].id if len(mails) > PAGE_LENGTH else None,
            is_first=first,
            refresh_s=_refresh_s(shown) if first and query.get("live") != "off" else None,
            smtp_address=self._smtp_address,
        )

    def _preview(self, mail: MailSummary) -> str:
        if mail.id not in self._previews:
            try:
                self._previews[mail.id] = preview(self._store.read(mail.id))
            except Exception:  # noqa: BLE001 - one bad mail must not break the list
                self._previews[mail.id] = ""
        return self._previews[mail.id]

    def _mail(self, query: Query, mail_id: str) -> Reply:
        raw = self._store.raw(mail_id)
        mail, head = message.parse(raw), message.Head.of(raw)
        text, has_html = message.text_body(mail), message.has_html(mail)
        views = [name for name, there in (("html", has_html), ("text", text is not None)) if there]
        views.append("headers")
        view = query.get("view")
        return self._page(
            200,
            "mail.html",
            mail=self._store.summary(mail_id),
            headers=list(head.items()) if head else [],
            unsubscribe=message.unsubscribe_link(head) if head else None,
            one_click=bool(head and head["List-Unsubscribe-Post"]),
            text=text,
            attachments=message.attachments(mail),
            views=views,
            view=view if view in views else views[0],
            narrow=query.get("width") == "320",
        )

    def _html(self, query: Query, mail_id: str) -> Reply:
        del query
        html = message.html_body(self._store.read(mail_id))
        if html is None:
            raise NoSuchMailError(mail_id)
        headers = {"Content-Type": _HTML, "Content-Security-Policy": _MAIL_POLICY}
        return Reply(200, html.encode("utf-8", "replace"), headers)

    def _raw(self, query: Query, mail_id: str) -> Reply:
        del query
        return _download(self._store.raw(mail_id), f"{mail_id}.eml", "message/rfc822")

    def _part(self, query: Query, mail_id: str, number: str) -> Reply:
        del query
        for attachment in message.attachments(self._store.read(mail_id)):
            if attachment.number == int(number):
                content = message.content_bytes(attachment.part)
                return _download(content, attachment.name, "application/octet-stream")
        raise NoSuchMailError(mail_id)

    def _api_list(self, query: Query) -> Reply:
        mails = [_as_json(mail) for mail in self._store.list(search=query.get("q", ""))]
        body = json.dumps(mails, ensure_ascii=False).encode("utf-8", "replace")
        return Reply(200, body, {"Content-Type": "application/json"})

    def _style(self, query: Query) -> Reply:
        del query
        body = (_FOLDER / "style.css").read_bytes()
        return Reply(200, body, {"Content-Type": "text/css; charset=utf-8"})

    def _page(self, status: int, template: str, **values: object) -> Reply:
        text = self._templates.get_template(template).render(**values)
        headers = {"Content-Type": _HTML, "Content-Security-Policy": _PAGE_POLICY}
        return Reply(status, text.encode("utf-8", "replace"), headers)

    def _refusal(self, status: int, title: str, advice: str) -> Reply:
        return self._page(status, "refusal.html", title=title, advice=advice)

    def _not_found(self) -> Reply:
        return self._refusal(404, "Not here", "There is no such mail, or no such page.")


def _refresh_s(shown: Sequence[MailSummary]) -> int:
    """Often while mail comes in or is waited for, seldom afterwards."""
    quiet = shown and clock.now() - shown[0].received > timedelta(minutes=2)
    return 10 if quiet else 2


def _download(content: bytes, name: str, content_type: str) -> Reply:
    disposition = f"attachment; filename*=UTF-8''{quote(name, safe='', errors='replace')}"
    headers = {"Content-Type": content_type, "Content-Disposition": disposition}
    return Reply(200, content, headers)


def _as_json(mail: MailSummary) -> Mapping[str, object]:
    return {
        "id": mail.id,
        "subject": mail.subject,
        "from": mail.sender,
        "to": mail.to,
        "received": mail.received.isoformat().replace("+00:00", "Z"),
        "message_id": mail.message_id,
        "size_bytes": mail.size_bytes,
    }


def _name_in(host: str) -> str:
    """The name or address in a Host header, without its port."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0].lower()


def _is_loopback(name: str) -> bool:
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
