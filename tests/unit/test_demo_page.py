"""The demo's page and summary: safe whatever people are called, and saying what the figures say."""

from __future__ import annotations

import io
import socket
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path
from uuid import UUID

import pytest
from playwright.sync_api import sync_playwright
from rich.console import Console

from horizon.demo import page, records, summary
from horizon.demo.evidence import (
    Activity,
    Alert,
    AtRisk,
    Chain,
    Consent,
    LeftAlone,
    Person,
    Score,
)
from horizon.demo.figures import AlertCounts, Campaign, Crowd, Figures, Intake, Outcome
from horizon.demo.records import LogLine, LogShown, Mail, Received

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
MESSAGE, EVENT, RUN = UUID(int=1), UUID(int=2), UUID(int=3)
HOSTILE = '"><script>document.title="taken"</script><img src=//evil.example/x onerror=alert(1)>'
RIGHT_TO_LEFT = "\u202egro.elpmaxe"
BINS = ((0, 0, 5), *[(0, 0, 0)] * 10, (0, 3, 0), *[(0, 0, 0)] * 7, (2, 0, 0))


def _person(name: str = "Ada") -> Person:
    return Person(f"{name}-1", name)


def _chain(name: str = "Ada") -> Chain:
    return Chain(
        message_id=MESSAGE, person=_person(name), profile_id=7, campaign="miss_you", step=1,
        occasion="alert:4", to_addr=f"{name}@example.com", tier="high", template="miss_you",
        template_digest="ab" * 32, status="sent", reason=None, planned_at=NOW, claimed_at=NOW,
        sending_at=NOW, finished_at=NOW, attempts=1, answer=f"250 kept {name}",
        activities=[Activity(EVENT, "track", name, NOW - timedelta(days=13))],
        consent=Consent(NOW - timedelta(days=20), "identify", EVENT),
        score=Score(0.928576, 1_123_205.54, 14, NOW),
        alert=Alert(4, "NOTIFIED", 0.7, NOW, NOW, None), reached=("profile:7", "address:x"),
        unsubscribed_at=NOW, unsubscribed_event_id=EVENT,
    )  # fmt: skip


def _at_risk(name: str = "Ada") -> AtRisk:
    last = Activity(EVENT, "track", name, NOW - timedelta(days=13))
    return AtRisk(
        _person(name), 0.928576, "high", 1_123_205.54, last.time, last, 2, 14, True, NOW, "identify",
        MESSAGE, "sent", None, NOW,
    )  # fmt: skip


def _crowd(now: datetime, **intake: int) -> Crowd:
    came = Intake(**{"sent": 40, "new": 40, "known": 0, "rejected": 0, **intake})
    return Crowd(came, 40, 10, BINS, now, 14, 0.7, 0.5)


def _figures(name: str = "Ada") -> Figures:
    log = LogLine("score", "scorer", "score", "INFO", "2026-11-23T12:00:00Z", {"high": 2}, "{}")
    return Figures(
        run=RUN, now=NOW, made_at=NOW, people=_crowd(NOW),
        cdnow=_crowd(datetime(1998, 6, 30, tzinfo=UTC)),
        alerts=AlertCounts(2, 0, 2, {"high": 2}),
        campaigns=(
            Campaign("miss_you", "alerts", (
                Outcome("sent", None, "high", 1, 1), Outcome("skipped", "refused", "high", 1, 1))),
            Campaign("good_activity", "engaged", (Outcome("sent", None, "low", 5, 5),)),
        ),
        came_back={"unsubscribed": 1}, at_risk=(_at_risk(name),), chains=(_chain(name),),
        left_alone=(LeftAlone(_person(name), "miss_you", "skipped", "refused", "high", False, NOW),),
        received={str(MESSAGE): Received(f"<{MESSAGE}@{name}>", "1.eml")},
        mails=(Mail(MESSAGE, "miss_you", "1.eml", [("Subject", name)], f"<p>{name}</p>", name),),
        log=LogShown(Path("logs/cdp_events.log"), [log], {"message": 6}), mail_folder=Path("mail"),
    )  # fmt: skip


