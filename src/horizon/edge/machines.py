"""By what one knows at once that no person opened or clicked. Pure.

A scanner that passes for a browser is known only by its haste, afterwards: see the view
``message_responses``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal

Machine = Literal["head", "agent", "prefetch"]

# Whole names, in lower case.
AGENTS = frozenset({
    # Nothing at all: browsers and mail programs say who they are, scanners of Microsoft's Safe
    # Links partly do not (Automattic/newspack-workspace#593).
    "",
    # Apple's Mail Privacy Protection fetches every picture through proxies that say just this
    # (SocketLabs, "Identifying Apple MPP opens"; jdavidbakr/mail-tracker#255).
    "mozilla/5.0",
    # Google's scanner at delivery (pentacent/keila#164, gmass.co "False opens in Gmail").
    ("mozilla/5.0 (windows nt 10.0; win64; x64) applewebkit/537.36 (khtml, like gecko) "
    "chrome/42.0.2311.135 safari/537.36 edge/12.246 mozilla/5.0"),
})  # fmt: skip

# Parts of names, in lower case, as regular expressions.
AGENT_PARTS = frozenset({
    "googleimageproxy",       # Gmail's pictures (matomo-org/device-detector#5359)
    "gmail-content-sampling",  # Gmail's scanner (mssola/user_agent#71)
    "yahoomailproxy",         # Yahoo's pictures (Yahoo help SLN28749)
    # Gateways that say their name (JayBizzle/Crawler-Detect#552 for Barracuda; the others:
    # live-direct-marketing.online, "Bot clicks from security scanners").
    "barracuda", "proofpoint", "mimecast", "ciscosecureemail", "ironport", "fortinet", "fortimail",
    "sophos", "symantec", "forcepoint", "trend ?micro", "tmes", "safelinks", "microsoft defender",
    "google-safety",
    # Previews of a link that somebody passed on (suped.com, "Bot user agents in click data").
    "facebookexternal", "snap url preview", "bingpreview", "skypeuripreview",
    # Words of machines in general, and what programs' libraries call themselves. Cubot makes
    # telephones; Pinterest and WhatsApp in a name may be the app somebody reads in
    # (Automattic/newspack-workspace#593; JayBizzle/Crawler-Detect).
    r"(?<!cu)bots?(?![a-z])", "crawl", "spider", "slurp", "scanner", "headlesschrome", "phantomjs",
    "curl/", "wget", "python", "aiohttp", "libwww", "go-http-client", "apache-httpclient", "ahc/",
    "java/", "jetty", "lua-resty-http", "node-fetch", "axios/", "guzzlehttp",
})  # fmt: skip
_AGENT_PART = re.compile("|".join(sorted(AGENT_PARTS)))

# Chromium and Firefox say so, Safari says preview; Sec-Purpose may add ;prerender.
_PREFETCH_HEADERS = (b"sec-purpose", b"purpose", b"x-purpose", b"x-moz")


def machine_of(method: str, headers: Mapping[bytes, bytes]) -> Machine | None:
    """Which kind of machine asks; None: a person, as far as this request tells.

    Header names are in lower case. A HEAD is nobody's click, since a browser that follows a link
    asks with GET.
    """
    if method == "HEAD":
        return "head"
    agent = headers.get(b"user-agent", b"").decode("latin-1").strip().lower()
    if agent in AGENTS or _AGENT_PART.search(agent):
        return "agent"
    for name in _PREFETCH_HEADERS:
        if headers.get(name, b"").strip().lower().startswith((b"prefetch", b"preview")):
            return "prefetch"
    return None
