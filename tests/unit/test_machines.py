"""Which fetches are a machine's."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from horizon.edge.machines import machine_of

CHROME = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/131.0.0.0 Safari/537.36"
)
PEOPLE = [
    CHROME,
    (
        "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like "
        "Gecko) Mobile/15E148"
    ),
    "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Thunderbird/128.4.0",
    "Microsoft Office/16.0 (Windows NT 10.0; Microsoft Outlook 16.0.17928; Pro)",
    (
        "Mozilla/5.0 (Linux; Android 13; CUBOT P80) AppleWebKit/537.36 (KHTML, like Gecko) "
        "Chrome/120.0.0.0 Mobile Safari/537.36"
    ),
    (
        "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like "
        "Gecko) Mobile/15E148 [Pinterest/iOS]"
    ),
    "Mozilla/5.0 (Linux; Android 14) AppleWebKit/537.36 Chrome/120.0.0.0 Safari/537.36 Botanica/2",
]
MACHINES = [
    "",
    "Mozilla/5.0",
    "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)",
    "YahooMailProxy; https://help.yahoo.com/kb/yahoo-mail-proxy-SLN28749.html",
    (
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
        "Chrome/42.0.2311.135 Safari/537.36 Edge/12.246 Mozilla/5.0"
    ),
    "Barracuda Sentinel (EE)",
    "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
    "Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)",
    "facebookexternalhit/1.1",
    "python-requests/2.32.3",
    "curl/8.5.0",
    "Go-http-client/2.0",
    (
        "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) "
        "HeadlessChrome/120.0.0.0 Safari/537.36"
    ),
]


@pytest.mark.parametrize("agent", PEOPLE)
def test_what_people_read_with_is_no_machine(agent: str) -> None:
    assert machine_of("GET", {b"user-agent": agent.encode()}) is None


@pytest.mark.parametrize("agent", MACHINES)
def test_known_agents_are_machines(agent: str) -> None:
    assert machine_of("GET", {b"user-agent": agent.encode()}) == "agent"


def test_an_agent_that_says_nothing_is_a_machine() -> None:
    assert machine_of("GET", {}) == "agent"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (b"purpose", b"prefetch"), (b"sec-purpose", b"prefetch;prerender"), (b"x-moz", b"Prefetch"),
        (b"x-purpose", b"preview"),
    ],
)  # fmt: skip
def test_a_browser_that_looks_ahead_is_a_machine(name: bytes, value: bytes) -> None:
    browser = {b"user-agent": CHROME.encode()}
    assert machine_of("GET", {**browser, name: value}) == "prefetch"
    assert machine_of("GET", {**browser, name: b"navigate"}) is None


@given(st.binary(), st.dictionaries(st.sampled_from([b"purpose", b"x-moz"]), st.binary()))
def test_a_head_is_nobody_s_and_any_header_can_be_read(
    agent: bytes, more: dict[bytes, bytes]
) -> None:
    headers = {b"user-agent": agent, **more}
    assert machine_of("HEAD", headers) == "head"
    assert machine_of("GET", headers) in (None, "agent", "prefetch")