def _second() -> Figures:
    """The run after: the same people, nothing new, nobody mailed."""
    first = _figures()
    again = [
        replace(one, outcomes=[replace(outcome, this_run=0) for outcome in one.outcomes])
        for one in first.campaigns
    ]
    known = {"new": 0, "known": 40}
    return replace(
        first, campaigns=again, people=_crowd(NOW, **known), cdnow=_crowd(NOW, **known),
        alerts=AlertCounts(0, 2, 2, {"high": 2}),
    )  # fmt: skip


@dataclass
class _Parsed(HTMLParser):
    """Every element with its attributes, and all text."""

    tags: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))

    handle_startendtag = handle_starttag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    @property
    def words(self) -> str:
        return " ".join(" ".join(self.texts).split())


def _parsed(html: str) -> _Parsed:
    parsed = _Parsed()
    parsed.feed(html)
    return parsed


@pytest.mark.parametrize("name", ["Ada", HOSTILE, RIGHT_TO_LEFT, "]]>--></style>", "{{ 7 * 7 }}"])
def test_nothing_on_the_page_runs_or_asks_anybody(name: str) -> None:
    parsed = _parsed(page.render(_figures(name)))
    ordinary = _parsed(page.render(_figures()))
    assert [tag for tag, _ in parsed.tags] == [tag for tag, _ in ordinary.tags]
    for tag, attributes in parsed.tags:
        assert tag not in {"script", "object", "embed", "base", "form", "img"}
        assert not [name for name in attributes if name.startswith("on")]
        for target in (attributes.get("href", "#"), attributes.get("src", "#")):
            assert target.startswith(("#", "data:image/svg+xml,")), target
    assert "49" not in parsed.words.split()


def test_a_mail_is_shown_without_rights_and_as_it_is() -> None:
    html = f'<p title="a">{HOSTILE}</p>'
    figures = _figures()
    shown = replace(figures, mails=[replace(figures.mails[0], html=html)])
    (frame,) = [
        attributes for tag, attributes in _parsed(page.render(shown)).tags if tag == "iframe"
    ]
    assert frame["srcdoc"] == html
    assert frame["sandbox"] == ""


def test_names_keep_to_themselves() -> None:
    """A name that turns the direction of writing turns only its own."""
    html = page.render(_figures(RIGHT_TO_LEFT))
    assert f"<bdi>{RIGHT_TO_LEFT}</bdi>" in html
    assert f"<b>{RIGHT_TO_LEFT}" not in html


def test_a_browser_asks_nobody_and_runs_nothing(tmp_path: Path, chromium: Path) -> None:
    path = tmp_path / "demo.html"
    figures = _figures(HOSTILE)
    with socket.create_server(("127.0.0.1", 0)) as stranger, sync_playwright() as playwright:
        address = f"http://127.0.0.1:{stranger.getsockname()[1]}/"
        mail = f"<link rel=stylesheet href={address}><img src={address}>{HOSTILE}"
        page.write(path, replace(figures, mails=[replace(figures.mails[0], html=mail)]))
        browser = playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        shown = browser.new_page(viewport={"width": 360, "height": 800})
        asked: list[str] = []
        # Not "request": that tells now and then of one that the page's policy then refused.
        shown.on("requestfinished", lambda request: asked.append(request.url))
        shown.goto(path.as_uri())
        # What a sandboxed frame asks for is not told above; here it would knock.
        stranger.settimeout(0.3)
        with pytest.raises(TimeoutError):
            stranger.accept()
        title, wide = shown.title(), shown.evaluate("document.documentElement.scrollWidth")
        browser.close()
    assert [url for url in asked if not url.startswith("data:")] == [path.as_uri()]
    assert title == "6 mails to 10 people, and why · Horizon"
    assert wide == 360


