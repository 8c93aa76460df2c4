"""The pages that a person sees who opens a link of ours. They work without JavaScript."""

from __future__ import annotations

import base64
import hashlib
from html import escape

from horizon.edge.http import Reply

_STYLE = """
:root { color-scheme: light dark; --ink: #1b1f24; --soft: #59636e; --ground: #f4f5f7;
  --sheet: #fff; --line: #d9dee3; --act: #1f4fd8; --on-act: #fff; }
@media (prefers-color-scheme: dark) { :root { --ink: #eceff3; --soft: #a9b3be;
  --ground: #14171b; --sheet: #1d2126; --line: #343b43; --act: #8fb1ff; --on-act: #10131a; } }
* { box-sizing: border-box; }
body { margin: 0; min-height: 100vh; display: grid; place-items: center; padding: 1rem;
  background: var(--ground); color: var(--ink);
  font: 1.0625rem/1.55 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
main { width: 100%; max-width: 30rem; padding: clamp(1.5rem, 6vw, 2.5rem);
  background: var(--sheet); border: 1px solid var(--line); border-radius: .75rem; }
.brand { margin: 0 0 1.25rem; color: var(--soft); font-size: .9375rem; }
h1 { margin: 0 0 .75rem; font-size: 1.5rem; line-height: 1.25; text-wrap: balance; }
p { margin: 0 0 1.25rem; overflow-wrap: anywhere; }
p:last-child { margin-bottom: 0; }
button { width: 100%; min-height: 3rem; padding: .625rem 1.25rem; border: 0;
  border-radius: .5rem; background: var(--act); color: var(--on-act); font: inherit;
  font-weight: 600; cursor: pointer; }
button:hover { filter: brightness(1.08); }
button:focus-visible { outline: 3px solid var(--act); outline-offset: 3px; }
.note { margin-top: 1.25rem; color: var(--soft); font-size: .9375rem; }
@media (forced-colors: active) { button { border: 2px solid ButtonText; } }
"""
_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_HEADERS = {
    "content-type": "text/html; charset=utf-8",
    "cache-control": "no-store",
    "content-security-policy": (
        f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; form-action 'self'; "
        "base-uri 'none'; frame-ancestors 'none'"
    ),
    "referrer-policy": "no-referrer",  # the address holds the token
    "x-content-type-options": "nosniff",
    "x-robots-tag": "noindex, nofollow",
}
_BUTTON = (
    '<form method="post"><button type="submit">Unsubscribe</button></form>\n'
    '<p class="note">You opened this by mistake? Close the page and nothing changes.</p>'
)


class Pages:
    """Made once at the start: nothing on them is about a person."""

    def __init__(self, brand: str) -> None:
        name = escape(brand)
        self.question = page(
            200, name, "Stop these mails?",
            f"<p>{name} will send no more mails of this kind to the address that got the "
            f"link. It takes effect at once.</p>\n{_BUTTON}",
        )  # fmt: skip
        self.done = page(
            200, name, "You are unsubscribed",
            f"<p>{name} will send no more mails of this kind to this address.</p>\n"
            "<p>There is nothing else to do; you can close this page.</p>",
        )  # fmt: skip
        self.unknown_link = page(
            404, name, "This link does not work",
            "<p>A part of it may be missing. Open it once more from the mail, or use the "
            "unsubscribe link of a newer one.</p>",
        )  # fmt: skip
        self.try_again = page(
            503, name, "That did not work just now",
            f"<p>Your wish could not be written down. Please try again in a minute.</p>\n{_BUTTON}",
            {"retry-after": "30"},
        )  # fmt: skip


def page(
    status: int,
    brand: str,
    title: str,
    content: str,
    headers: dict[str, str] | None = None,
    language: str = "en",
) -> Reply:
    """``brand``, ``title`` and ``content`` are HTML."""
    html = f"""<!doctype html>
<html lang="{language}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title} - {brand}</title>
<style>{_STYLE}</style>
</head>
<body>
<main>
<p class="brand">{brand}</p>
<h1>{title}</h1>
{content}
</main>
</body>
</html>
"""
    return Reply(status, html.encode(), {**_HEADERS, **(headers or {})})