def test_the_story_of_a_mail_is_whole() -> None:
    said = _parsed(page.render(_figures())).words
    for part in (
        str(EVENT), "1,123,205.540 s of silence ÷ 1,209,600 s (14 days) = 0.928576", "Raised alert 4",
        "miss_you, 1, 7, alert:4", "profile:7 and address:x", "250 kept Ada", f"<{MESSAGE}@Ada>",
        "23 Nov 2026, 12:00:00.000", "abababababababab", "in an identify call", "unsubscribed",
        "Silent for 13 days ; last: Ada on 10\xa0November; 2 visits in the 14 days up to then",
        "1 said no to e-mail",
    ):  # fmt: skip
        assert part.replace("\xa0", " ") in said.replace("\xa0", " "), part


def test_the_page_is_written_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "new" / "demo.html"
    page.write(path, _figures())
    before = path.read_text()
    assert path.stat().st_mode & 0o777 == 0o644
    monkeypatch.setattr(page, "render", lambda figures: figures.nothing)
    with pytest.raises(AttributeError):
        page.write(path, _figures())
    assert path.read_text() == before
    assert [one.name for one in path.parent.iterdir()] == ["demo.html"]


def _summary(figures: Figures, *, encoding: str = "utf-8") -> str:
    file = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    console = Console(file=file, width=200)
    summary.show(console, figures, Path(".horizon/demo.html"))
    file.flush()
    assert isinstance(file.buffer, io.BytesIO)
    return file.buffer.getvalue().decode(encoding)


def test_the_summary_is_plain_text_of_eighty_columns() -> None:
    for text in (_summary(_figures(HOSTILE)), _summary(_second()), _summary(_figures("[red]Ada"))):
        assert "\x1b" not in text
        assert max(map(len, text.splitlines())) <= 80
    assert "#" * 17 in _summary(_figures(), encoding="ascii")


def test_the_summary_says_what_the_figures_say() -> None:
    lines = [" ".join(line.split()) for line in _summary(_figures()).splitlines()]
    for line in (
        "Done: 6 mails sent, none of them twice.", "40 events over HTTP 40 0 0 10 people",
        "40 purchases from a file 40 0 0 10 customers", "2 created, 0 skipped, 2 open in all",
        "miss_you sent 1 1", "skipped: said no to e-mail 1 1", "good_activity sent 5 5",
        "came back unsubscribed 1", "the page .horizon/demo.html why each mail was sent, and why once",
    ):  # fmt: skip
        assert line in lines


def test_a_second_run_says_that_nothing_happened_twice() -> None:
    text, html = _summary(_second()), _parsed(page.render(_second())).words
    assert "Nothing new came in, and nobody was mailed again." in text
    assert "0 created, 2 skipped (they had theirs within the cooldown), 2 open in all" in text
    assert "Nothing new came in this time and nobody was mailed again: all 40 events" in html
    assert "Nothing new" not in _summary(_figures()) + _parsed(page.render(_figures())).words


def test_doubtful_mails_are_named() -> None:
    lost = Campaign("miss_you", "alerts", [Outcome("unknown", "connection_broke", "high", 2, 2)])
    figures = replace(_figures(), campaigns=[lost])
    assert "2 mails may or may not have arrived" in _summary(figures)
    assert "2 unknown" in _parsed(page.render(figures)).words
    assert "may or may not" not in _summary(_figures())


def test_a_page_of_nobody_can_be_read() -> None:
    nobody = replace(_crowd(NOW), events=0, profiles=0, bins=[(0, 0, 0)] * 20)
    figures = replace(
        _figures(), people=nobody, cdnow=nobody, alerts=AlertCounts(0, 0, 0, {}), campaigns=(),
        came_back={}, at_risk=(), chains=(), left_alone=(), mails=(), received={},
    )  # fmt: skip
    assert "Nobody has been mailed yet." in _parsed(page.render(figures)).words
    assert "nobody was due for a mail" in _summary(figures)


def test_a_line_of_the_log_ends_at_its_line_break_alone(tmp_path: Path) -> None:
    run = UUID(int=7)
    log = tmp_path / "log"
    log.write_text(f'{{"correlation_id":"{run}","message":"a\x85b\u2028c"}}\n', encoding="utf-8")
    assert len(records.read_log(log, run).lines) == 1
